package api

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
)

// The objects of a body.
const (
	dashScopeInput      = "input"
	dashScopeParameters = "parameters"
)

// dashScopeLines says which keys a line of DashScope's models has beside those of all:
// the first row that fits. Any other key is ignored there, and so it is here. The
// pages are those of internal/provider/dashscope, whose shapes are the same the
// other way round.
var dashScopeLines = []struct {
	begins string // how the names of its models begin
	keys   []string
}{
	{"wan2.6-r2v-flash", []string{"negative_prompt", "reference_urls", "reference_video_urls", "audio_url", "size", "shot_type", "audio"}},
	{"wan2.6-r2v", []string{"negative_prompt", "reference_urls", "reference_video_urls", "audio_url", "size", "shot_type"}},
	{"wan2.6-t2v", []string{"negative_prompt", "audio_url", "size", "shot_type"}},
	{"wan2.6-i2v-flash", []string{"negative_prompt", "img_url", "audio_url", "template", "resolution", "shot_type", "audio"}},
	{"wan2.6-i2v", []string{"negative_prompt", "img_url", "audio_url", "template", "resolution", "shot_type"}},
	{"wan2.7-i2v", []string{"negative_prompt", "media", "img_url", "audio_url", "resolution"}}, // img_url: as the AI SDK sends it
	{"wan2.7-", []string{"negative_prompt", "media", "audio_url", "resolution", "ratio"}},
	{"wan3.0-", []string{"media", "resolution", "ratio", "audio"}},
}

// dashScopeKeys are those that every line has.
var dashScopeKeys = []string{"prompt", "duration", "prompt_extend", "watermark", "seed"}

var dashScopeFields = []uniallField{
	{"input.prompt", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Prompt })},
	{"input.negative_prompt", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.NegativePrompt })},
	{"input.reference_urls", true, (*uniallBody).takeReferences},
	{"input.reference_video_urls", true, takeTexts(func(a *catalog.Ask) *catalog.Given[[]catalog.Given[string]] { return &a.Videos })},
	{"input.img_url", true, takePointer(func(a *catalog.Ask) *catalog.Given[string] { return &a.Image })},
	{"input.audio_url", true, takePointer(func(a *catalog.Ask) *catalog.Given[string] { return &a.Audio })},
	{"input.media", true, (*uniallBody).takeMedia},
	{"input.template", true, (*uniallBody).refuseKey},
	{"parameters.size", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Size })},
	{"parameters.resolution", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.Tier })},
	{"parameters.ratio", true, (*uniallBody).takeFormat},
	{"parameters.duration", true, (*uniallBody).takeDuration},
	{"parameters.shot_type", true, takeText(func(a *catalog.Ask) *catalog.Given[string] { return &a.ShotType })},
	{"parameters.audio", true, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.Sound })},
	{"parameters.prompt_extend", true, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.PromptExpansion })},
	{"parameters.watermark", true, takeFlag(func(a *catalog.Ask) *catalog.Given[bool] { return &a.Watermark })},
	{"parameters.seed", true, takeNumber(func(a *catalog.Ask) *catalog.Given[catalog.Number] { return &a.Seed })},
}

// decodeDashScope reads the body of an order in DashScope's dialect (R2V, T2V, I2V API
// references, "create task"). uploaded gives the id of the file under an oss:// key,
// "" when it is no key of ours.
func decodeDashScope(root jsonValue, models *catalog.Catalog, uploaded func(key string) string) catalog.Ask {
	u := &uniallBody{}
	body := map[string]jsonMember{}

	for _, m := range u.once(root.only([]string{"model", dashScopeInput, dashScopeParameters}), "") {
		if m.value.kind != jsonNull {
			body[m.name] = m
		}
	}

	if m, ok := body["model"]; ok {
		u.ask.Model = given(u, spot{m.value, m.name}, m.value.text, m.value.kind == jsonString, "a string")
	}

	keys := keysOf(u.ask.Model.Value)
	if _, ok := body[dashScopeInput]; !ok {
		u.fault(math.MaxInt, fault.CodeMissingField, dashScopeInput, "Say in `input` what the video shall show.")
	}

	for _, name := range []string{dashScopeInput, dashScopeParameters} {
		if m, ok := body[name]; ok && m.value.kind != jsonObject {
			u.wrongType(m.value, name, "an object")
		}

		for _, m := range u.once(body[name].value.only(keys), name) {
			i := slices.IndexFunc(dashScopeFields, func(f uniallField) bool { return f.name == name+"."+m.name })
			if i >= 0 && m.value.kind != jsonNull {
				dashScopeFields[i].take(u, m.value, name+"."+m.name)
			}
		}
	}

	u.ask.Model.Value = models.Called("dashscope", u.ask.Model.Value)

	u.ask.Names = map[string]string{"prompt": "input.prompt", "image": "input.img_url", "references": "input.reference_urls"}
	if slices.Contains(keys, "media") && u.ask.References.Param != "input.reference_urls" {
		u.ask.Names["image"] = "input.media"
		u.ask.Names["references"] = "input.media"
		u.ask.Retell = retellCounted
	}

	u.ask.Wordless = true
	u.settleDashScope(uploaded)

	return u.ask
}

