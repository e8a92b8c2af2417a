package api

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// openAIVideo is what a task is called that was created in OpenAI's dialect.
const openAIVideo = "video"

// openAI marks a path as OpenAI's own.
func openAI(answer func(*call) error) func(*call) error {
	return func(c *call) error {
		c.openAI = true
		return answer(c)
	}
}

// createOpenAI is POST /v1/videos: OpenAI's fields and UniAll's, as a form (its
// clients send no other) or as JSON.
func (a *API) createOpenAI(c *call) error {
	if c.isForm() {
		return a.createByForm(c)
	}

	if !c.isJSON() {
		return fault.New(fault.CodeContentType, "Content-Type", "This path takes multipart/form-data (curl -F prompt=... -F model=...) or JSON (-H 'Content-Type: application/json').")
	}

	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	return a.submit(c, root, checkout.Order{Ask: decodeOpenAI(root, a.Catalog.Modes, false), Object: openAIVideo})
}

// openaiFields are UniAll's and what OpenAI has beside them.
var openaiFields = append(slices.Clone(uniallFields),
	uniallField{"seconds", true, (*uniallBody).takeSeconds},
	uniallField{inputReference, true, (*uniallBody).takeInputReference},
)

const inputReference = "input_reference"

// openaiParts is what OpenAI's own fields say, until it is known what the model
// makes of it.
type openaiParts struct {
	seconds  catalog.Given[catalog.Number]
	given    catalog.Given[struct{}] // input_reference as a whole
	pictures []catalog.Pointed
}

// decodeOpenAI reads the body of POST /v1/videos, JSON or a form made into the same
// values; modes says what a model makes videos from. Mistakes go into the Ask's
// Faults, as decodeUniAll's do.
func decodeOpenAI(root jsonValue, modes func(model string) []catalog.Mode, form bool) catalog.Ask {
	u := &uniallBody{fields: openaiFields, form: form, seen: map[string]jsonMember{}}
	u.read(root, "")
	u.ask.Names = map[string]string{"image": inputReference, "references": inputReference}
	u.length()

	if u.openai.given.Fit() {
		u.placeInputs(modes(u.ask.Model.Value))
	}

	return u.ask
}

// takeSeconds takes "5" as OpenAI has it, and 5.
func (u *uniallBody) takeSeconds(v jsonValue, param string) {
	u.openai.seconds = given(u, spot{v, param}, catalog.Number(v.text), v.kind == jsonNumber || v.kind == jsonString, "a whole number of seconds")
}

// length settles between seconds and duration.
func (u *uniallBody) length() {
	seconds := u.openai.seconds

	duration := u.ask.Duration
	switch {
	case !seconds.Has():
	case !duration.Has():
		u.ask.Duration = seconds
	case seconds.Wrong || duration.Wrong:
	case canonicalNumber(string(seconds.Value)) != canonicalNumber(string(duration.Value)):
		later := duration
		if seconds.At > duration.At {
			later = seconds
		}

		u.fault(later.At, fault.CodeConflict, later.Param, fmt.Sprintf("`%s` and `%s` say different lengths; give one of them.", seconds.Param, duration.Param))
	}
}

// takeInputReference takes a string, a file, an object like {"image_url": ...}, or
// an array of these. A form makes an array of them always.
func (u *uniallBody) takeInputReference(v jsonValue, param string) {
	u.openai.given = catalog.Give(struct{}{}, param, v.at)
	if v.kind != jsonArray {
		u.takeInput(v, param)
		return
	}

	for i, item := range v.items {
		place := param
		if len(v.items) > 1 || !u.form {
			place = fmt.Sprintf("%s[%d]", param, i)
		}

		u.takeInput(item, place)
	}
}

const inputTakes = `a file, a URL, a file id, or an object like {"image_url": "..."} or {"file_id": "..."}`

func (u *uniallBody) takeInput(v jsonValue, place string) {
	if v.kind != jsonObject {
		p := catalog.Pointed{URL: u.pointer(spot{v, place}, inputTakes)}
		if v.kind == jsonFile && v.file.kind != "" {
			p.Type = catalog.Give(v.file.kind, place, v.at)
		}

		u.input(p)

		return
	}

	found := false

	for _, m := range u.once(v, place) {
		param := u.inside(place, m.name)
		switch {
		case m.name != "image_url" && m.name != "file_id":
			u.fault(m.at, fault.CodeUnknownField, param, "An input_reference has image_url or file_id.")
		case m.value.kind == jsonNull:
		case found:
			u.fault(m.at, fault.CodeConflict, param, "An input_reference has image_url or file_id, not both; give each reference on its own.")
		default:
			found = true

			p := catalog.Pointed{URL: u.pointer(spot{m.value, param}, "a string")}
			if m.name == "image_url" && p.URL.Fit() {
				p.Type = catalog.Give(imageURLKind(p.URL.Value), param, m.at)
			}

			u.input(p)
		}
	}

	if !found {
		u.input(catalog.Pointed{URL: catalog.Given[string]{Param: place, At: v.at, Wrong: true}})
		u.fault(v.at, fault.CodeMissingField, place, "Say in `image_url` or `file_id` where the reference is.")
	}
}

