package api

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// decodeUniAll reads the body of POST /v1/video/generations: UniAll's R2V page
// (r2v-create-task) and contract.md, "Requests". Every mistake (an unknown field, a
// wrong type, a field that stands twice) goes into the Ask's Faults, so that
// Validate can report it in its place among the values that are wrong.
func decodeUniAll(root jsonValue) catalog.Ask {
	u := &uniallBody{fields: uniallFields, seen: map[string]jsonMember{}}
	u.read(root, "")

	return u.ask
}

// uniallBody is one body on its way to an Ask.
type uniallBody struct {
	fields []uniallField
	form   bool // it came as a form: names of what is inside stand in brackets
	ask    catalog.Ask
	seen   map[string]jsonMember // by name, wherever it stood
	openai openaiParts
}

// uniallField is a field and what it takes.
type uniallField struct {
	name  string
	outer bool // stands at the top level only
	take  func(u *uniallBody, v jsonValue, param string)
}

// extraBody is the object whose fields may also stand beside it: SDKs that know
// an extra_body put its fields at the top level.
const extraBody = "extra_body"

var uniallFields = []uniallField{
	{"model", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Model })},
	{"prompt", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Prompt })},
	{"image", true, takePointer(func(a *catalog.Ask) *catalog.Given[string] { return &a.Image })},
	{"images", true, takeTexts(func(a *catalog.Ask) *catalog.Given[[]catalog.Given[string]] { return &a.Images })},
	{"videos", true, takeTexts(func(a *catalog.Ask) *catalog.Given[[]catalog.Given[string]] { return &a.Videos })},
	{"references", true, (*uniallBody).takeReferences},
	{"size", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Size })},
	{"duration", true, (*uniallBody).takeDuration},
	{"negative_prompt", false, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.NegativePrompt })},
	{"audio", false, (*uniallBody).takeAudio},
	{"shot_type", false, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.ShotType })},
	{"enable_prompt_expansion", false, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.PromptExpansion })},
	{"seed", false, takeNumber(func(a *catalog.Ask) *catalog.Given[catalog.Number] { return &a.Seed })},
	{"watermark", false, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.Watermark })},
	{"webhook_url", false, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.WebhookURL })},
	{"metadata", false, (*uniallBody).takeMetadata},
	{"preview", false, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.Preview })},
	{"start_by", false, takeNumber(func(a *catalog.Ask) *catalog.Given[catalog.Number] { return &a.StartBy })},
	{"references_check", false, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.ReferencesCheck })},
}

// uniallForeign is what neighbours of this API call our fields, for suggestions.
var uniallForeign = map[string]string{
	"seconds": "duration", "prompt_extend": "enable_prompt_expansion", "extend_prompt": "enable_prompt_expansion",
	"audio_url": "audio", "enable_audio": "audio", "generate_audio": "audio",
	"image_url": "image", "img_url": "image", "input_reference": "image", "image_urls": "images", "reference_image_urls": "images",
	"video": "videos", "video_url": "videos", "video_urls": "videos", "reference_video_urls": "videos", "reference_urls": "references",
	"resolution": "size", "aspect_ratio": "size", "ratio": "size", "multi_shots": "shot_type",
	"callback_url": "webhook_url", "webhook": "webhook_url",
}

// read takes the fields of the body, or of its extra_body.
func (u *uniallBody) read(object jsonValue, prefix string) {
	for _, m := range object.members {
		if len(u.ask.Faults) >= catalog.MaxFaults {
			return // enough to answer with
		}

		param := u.inside(prefix, m.name)
		i := slices.IndexFunc(u.fields, func(f uniallField) bool { return f.name == m.name })

		inner := m.name == extraBody && prefix == ""
		switch {
		case i < 0 && !inner:
			u.fault(m.at, fault.CodeUnknownField, param, u.unknownField(m.name))
		case !inner && u.fields[i].outer && prefix != "":
			u.fault(m.at, fault.CodeUnknownField, param, fmt.Sprintf("`%s` stands at the top level of the body, not in `%s`.", m.name, extraBody))
		case m.value.kind == jsonNull || u.again(m, prefix):
		case inner && m.value.kind != jsonObject:
			u.wrongType(m.value, param, "an object")
		case inner:
			u.read(m.value, extraBody)
		default:
			u.fields[i].take(u, m.value, param)
		}
	}
}