// only is an object without the members that are ignored, however often they stand.
func (v jsonValue) only(names []string) jsonValue {
	v.members = slices.DeleteFunc(slices.Clone(v.members), func(m jsonMember) bool { return !slices.Contains(names, m.name) })
	return v
}

// keysOf is every key that bodies for a model have.
func keysOf(model string) []string {
	for _, line := range dashScopeLines {
		if strings.HasPrefix(model, line.begins) {
			return append(slices.Clone(dashScopeKeys), line.keys...)
		}
	}

	all := slices.Clone(dashScopeKeys) // a model of ours alone
	for _, line := range dashScopeLines {
		all = append(all, line.keys...)
	}

	return all
}

// settleDashScope settles what several fields say together.
func (u *uniallBody) settleDashScope(uploaded func(string) string) {
	a := &u.ask
	if a.References.Has() && a.Videos.Has() {
		u.fault(a.Videos.At, fault.CodeConflict, a.Videos.Param, "`input.reference_urls` gives videos too; put all into it.")
		a.Videos = catalog.Given[[]catalog.Given[string]]{}
	}

	if a.Sound.Fit() && !a.Sound.Value {
		a.Audio = catalog.Given[string]{} // "audio: false takes precedence over audio_url"
	}

	u.place(&a.Image, uploaded)
	bare(&a.Image)
	u.place(&a.Audio, uploaded)

	for i := range a.Videos.Value {
		u.place(&a.Videos.Value[i], uploaded)
	}

	for i := range a.References.Value {
		u.place(&a.References.Value[i].URL, uploaded)
	}
}

// place puts a file's id where an oss:// key stands.
func (u *uniallBody) place(g *catalog.Given[string], uploaded func(string) string) {
	key, ok := strings.CutPrefix(g.Value, "oss://")
	if !ok {
		return
	}

	if g.Value = uploaded(key); g.Value == "" {
		g.Wrong = true
		u.fault(g.At, fault.CodeInvalidValue, g.Param, "Nothing was uploaded here under this oss:// key; GET /api/v1/uploads?action=getPolicy says where to upload.")
	}
}

// bare takes a picture's bytes in base64 alone, as the AI SDK sends them.
func bare(g *catalog.Given[string]) {
	if strings.Contains(g.Value, ":") {
		return
	}

	head := min(len(g.Value), base64.StdEncoding.EncodedLen(fetch.SniffBytes)) / 4 * 4

	bytes, err := base64.StdEncoding.DecodeString(g.Value[:head])
	if media, ok := fetch.Sniff(bytes); err == nil && ok {
		g.Value = "data:" + media.Name + ";base64," + g.Value
	}
}

// refuseKey names what the supplier has and we do not, where leaving it out would
// make another video.
func (u *uniallBody) refuseKey(v jsonValue, param string) {
	u.fault(v.at, fault.CodeInvalidValue, param, fmt.Sprintf("There is no `%s` here; leave it out.", brief(param)))
}

// takeFormat takes "16:9"; adaptive leaves it open.
func (u *uniallBody) takeFormat(v jsonValue, param string) {
	if v.text != "adaptive" {
		u.ask.Format = given(u, spot{v, param}, v.text, v.kind == jsonString, "a string like 16:9")
	}
}