// imageURLKind is image, unless a data URI says that it is a video: R2V models take
// those too.
func imageURLKind(link string) string {
	if strings.HasPrefix(link, "data:video/") {
		return string(catalog.Video)
	}

	return string(catalog.Image)
}

// input takes one reference. A sound is never one.
func (u *uniallBody) input(p catalog.Pointed) {
	if p.Type.Value == string(catalog.Audio) {
		u.fault(p.URL.At, fault.CodeFileType, p.URL.Param, "The bytes are a sound; an input_reference is a picture or a video. The guide audio stands in `audio`.")
		p.URL.Wrong = true
		p.Type = catalog.Given[string]{}
	}

	u.openai.pictures = append(u.openai.pictures, p)
}

// placeInputs puts the references where the model has them: one picture into image,
// otherwise all into the mixed list, whose order is that of the characters. Of a
// model that makes both, one picture is its first frame, as OpenAI has it.
func (u *uniallBody) placeInputs(modes []catalog.Mode) {
	list := u.openai.pictures
	if len(list) == 0 {
		return
	}

	single := len(list) == 1 && list[0].Type.Value != string(catalog.Video)

	characters := len(modes) == 0 || slices.Contains(modes, catalog.R2V) && (!slices.Contains(modes, catalog.I2V) || !single)
	if others := u.otherReferences(); len(others) > 0 {
		other := others[0]
		at := u.openai.given.At
		param := inputReference

		if other.At > at {
			at = other.At
			param = other.Param
		}

		u.fault(at, fault.CodeConflict, param, fmt.Sprintf("`%s` and `%s` both say what the video is made from; give all of it in one of them.", inputReference, other.Param))

		return
	}

	if characters {
		u.ask.References = catalog.Give(list, u.openai.given.Param, u.openai.given.At)
		return
	}

	u.ask.Image = list[0].URL
	if len(list) > 1 {
		second := list[1].URL
		u.fault(second.At, fault.CodeInvalidValue, second.Param, fmt.Sprintf("There are %d references; this model takes one picture. Several need a reference-to-video model.", len(list)))
	}
}

// otherReferences are UniAll's fields for the same that were given.
func (u *uniallBody) otherReferences() []catalog.Given[struct{}] {
	var list []catalog.Given[struct{}]

	add := func(has bool, param string, at int) {
		if has {
			list = append(list, catalog.Give(struct{}{}, param, at))
		}
	}
	a := &u.ask
	add(a.Image.Has(), a.Image.Param, a.Image.At)
	add(a.Images.Has(), a.Images.Param, a.Images.At)
	add(a.Videos.Has(), a.Videos.Param, a.Videos.At)
	add(a.References.Has(), a.References.Param, a.References.At)

	return list
}

// pollAfter is the header that tells OpenAI's clients when to ask again, in
// milliseconds.
const pollAfter = "openai-poll-after-ms"

const (
	pollSoon    = time.Second
	pollUnknown = 5 * time.Second // without an eta
	pollLate    = 15 * time.Second
)

// pollAfter is half of what is likely left: an end is then seen soon after it came,
// and a long wait asks seldom. eta is in unix seconds, nil when unknown.
func (a *API) pollAfter(eta *int64) time.Duration {
	if eta == nil {
		return pollUnknown
	}

	return min(pollLate, max(pollSoon, time.Unix(*eta, 0).Sub(a.Now())/2))
}

// asOpenAI tells a cancelled task of OpenAI's dialect in its states, on its paths:
// it has none for a cancelled one.
func (who seenBy) asOpenAI(t task.Task, v *video) {
	if who.openAI && t.Object == openAIVideo && t.State == task.Cancelled {
		v.Status = string(task.Failed)
		v.Error = &videoError{Code: string(fault.CodeCancelled), Message: "The task was cancelled; nothing was charged for it."}
	}
}

// asOpenAI makes ?status find what is told by that status.
func asOpenAI(f *store.Filter, status string) {
	cancelled := store.ObjectIn{Object: openAIVideo, State: task.Cancelled}
	switch status {
	case string(task.Failed):
		f.Besides = cancelled
	case string(task.Cancelled):
		f.Without = cancelled
	}
}

// createByForm is a create whose fields, and maybe files, are the parts of a form.
func (a *API) createByForm(c *call) error {
	in := c.arriving(a.MaxUpload+maxBody, fmt.Sprintf("The form is larger than the %d MiB that are taken in all.", (a.MaxUpload+maxBody)>>20))
	defer in.end()

	parts, err := in.form()
	if err != nil {
		return err
	}

	f := &formBody{room: maxBody, keep: func(name string, r io.Reader) (store.File, error) {
		return a.Checkout.ReceiveFile(c.ctx(), c.who(), name, r, a.MaxUpload)
	}}
	if err := f.read(parts); err != nil {
		a.Checkout.DropFiles(c.ctx(), f.files)
		return err
	}

	root := f.root()
	ask := decodeOpenAI(root, a.Catalog.Modes, true)
	ask.Faults = append(f.faults, ask.Faults...)

	return a.submit(c, root, checkout.Order{Ask: ask, Object: openAIVideo, Files: f.files})
}
