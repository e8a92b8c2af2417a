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

// The objects of a request body.
const (
	dashScopeInput      = "input"
	dashScopeParameters = "parameters"
)

// dashScopeSeries lists the keys that a series of DashScope's models has besides
// dashScopeKeys; the first row whose prefix matches counts. DashScope ignores any other
// key, and so do we. The sources are the pages named in internal/provider/dashscope, which
// writes the same shapes.
var dashScopeSeries = []struct {
	prefix string // of the names of its models
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

// dashScopeKeys are the keys that every series has.
var dashScopeKeys = []string{"prompt", "duration", "prompt_extend", "watermark", "seed"}

var dashScopeFields = []requestField{
	{"input.prompt", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Prompt })},
	{"input.negative_prompt", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.NegativePrompt })},
	{"input.reference_urls", true, (*requestDecoder).decodeReferences},
	{"input.reference_video_urls", true, decodeReferenceList(func(a *catalog.RawRequest) *catalog.Field[[]catalog.Field[string]] { return &a.Videos })},
	{"input.img_url", true, decodeURLOrFile(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Image })},
	{"input.audio_url", true, decodeURLOrFile(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Audio })},
	{"input.media", true, (*requestDecoder).decodeMedia},
	{"input.template", true, (*requestDecoder).rejectField},
	{"parameters.size", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Size })},
	{"parameters.resolution", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.Tier })},
	{"parameters.ratio", true, (*requestDecoder).decodeAspectRatio},
	{"parameters.duration", true, (*requestDecoder).decodeDuration},
	{"parameters.shot_type", true, decodeText(func(a *catalog.RawRequest) *catalog.Field[string] { return &a.ShotType })},
	{"parameters.audio", true, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.Sound })},
	{"parameters.prompt_extend", true, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.PromptExpansion })},
	{"parameters.watermark", true, decodeBool(func(a *catalog.RawRequest) *catalog.Field[bool] { return &a.Watermark })},
	{"parameters.seed", true, decodeNumber(func(a *catalog.RawRequest) *catalog.Field[catalog.Number] { return &a.Seed })},
}

// decodeDashScope decodes the body of a create request in DashScope's dialect (R2V, T2V
// and I2V API references, "create task"). uploaded returns the id of the file uploaded
// under an oss:// key, "" for a key that this server did not issue.
func decodeDashScope(root jsonValue, models *catalog.Catalog, fileIDByKey func(key string) string) catalog.RawRequest {
	d := &requestDecoder{}
	body := map[string]jsonMember{}

	for _, m := range d.uniqueMembers(root.onlyMembers([]string{"model", dashScopeInput, dashScopeParameters}), "") {
		if m.value.kind != jsonNull {
			body[m.name] = m
		}
	}

	if m, ok := body["model"]; ok {
		d.raw.Model = fieldAt(d, locatedValue{m.value, m.name}, m.value.text, m.value.kind == jsonString, "a string")
	}

	keys := dashScopeKeysOf(d.raw.Model.Value)
	if _, ok := body[dashScopeInput]; !ok {
		d.addFault(math.MaxInt, fault.CodeMissingField, dashScopeInput, "`input` is missing; describe in it what the video should show.")
	}

	for _, name := range []string{dashScopeInput, dashScopeParameters} {
		if m, ok := body[name]; ok && m.value.kind != jsonObject {
			d.addWrongType(m.value, name, "an object")
		}

		for _, m := range d.uniqueMembers(body[name].value.onlyMembers(keys), name) {
			i := slices.IndexFunc(dashScopeFields, func(f requestField) bool { return f.name == name+"."+m.name })
			if i >= 0 && m.value.kind != jsonNull {
				dashScopeFields[i].decode(d, m.value, name+"."+m.name)
			}
		}
	}

	d.raw.Model.Value = models.LocalName("dashscope", d.raw.Model.Value)
	d.raw.FieldNames = map[string]string{"prompt": "input.prompt", "image": "input.img_url", "references": "input.reference_urls"}

	if slices.Contains(keys, "media") && d.raw.References.Param != "input.reference_urls" {
		d.raw.FieldNames["image"] = "input.media"
		d.raw.FieldNames["references"] = "input.media"
		d.raw.RewritePrompt = rewriteCountedReferences
	}

	d.raw.PromptOptional = true
	d.resolveDashScope(fileIDByKey)

	return d.raw
}

