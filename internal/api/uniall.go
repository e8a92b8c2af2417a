package api

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// decodeUniAll decodes the body of POST /v1/video/generations, as UniAll's R2V page
// (r2v-create-task) and openapi.yaml describe it. Every mistake (an unknown
// field, a wrong type, a field given twice) goes into the request's Faults, so that
// Validate can report it in order of position together with invalid values.
func decodeUniAll(root jsonValue) catalog.RawRequest {
	d := &requestDecoder{fields: uniallFields, seen: map[string]jsonMember{}}
	d.decodeObject(root, "")

	return d.raw
}

// requestDecoder decodes one body into a RawRequest.
type requestDecoder struct {
	fields   []requestField
	fromForm bool // it came as a form: the names of nested fields are written in brackets
	raw      catalog.RawRequest
	seen     map[string]jsonMember // fields read so far, by name, at the top level or in extra_body
	openAI   openAIInput
}

// requestField is a field and the function that decodes it.
type requestField struct {
	name         string
	topLevelOnly bool // not allowed in extra_body
	decode       func(u *requestDecoder, v jsonValue, param string)
}

// extraBody is the object whose fields may also be at the top level: SDKs that know an
// extra_body merge its fields into the body.
const extraBody = "extra_body"

var uniallFields = []requestField{
	{"model", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Model })},
	{"prompt", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Prompt })},
	{"image", true, decodeURLOrFile(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Image })},
	{"images", true, decodeReferenceList(func(a *catalog.RawRequest) *catalog.Field[[]catalog.Field[string]] { return &a.Images })},
	{"videos", true, decodeReferenceList(func(a *catalog.RawRequest) *catalog.Field[[]catalog.Field[string]] { return &a.Videos })},
	{"references", true, (*requestDecoder).decodeReferences},
	{"size", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Size })},
	{"duration", true, (*requestDecoder).decodeDuration},
	{"negative_prompt", false, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.NegativePrompt })},
	{"audio", false, (*requestDecoder).decodeAudio},
	{"shot_type", false, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.ShotType })},
	{"enable_prompt_expansion", false, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.PromptExpansion })},
	{"seed", false, decodeNumber(func(a *catalog.RawRequest) *catalog.Field[catalog.Number] { return &a.Seed })},
	{"watermark", false, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.Watermark })},
	{"webhook_url", false, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.WebhookURL })},
	{"metadata", false, (*requestDecoder).decodeMetadata},
	{"preview", false, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.Preview })},
	{"start_by", false, decodeNumber(func(a *catalog.RawRequest) *catalog.Field[catalog.Number] { return &a.StartBy })},
	{"references_check", false, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.ReferencesCheck })},
}

// uniallAliases maps names that similar APIs use to our fields, for suggestions.
var uniallAliases = map[string]string{
	"seconds": "duration", "prompt_extend": "enable_prompt_expansion", "extend_prompt": "enable_prompt_expansion",
	"audio_url": "audio", "enable_audio": "audio", "generate_audio": "audio",
	"image_url": "image", "img_url": "image", "input_reference": "image", "image_urls": "images", "reference_image_urls": "images",
	"video": "videos", "video_url": "videos", "video_urls": "videos", "reference_video_urls": "videos", "reference_urls": "references",
	"resolution": "size", "aspect_ratio": "size", "ratio": "size", "multi_shots": "shot_type",
	"callback_url": "webhook_url", "webhook": "webhook_url",
}

// decodeObject decodes the fields of the body, or of its extra_body.
func (d *requestDecoder) decodeObject(object jsonValue, prefix string) {
	for _, m := range object.members {
		if len(d.raw.Faults) >= catalog.MaxFaults {
			return // enough faults for one response
		}

		param := d.paramIn(prefix, m.name)
		i := slices.IndexFunc(d.fields, func(f requestField) bool { return f.name == m.name })

		inner := m.name == extraBody && prefix == ""
		switch {
		case i < 0 && !inner:
			d.addFault(m.pos, fault.CodeUnknownField, param, d.unknownField(m.name))
		case !inner && d.fields[i].topLevelOnly && prefix != "":
			d.addFault(m.pos, fault.CodeUnknownField, param, fmt.Sprintf("`%s` belongs at the top level of the body, not in `%s`.", m.name, extraBody))
		case m.value.kind == jsonNull || d.seenBefore(m, prefix):
		case inner && m.value.kind != jsonObject:
			d.addWrongType(m.value, param, "an object")
		case inner:
			d.decodeObject(m.value, extraBody)
		default:
			d.fields[i].decode(d, m.value, param)
		}
	}
}