// inside is what a field within another is called, or one at the top.
func (u *uniallBody) inside(place, name string) string {
	switch {
	case place == "":
		return brief(name)
	case u.form:
		return place + "[" + brief(name) + "]"
	}

	return place + "." + brief(name)
}

func (u *uniallBody) unknownField(name string) string {
	names := []string{extraBody}
	for _, f := range u.fields {
		names = append(names, f.name)
	}

	near, ok := uniallForeign[strings.ToLower(name)]
	if !ok {
		near, ok = catalog.Nearest(name, names)
	}

	if ok {
		return fmt.Sprintf("There is no field `%s`; did you mean `%s`?", brief(name), near)
	}

	return fmt.Sprintf("There is no field `%s`. There are %s.", brief(name), strings.Join(names[1:], ", "))
}

// again says whether the field was read before. With another value that is a
// fault; the same value twice is one value.
func (u *uniallBody) again(m jsonMember, prefix string) bool {
	first, seen := u.seen[m.name]
	if !seen {
		u.seen[m.name] = jsonMember{name: u.inside(prefix, m.name), at: m.at, value: m.value}
		return false
	}

	u.conflict(first, m, u.inside(prefix, m.name))

	return true
}

func (u *uniallBody) conflict(first, second jsonMember, param string) {
	if !first.value.equal(second.value) {
		u.fault(second.at, fault.CodeConflict, param, fmt.Sprintf("`%s` stands twice with different values, the first time as `%s`; give it once.", brief(param), brief(first.name)))
	}
}

func (u *uniallBody) fault(at int, code fault.Code, param, detail string) {
	u.ask.Faults = append(u.ask.Faults, catalog.Placed{At: at, Fault: *fault.New(code, param, detail)})
}

func (u *uniallBody) wrongType(v jsonValue, param, takes string) {
	u.fault(v.at, fault.CodeWrongJSONType, param, fmt.Sprintf("`%s` takes %s; this is %s.", brief(param), takes, v.kind))
}

// spot is a JSON value and the field that it stands in.
type spot struct {
	v     jsonValue
	param string
}

// given makes a Given of what stands at a spot, or reports its type.
func given[T any](u *uniallBody, at spot, value T, fits bool, takes string) catalog.Given[T] {
	g := catalog.Give(value, at.param, at.v.at)

	if !fits {
		var none T

		g.Value = none
		g.Wrong = true

		u.wrongType(at.v, at.param, takes)
	}

	return g
}

func takeText(slot func(*catalog.Ask) *catalog.Given[string]) func(*uniallBody, jsonValue, string) {
	return func(u *uniallBody, v jsonValue, param string) {
		*slot(&u.ask) = given(u, spot{v, param}, v.text, v.kind == jsonString, "a string")
	}
}

func takePointer(slot func(*catalog.Ask) *catalog.Given[string]) func(*uniallBody, jsonValue, string) {
	return func(u *uniallBody, v jsonValue, param string) {
		*slot(&u.ask) = u.pointer(spot{v, param}, "a string")
	}
}

// pointer takes what a reference is: a string, or a file that came along.
func (u *uniallBody) pointer(at spot, takes string) catalog.Given[string] {
	if at.v.kind == jsonFile && at.v.file.wrong != nil {
		named := *at.v.file.wrong
		named.Param = at.param
		u.ask.Faults = append(u.ask.Faults, catalog.Placed{At: at.v.at, Fault: named})

		return catalog.Given[string]{Param: at.param, At: at.v.at, Wrong: true}
	}

	return given(u, at, at.v.text, at.v.kind == jsonString || at.v.kind == jsonFile, takes)
}

func takeFlag(slot func(*catalog.Ask) *catalog.Given[bool]) func(*uniallBody, jsonValue, string) {
	return func(u *uniallBody, v jsonValue, param string) {
		yes, ok := v.flag()
		*slot(&u.ask) = given(u, spot{v, param}, yes, ok, "true or false")
	}
}

func takeNumber(slot func(*catalog.Ask) *catalog.Given[catalog.Number]) func(*uniallBody, jsonValue, string) {
	return func(u *uniallBody, v jsonValue, param string) {
		*slot(&u.ask) = given(u, spot{v, param}, catalog.Number(v.text), v.numeric(), "a whole number")
	}
}