// onlyMembers returns an object without the members that are ignored, even if they are
// repeated.
func (v jsonValue) onlyMembers(names []string) jsonValue {
	v.members = slices.DeleteFunc(slices.Clone(v.members), func(m jsonMember) bool { return !slices.Contains(names, m.name) })
	return v
}

// dashScopeKeysOf returns every key that a body for a model may have.
func dashScopeKeysOf(model string) []string {
	for _, series := range dashScopeSeries {
		if strings.HasPrefix(model, series.prefix) {
			return append(slices.Clone(dashScopeKeys), series.keys...)
		}
	}

	all := slices.Clone(dashScopeKeys) // a model that only Unireel has
	for _, series := range dashScopeSeries {
		all = append(all, series.keys...)
	}

	return all
}

// resolveDashScope resolves fields that depend on each other, and oss:// keys.
func (d *requestDecoder) resolveDashScope(fileIDByKey func(string) string) {
	raw := &d.raw
	if raw.References.IsSet() && raw.Videos.IsSet() {
		d.addFault(raw.Videos.Pos, fault.CodeConflictingFields, raw.Videos.Param, "`input.reference_urls` may contain videos too; put all references into it.")
		raw.Videos = catalog.Field[[]catalog.Field[string]]{}
	}

	if raw.Sound.Valid() && !raw.Sound.Value {
		raw.Audio = catalog.Field[string]{} // "audio: false takes precedence over audio_url"
	}

	d.resolveUpload(&raw.Image, fileIDByKey)
	addDataURIPrefix(&raw.Image)
	d.resolveUpload(&raw.Audio, fileIDByKey)

	for i := range raw.Videos.Value {
		d.resolveUpload(&raw.Videos.Value[i], fileIDByKey)
	}

	for i := range raw.References.Value {
		d.resolveUpload(&raw.References.Value[i].URL, fileIDByKey)
	}
}

// resolveUpload replaces an oss:// key with the id of its file.
func (d *requestDecoder) resolveUpload(field *catalog.Field[string], fileIDByKey func(string) string) {
	key, ok := strings.CutPrefix(field.Value, "oss://")
	if !ok {
		return
	}

	if field.Value = fileIDByKey(key); field.Value == "" {
		field.BadType = true
		d.addFault(field.Pos, fault.CodeInvalidValue, field.Param, "No file was uploaded here under this oss:// key; GET /api/v1/uploads?action=getPolicy returns where to upload.")
	}
}

// addDataURIPrefix turns plain base64 of an image into a data URI; the AI SDK sends images
// without a prefix. Only the first bytes are decoded, to detect the media type.
func addDataURIPrefix(field *catalog.Field[string]) {
	if strings.Contains(field.Value, ":") {
		return
	}

	head := min(len(field.Value), base64.StdEncoding.EncodedLen(fetch.SniffBytes)) / 4 * 4

	bytes, err := base64.StdEncoding.DecodeString(field.Value[:head])
	if media, ok := fetch.Sniff(bytes); err == nil && ok {
		field.Value = "data:" + media.Name + ";base64," + field.Value
	}
}

// rejectField refuses a field that DashScope has and Unireel does not, where ignoring it
// would produce a different video.
func (d *requestDecoder) rejectField(v jsonValue, param string) {
	d.addFault(v.pos, fault.CodeInvalidValue, param, fmt.Sprintf("`%s` is not supported here; leave it out.", truncateName(param)))
}

// decodeAspectRatio takes a ratio like "16:9"; "adaptive" leaves it open.
func (d *requestDecoder) decodeAspectRatio(v jsonValue, param string) {
	if v.text != "adaptive" {
		d.raw.AspectRatio = fieldAt(d, locatedValue{v, param}, v.text, v.kind == jsonString, "a string like 16:9")
	}
}

// mediaTypes maps the type of an entry of input.media to the kind of reference; "" is the
// first frame.
var mediaTypes = map[string]catalog.Kind{
	"reference_image": catalog.Image, "reference_video": catalog.Video,
	"first_frame": "", "driving_audio": catalog.Audio, "reference_audio": catalog.Audio,
}