// paramIn returns the full name of a field within parent, or at the top level.
func (d *requestDecoder) paramIn(parent, name string) string {
	switch {
	case parent == "":
		return truncateName(name)
	case d.fromForm:
		return parent + "[" + truncateName(name) + "]"
	}

	return parent + "." + truncateName(name)
}

func (d *requestDecoder) unknownField(name string) string {
	names := []string{extraBody}
	for _, f := range d.fields {
		names = append(names, f.name)
	}

	suggestion, ok := uniallAliases[strings.ToLower(name)]
	if !ok {
		suggestion, ok = catalog.Nearest(name, names)
	}

	if ok {
		return fmt.Sprintf("There is no field `%s`; did you mean `%s`?", truncateName(name), suggestion)
	}

	return fmt.Sprintf("There is no field `%s`. The fields are %s.", truncateName(name), strings.Join(names[1:], ", "))
}

// seenBefore reports whether the field was read before. A different value is a fault; the
// same value twice counts as one.
func (d *requestDecoder) seenBefore(m jsonMember, prefix string) bool {
	first, seen := d.seen[m.name]
	if !seen {
		d.seen[m.name] = jsonMember{name: d.paramIn(prefix, m.name), pos: m.pos, value: m.value}
		return false
	}

	d.addConflict(first, m, d.paramIn(prefix, m.name))

	return true
}

func (d *requestDecoder) addConflict(first, second jsonMember, param string) {
	if !first.value.equal(second.value) {
		d.addFault(second.pos, fault.CodeConflictingFields, param, fmt.Sprintf("`%s` is given twice with different values, the first time as `%s`; give it once.", truncateName(param), truncateName(first.name)))
	}
}

func (d *requestDecoder) addFault(at int, code fault.Code, param, detail string) {
	d.raw.Faults = append(d.raw.Faults, catalog.PositionedFault{Pos: at, Fault: *fault.New(code, param, detail)})
}

func (d *requestDecoder) addWrongType(v jsonValue, param, want string) {
	d.addFault(v.pos, fault.CodeWrongType, param, fmt.Sprintf("`%s` takes %s; this is %s.", truncateName(param), want, v.kind))
}

// locatedValue is a JSON value and the name of its field.
type locatedValue struct {
	value jsonValue
	param string
}

// fieldAt returns a catalog.Field for a located value. If the value does not fit, the
// field is marked as having the wrong type, and the fault says what it takes.
func fieldAt[T any](d *requestDecoder, at locatedValue, value T, ok bool, want string) catalog.Field[T] {
	field := catalog.NewField(value, at.param, at.value.pos)

	if !ok {
		var zero T

		field.Value = zero
		field.BadType = true

		d.addWrongType(at.value, at.param, want)
	}

	return field
}

// decodeText returns a function that decodes a string; slot selects the field of the
// request.
func decodeText(slot func(*catalog.RawRequest) *catalog.Field[string]) func(*requestDecoder, jsonValue, string) {
	return func(d *requestDecoder, v jsonValue, param string) {
		*slot(&d.raw) = fieldAt(d, locatedValue{v, param}, v.text, v.kind == jsonString, "a string")
	}
}

// decodeURLOrFile returns a function that decodes a string or a file.
func decodeURLOrFile(slot func(*catalog.RawRequest) *catalog.Field[string]) func(*requestDecoder, jsonValue, string) {
	return func(d *requestDecoder, v jsonValue, param string) {
		*slot(&d.raw) = d.urlOrFile(locatedValue{v, param}, "a string")
	}
}

// urlOrFile takes a reference: a string, or a file that was a part of the form.
func (d *requestDecoder) urlOrFile(at locatedValue, want string) catalog.Field[string] {
	if at.value.kind == jsonFile && at.value.file.fault != nil {
		fieldFault := *at.value.file.fault
		fieldFault.Param = at.param
		d.raw.Faults = append(d.raw.Faults, catalog.PositionedFault{Pos: at.value.pos, Fault: fieldFault})

		return catalog.Field[string]{Param: at.param, Pos: at.value.pos, BadType: true}
	}

	return fieldAt(d, at, at.value.text, at.value.kind == jsonString || at.value.kind == jsonFile, want)
}

// decodeBool returns a function that decodes a boolean.
func decodeBool(slot func(*catalog.RawRequest) *catalog.Field[bool]) func(*requestDecoder, jsonValue, string) {
	return func(d *requestDecoder, v jsonValue, param string) {
		yes, ok := v.boolValue()
		*slot(&d.raw) = fieldAt(d, locatedValue{v, param}, yes, ok, "true or false")
	}
}

// decodeNumber returns a function that decodes a number.
func decodeNumber(slot func(*catalog.RawRequest) *catalog.Field[catalog.Number]) func(*requestDecoder, jsonValue, string) {
	return func(d *requestDecoder, v jsonValue, param string) {
		*slot(&d.raw) = fieldAt(d, locatedValue{v, param}, catalog.Number(v.text), v.isNumeric(), "a whole number")
	}
}