func takeTexts(slot func(*catalog.Ask) *catalog.Given[[]catalog.Given[string]]) func(*uniallBody, jsonValue, string) {
	return func(u *uniallBody, v jsonValue, param string) {
		var list []catalog.Given[string]
		for i, item := range v.items {
			list = append(list, u.pointer(spot{item, fmt.Sprintf("%s[%d]", param, i)}, "a string"))
		}

		*slot(&u.ask) = given(u, spot{v, param}, list, v.kind == jsonArray, "an array of strings")
	}
}

// takeDuration takes 5, 5.0 and "5": UniAll's own pages have numbers and strings.
func (u *uniallBody) takeDuration(v jsonValue, param string) {
	u.ask.Duration = given(u, spot{v, param}, catalog.Number(v.text), v.kind == jsonNumber || v.kind == jsonString, "a whole number of seconds")
}

// takeAudio tells the guide audio, a string, from the choice of sound, a boolean.
func (u *uniallBody) takeAudio(v jsonValue, param string) {
	if yes, ok := v.flag(); ok {
		u.ask.Sound = catalog.Give(yes, param, v.at)
		return
	}

	u.ask.Audio = u.pointer(spot{v, param}, "a string (the guide audio), or true or false (sound or none)")
}

func (u *uniallBody) takeReferences(v jsonValue, param string) {
	var list []catalog.Pointed

	for i, item := range v.items {
		place := fmt.Sprintf("%s[%d]", param, i)
		if item.kind == jsonObject {
			list = append(list, u.pointed(item, place))
		} else {
			list = append(list, catalog.Pointed{URL: u.pointer(spot{item, place}, "a string or an object like {\"type\": \"image\", \"url\": \"...\"}")})
		}
	}

	u.ask.References = given(u, spot{v, param}, list, v.kind == jsonArray, "an array of strings or of objects with type and url")
}

// pointed reads one {type, url}.
func (u *uniallBody) pointed(object jsonValue, place string) catalog.Pointed {
	var p catalog.Pointed

	for _, m := range u.once(object, place) {
		param := u.inside(place, m.name)
		switch {
		case m.name == "url":
			p.URL = u.pointer(spot{m.value, param}, "a string")
		case m.name == "type" && m.value.kind == jsonNull:
		case m.name == "type":
			p.Type = given(u, spot{m.value, param}, m.value.text, m.value.kind == jsonString, "a string: image or video")
		default:
			u.fault(m.at, fault.CodeUnknownField, param, "A reference has the fields type and url only.")
		}
	}

	if !p.URL.Has() {
		param := u.inside(place, "url")
		p.URL = catalog.Given[string]{Param: param, At: object.at, Wrong: true}
		u.fault(math.MaxInt, fault.CodeMissingField, param, "Say in `url` where the reference is.")
	}

	return p
}

func (u *uniallBody) takeMetadata(v jsonValue, param string) {
	var pairs []catalog.Pair

	for _, m := range u.once(v, param) {
		if m.value.kind == jsonNull {
			continue
		}

		pairs = append(pairs, catalog.Pair{Key: m.name, Value: given(u, spot{m.value, u.inside(param, m.name)}, m.value.text, m.value.kind == jsonString, "a string")})
	}

	u.ask.Metadata = given(u, spot{v, param}, pairs, v.kind == jsonObject, "an object of strings")
}

// once is an object's members without those that stand there again; another
// value the second time is a fault.
func (u *uniallBody) once(object jsonValue, place string) []jsonMember {
	seen := make(map[string]jsonMember, len(object.members))

	var list []jsonMember

	for _, m := range object.members {
		param := u.inside(place, m.name)
		if first, again := seen[m.name]; again {
			u.conflict(first, m, param)
			continue
		}

		seen[m.name] = jsonMember{name: param, value: m.value}
		list = append(list, m)
	}

	return list
}

// brief cuts a customer's name for a field: an answer repeats it, but not at any
// length.
func brief(name string) string {
	const longest = 80
	if len(name) <= longest {
		return name
	}

	return strings.ToValidUTF8(name[:longest], "") + "…"
}