// decodeMedia takes pictures, videos and audio from one list.
func (d *requestDecoder) decodeMedia(v jsonValue, param string) {
	references := fieldAt(d, locatedValue{v, param}, []catalog.ReferenceInput(nil), v.kind == jsonArray, "an array of objects with type and url")
	for i, item := range v.items {
		path := fmt.Sprintf("%s[%d]", param, i)
		if item.kind != jsonObject {
			d.addWrongType(item, path, "an object with type and url")

			references.BadType = true

			continue
		}

		m := d.readMediaItem(item, path)

		kind, known := mediaTypes[m.Type.Value]
		switch {
		case !m.Type.Valid():
		case !known:
			d.addFault(m.Type.Pos, fault.CodeInvalidValue, m.Type.Param, fmt.Sprintf("The media type %q is not supported; use one of %s.", truncateName(m.Type.Value), strings.Join(slices.Sorted(maps.Keys(mediaTypes)), ", ")))
		case kind == "":
			d.setSingle(&d.raw.Image, m.URL)
		case kind == catalog.Audio:
			d.setSingle(&d.raw.Audio, m.URL)
		default:
			m.Type.Value = string(kind)
			references.Value = append(references.Value, m)
		}
	}

	if len(references.Value) > 0 || references.BadType {
		d.raw.References = references
	}
}

// setSingle sets a field that may be given only once.
func (d *requestDecoder) setSingle(slot *catalog.Field[string], field catalog.Field[string]) {
	if slot.IsSet() {
		d.addFault(field.Pos, fault.CodeInvalidValue, field.Param, fmt.Sprintf("At most one of this kind is allowed; `%s` already gives it.", slot.Param))
		return
	}

	*slot = field
}

// readMediaItem reads one entry of input.media. Other keys are ignored.
func (d *requestDecoder) readMediaItem(object jsonValue, path string) (ref catalog.ReferenceInput) {
	missing := func(name string) catalog.Field[string] {
		param := path + "." + name
		d.addFault(math.MaxInt, fault.CodeMissingField, param, "An entry of `input.media` needs a type and a url.")

		return catalog.Field[string]{Param: param, Pos: object.pos, BadType: true}
	}
	for _, m := range d.uniqueMembers(object.onlyMembers([]string{"type", "url", "reference_voice"}), path) {
		param := path + "." + m.name
		switch {
		case m.value.kind == jsonNull:
		case m.name == "type":
			ref.Type = fieldAt(d, locatedValue{m.value, param}, m.value.text, m.value.kind == jsonString, "a string")
		case m.name == "url":
			ref.URL = d.urlOrFile(locatedValue{m.value, param}, "a string")
		case m.name == "reference_voice":
			d.rejectField(m.value, param)
		}
	}

	if !ref.Type.IsSet() {
		ref.Type = missing("type")
	}

	if !ref.URL.IsSet() {
		ref.URL = missing("url")
	}

	return ref
}

// countedReference matches how prompts from 2.7 on name a reference: "Image 1", "Video 1",
// 图1, 视频1. Each kind is counted separately.
var countedReference = regexp.MustCompile(`(?i)\b(image|video) ?([0-9]+)|(图|视频) ?([0-9]+)`)

// rewriteCountedReferences rewrites the references in a prompt to our names, character1
// and so on. Text that names no existing reference stays unchanged.
func rewriteCountedReferences(prompt string, references []catalog.Reference) string {
	numbers := map[catalog.Kind][]int{} // our numbers of the references of each kind, in order
	for i, ref := range references {
		numbers[ref.Kind] = append(numbers[ref.Kind], i+1)
	}

	words := map[string]catalog.Kind{"image": catalog.Image, "video": catalog.Video, "图": catalog.Image, "视频": catalog.Video}

	return countedReference.ReplaceAllStringFunc(prompt, func(match string) string {
		m := countedReference.FindStringSubmatch(match)
		list := numbers[words[strings.ToLower(m[1]+m[3])]]

		n, err := strconv.Atoi(m[2] + m[4])
		if err != nil || n < 1 || n > len(list) {
			return match
		}

		return "character" + strconv.Itoa(list[n-1])
	})
}