// decodeReferenceList returns a function that decodes an array of strings or files.
func decodeReferenceList(slot func(*catalog.RawRequest) *catalog.Field[[]catalog.Field[string]]) func(*requestDecoder, jsonValue, string) {
	return func(d *requestDecoder, v jsonValue, param string) {
		var list []catalog.Field[string]
		for i, item := range v.items {
			list = append(list, d.urlOrFile(locatedValue{item, fmt.Sprintf("%s[%d]", param, i)}, "a string"))
		}

		*slot(&d.raw) = fieldAt(d, locatedValue{v, param}, list, v.kind == jsonArray, "an array of strings")
	}
}

// decodeDuration accepts 5, 5.0 and "5": UniAll's own pages have numbers and strings.
func (d *requestDecoder) decodeDuration(v jsonValue, param string) {
	d.raw.Duration = fieldAt(d, locatedValue{v, param}, catalog.Number(v.text), v.kind == jsonNumber || v.kind == jsonString, "a whole number of seconds")
}

// decodeAudio distinguishes the guide audio, a string or a file, from the choice of sound,
// a boolean.
func (d *requestDecoder) decodeAudio(v jsonValue, param string) {
	if yes, ok := v.boolValue(); ok {
		d.raw.Sound = catalog.NewField(yes, param, v.pos)
		return
	}

	d.raw.Audio = d.urlOrFile(locatedValue{v, param}, "a string (the guide audio), or true or false (sound or none)")
}

func (d *requestDecoder) decodeReferences(v jsonValue, param string) {
	var list []catalog.ReferenceInput

	for i, item := range v.items {
		path := fmt.Sprintf("%s[%d]", param, i)
		if item.kind == jsonObject {
			list = append(list, d.referenceObject(item, path))
		} else {
			list = append(list, catalog.ReferenceInput{URL: d.urlOrFile(locatedValue{item, path}, "a string or an object like {\"type\": \"image\", \"url\": \"...\"}")})
		}
	}

	d.raw.References = fieldAt(d, locatedValue{v, param}, list, v.kind == jsonArray, "an array of strings or of objects with type and url")
}

// referenceObject decodes one {type, url}.
func (d *requestDecoder) referenceObject(object jsonValue, path string) catalog.ReferenceInput {
	var ref catalog.ReferenceInput

	for _, m := range d.uniqueMembers(object, path) {
		param := d.paramIn(path, m.name)
		switch {
		case m.name == "url":
			ref.URL = d.urlOrFile(locatedValue{m.value, param}, "a string")
		case m.name == "type" && m.value.kind == jsonNull:
		case m.name == "type":
			ref.Type = fieldAt(d, locatedValue{m.value, param}, m.value.text, m.value.kind == jsonString, "a string: image or video")
		default:
			d.addFault(m.pos, fault.CodeUnknownField, param, "A reference has only the fields type and url.")
		}
	}

	if !ref.URL.IsSet() {
		param := d.paramIn(path, "url")
		ref.URL = catalog.Field[string]{Param: param, Pos: object.pos, BadType: true}
		d.addFault(math.MaxInt, fault.CodeMissingField, param, "Give the reference's location in `url`.")
	}

	return ref
}

func (d *requestDecoder) decodeMetadata(v jsonValue, param string) {
	var pairs []catalog.Pair

	for _, m := range d.uniqueMembers(v, param) {
		if m.value.kind == jsonNull {
			continue
		}

		pairs = append(pairs, catalog.Pair{Key: m.name, Value: fieldAt(d, locatedValue{m.value, d.paramIn(param, m.name)}, m.value.text, m.value.kind == jsonString, "a string")})
	}

	d.raw.Metadata = fieldAt(d, locatedValue{v, param}, pairs, v.kind == jsonObject, "an object of strings")
}

// uniqueMembers returns an object's members without repetitions. A repetition with a
// different value is a fault.
func (d *requestDecoder) uniqueMembers(object jsonValue, path string) []jsonMember {
	seen := make(map[string]jsonMember, len(object.members))

	var list []jsonMember

	for _, m := range object.members {
		param := d.paramIn(path, m.name)
		if first, again := seen[m.name]; again {
			d.addConflict(first, m, param)
			continue
		}

		seen[m.name] = jsonMember{name: param, value: m.value}
		list = append(list, m)
	}

	return list
}

// truncateName shortens a customer's field name: a response repeats it, but not at any
// length.
func truncateName(name string) string {
	const longest = 80
	if len(name) <= longest {
		return name
	}

	return strings.ToValidUTF8(name[:longest], "") + "…"
}