// mediaTypes: what an entry of input.media is to us.
var mediaTypes = map[string]catalog.Kind{
	"reference_image": catalog.Image, "reference_video": catalog.Video,
	"first_frame": "", "driving_audio": catalog.Audio, "reference_audio": catalog.Audio,
}

// takeMedia takes pictures, videos and sounds in one list.
func (u *uniallBody) takeMedia(v jsonValue, param string) {
	whole := given(u, spot{v, param}, []catalog.Pointed(nil), v.kind == jsonArray, "an array of objects with type and url")
	for i, item := range v.items {
		place := fmt.Sprintf("%s[%d]", param, i)
		if item.kind != jsonObject {
			u.wrongType(item, place, "an object with type and url")

			whole.Wrong = true

			continue
		}

		m := u.medium(item, place)

		kind, known := mediaTypes[m.Type.Value]
		switch {
		case !m.Type.Fit():
		case !known:
			u.fault(m.Type.At, fault.CodeInvalidValue, m.Type.Param, fmt.Sprintf("There are no media of the type %q here, but %s.", brief(m.Type.Value), strings.Join(slices.Sorted(maps.Keys(mediaTypes)), ", ")))
		case kind == "":
			u.single(&u.ask.Image, m.URL)
		case kind == catalog.Audio:
			u.single(&u.ask.Audio, m.URL)
		default:
			m.Type.Value = string(kind)
			whole.Value = append(whole.Value, m)
		}
	}

	if len(whole.Value) > 0 || whole.Wrong {
		u.ask.References = whole
	}
}

// single takes what there is one of.
func (u *uniallBody) single(slot *catalog.Given[string], g catalog.Given[string]) {
	if slot.Has() {
		u.fault(g.At, fault.CodeInvalidValue, g.Param, fmt.Sprintf("There is one of this kind at most; `%s` is it.", slot.Param))
		return
	}

	*slot = g
}

// medium reads one entry of input.media. Other keys are ignored.
func (u *uniallBody) medium(object jsonValue, place string) (p catalog.Pointed) {
	missing := func(name string) catalog.Given[string] {
		param := place + "." + name
		u.fault(math.MaxInt, fault.CodeMissingField, param, "A medium has a type and a url.")

		return catalog.Given[string]{Param: param, At: object.at, Wrong: true}
	}
	for _, m := range u.once(object.only([]string{"type", "url", "reference_voice"}), place) {
		param := place + "." + m.name
		switch {
		case m.value.kind == jsonNull:
		case m.name == "type":
			p.Type = given(u, spot{m.value, param}, m.value.text, m.value.kind == jsonString, "a string")
		case m.name == "url":
			p.URL = u.pointer(spot{m.value, param}, "a string")
		case m.name == "reference_voice":
			u.refuseKey(m.value, param)
		}
	}

	if !p.Type.Has() {
		p.Type = missing("type")
	}

	if !p.URL.Has() {
		p.URL = missing("url")
	}

	return p
}

// counted is how prompts from 2.7 on name a reference: "Image 1", "Video 1", 图1, 视频1,
// each kind counted for itself.
var counted = regexp.MustCompile(`(?i)\b(image|video) ?([0-9]+)|(图|视频) ?([0-9]+)`)

// retellCounted names the references as we do, character1 and on. What is none of them
// stays as it is.
func retellCounted(prompt string, references []catalog.Reference) string {
	numbers := map[catalog.Kind][]int{} // of the references of a kind, in our order
	for i, ref := range references {
		numbers[ref.Kind] = append(numbers[ref.Kind], i+1)
	}

	words := map[string]catalog.Kind{"image": catalog.Image, "video": catalog.Video, "图": catalog.Image, "视频": catalog.Video}

	return counted.ReplaceAllStringFunc(prompt, func(said string) string {
		m := counted.FindStringSubmatch(said)
		list := numbers[words[strings.ToLower(m[1]+m[3])]]

		n, err := strconv.Atoi(m[2] + m[4])
		if err != nil || n < 1 || n > len(list) {
			return said
		}

		return "character" + strconv.Itoa(list[n-1])
	})
}
