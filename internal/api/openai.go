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

// openAIVideoObject is the object name of a task that was created in OpenAI's dialect.
const openAIVideoObject = "video"

// openAIPath marks an endpoint's path as OpenAI's own.
func openAIPath(handle func(*requestContext) error) func(*requestContext) error {
	return func(c *requestContext) error {
		c.openAI = true
		return handle(c)
	}
}

// createOpenAI is POST /v1/videos: OpenAI's fields and UniAll's, as JSON or as a form, the
// only thing that OpenAI's clients send.
func (a *API) createOpenAI(c *requestContext) error {
	if c.isForm() {
		return a.createByForm(c)
	}

	if !c.isJSON() {
		return fault.New(fault.CodeUnsupportedContentType, "Content-Type", "This path accepts multipart/form-data (curl -F prompt=... -F model=...) or JSON (-H 'Content-Type: application/json').")
	}

	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	return a.createAndRespond(c, root, checkout.CreateRequest{Raw: decodeOpenAI(root, a.Catalog.Modes, false), Object: openAIVideoObject})
}

// openAIRequestFields are UniAll's fields and those that OpenAI has besides them.
var openAIRequestFields = append(slices.Clone(uniallFields),
	requestField{"seconds", true, (*requestDecoder).decodeSeconds},
	requestField{inputReferenceField, true, (*requestDecoder).decodeInputReference},
)

const inputReferenceField = "input_reference"

// openAIInput holds OpenAI's own fields until the whole body has been read: what they mean
// depends on the model and on other fields.
type openAIInput struct {
	seconds        catalog.Field[catalog.Number]
	inputReference catalog.Field[struct{}] // position of input_reference itself
	inputs         []catalog.ReferenceInput
}

// decodeOpenAI decodes the body of POST /v1/videos, JSON or a form that was turned into
// the same values. modes returns what a model makes videos from. Errors go into the
// request's Faults, as in decodeUniAll.
func decodeOpenAI(root jsonValue, modes func(model string) []catalog.Mode, form bool) catalog.RawRequest {
	d := &requestDecoder{fields: openAIRequestFields, fromForm: form, seen: map[string]jsonMember{}}
	d.decodeObject(root, "")
	d.raw.FieldNames = map[string]string{"image": inputReferenceField, "references": inputReferenceField}
	d.mergeDuration()

	if d.openAI.inputReference.Valid() {
		d.assignInputs(modes(d.raw.Model.Value))
	}

	return d.raw
}

// decodeSeconds takes "5", as OpenAI writes it, and 5.
func (d *requestDecoder) decodeSeconds(v jsonValue, param string) {
	d.openAI.seconds = fieldAt(d, locatedValue{v, param}, catalog.Number(v.text), v.kind == jsonNumber || v.kind == jsonString, "a whole number of seconds")
}

// mergeDuration merges seconds and duration; different values are a fault.
func (d *requestDecoder) mergeDuration() {
	seconds := d.openAI.seconds

	duration := d.raw.Duration
	switch {
	case !seconds.IsSet():
	case !duration.IsSet():
		d.raw.Duration = seconds
	case seconds.BadType || duration.BadType:
	case canonicalNumber(string(seconds.Value)) != canonicalNumber(string(duration.Value)):
		later := duration
		if seconds.Pos > duration.Pos {
			later = seconds
		}

		d.addFault(later.Pos, fault.CodeConflictingFields, later.Param, fmt.Sprintf("`%s` and `%s` give different lengths; send only one of them.", seconds.Param, duration.Param))
	}
}

// decodeInputReference takes a string, a file, an object like {"image_url": ...}, or an
// array of these. A form always yields an array.
func (d *requestDecoder) decodeInputReference(v jsonValue, param string) {
	d.openAI.inputReference = catalog.NewField(struct{}{}, param, v.pos)
	if v.kind != jsonArray {
		d.decodeInputItem(v, param)
		return
	}

	for i, item := range v.items {
		path := param
		if len(v.items) > 1 || !d.fromForm {
			path = fmt.Sprintf("%s[%d]", param, i)
		}

		d.decodeInputItem(item, path)
	}
}

const inputReferenceWant = `a file, a URL, a file id, or an object like {"image_url": "..."} or {"file_id": "..."}`

func (d *requestDecoder) decodeInputItem(v jsonValue, path string) {
	if v.kind != jsonObject {
		ref := catalog.ReferenceInput{URL: d.urlOrFile(locatedValue{v, path}, inputReferenceWant)}
		if v.kind == jsonFile && v.file.kind != "" {
			ref.Type = catalog.NewField(v.file.kind, path, v.pos)
		}

		d.addInput(ref)

		return
	}

	found := false

	for _, m := range d.uniqueMembers(v, path) {
		param := d.paramIn(path, m.name)
		switch {
		case m.name != "image_url" && m.name != "file_id":
			d.addFault(m.pos, fault.CodeUnknownField, param, "An input_reference has image_url or file_id.")
		case m.value.kind == jsonNull:
		case found:
			d.addFault(m.pos, fault.CodeConflictingFields, param, "An input_reference has image_url or file_id, not both; give each reference in an object of its own.")
		default:
			found = true

			ref := catalog.ReferenceInput{URL: d.urlOrFile(locatedValue{m.value, param}, "a string")}
			if m.name == "image_url" && ref.URL.Valid() {
				ref.Type = catalog.NewField(imageURLKind(ref.URL.Value), param, m.pos)
			}

			d.addInput(ref)
		}
	}

	if !found {
		d.addInput(catalog.ReferenceInput{URL: catalog.Field[string]{Param: path, Pos: v.pos, BadType: true}})
		d.addFault(v.pos, fault.CodeMissingField, path, "Give the reference in `image_url` or `file_id`.")
	}
}

// imageURLKind returns image, or video for a data URI of a video: R2V models accept those
// in image_url too.
func imageURLKind(link string) string {
	if strings.HasPrefix(link, "data:video/") {
		return string(catalog.Video)
	}

	return string(catalog.Image)
}

// addInput adds one reference. Audio is a fault.
func (d *requestDecoder) addInput(ref catalog.ReferenceInput) {
	if ref.Type.Value == string(catalog.Audio) {
		d.addFault(ref.URL.Pos, fault.CodeUnsupportedFileType, ref.URL.Param, "This is audio; an input_reference is a picture or a video. Send guide audio in `audio`.")
		ref.URL.BadType = true
		ref.Type = catalog.Field[string]{}
	}

	d.openAI.inputs = append(d.openAI.inputs, ref)
}

// assignInputs moves the references to the fields that the model uses: one picture to
// image, otherwise all to references, whose order is that of the characters in the prompt.
//
// If a model makes videos both from a first frame and from references, a single picture is
// the first frame, as in OpenAI's API. References must not come both from input_reference
// and from UniAll's fields, because their common order would be a guess; the fault names
// the later field.
func (d *requestDecoder) assignInputs(modes []catalog.Mode) {
	list := d.openAI.inputs
	if len(list) == 0 {
		return
	}

	single := len(list) == 1 && list[0].Type.Value != string(catalog.Video)

	useReferences := len(modes) == 0 || slices.Contains(modes, catalog.R2V) && (!slices.Contains(modes, catalog.I2V) || !single)
	if others := d.otherReferences(); len(others) > 0 {
		other := others[0]
		at := d.openAI.inputReference.Pos
		param := inputReferenceField

		if other.Pos > at {
			at = other.Pos
			param = other.Param
		}

		d.addFault(at, fault.CodeConflictingFields, param, fmt.Sprintf("`%s` and `%s` both give references; give all of them in one field.", inputReferenceField, other.Param))

		return
	}

	if useReferences {
		d.raw.References = catalog.NewField(list, d.openAI.inputReference.Param, d.openAI.inputReference.Pos)
		return
	}

	d.raw.Image = list[0].URL
	if len(list) > 1 {
		second := list[1].URL
		d.addFault(second.Pos, fault.CodeInvalidValue, second.Param, fmt.Sprintf("There are %d references; this model takes one picture. Use a reference-to-video model for several.", len(list)))
	}
}

// otherReferences returns UniAll's reference fields that were given.
func (d *requestDecoder) otherReferences() []catalog.Field[struct{}] {
	var list []catalog.Field[struct{}]

	add := func(has bool, param string, at int) {
		if has {
			list = append(list, catalog.NewField(struct{}{}, param, at))
		}
	}
	raw := &d.raw
	add(raw.Image.IsSet(), raw.Image.Param, raw.Image.Pos)
	add(raw.Images.IsSet(), raw.Images.Param, raw.Images.Pos)
	add(raw.Videos.IsSet(), raw.Videos.Param, raw.Videos.Pos)
	add(raw.References.IsSet(), raw.References.Param, raw.References.Pos)

	return list
}

// pollAfterHeader is the header that tells OpenAI's clients when to poll again, in
// milliseconds.
const pollAfterHeader = "openai-poll-after-ms"

const (
	minPollAfter     = time.Second
	defaultPollAfter = 5 * time.Second // without an eta
	maxPollAfter     = 15 * time.Second
)

// pollAfter returns half of the time that is likely left, within bounds: the end is then
// seen soon after it comes, and a long wait is polled seldom. eta is in unix seconds, nil
// when unknown.
func (a *API) pollAfter(eta *int64) time.Duration {
	if eta == nil {
		return defaultPollAfter
	}

	return min(maxPollAfter, max(minPollAfter, time.Unix(*eta, 0).Sub(a.Now())/2))
}

// applyOpenAIStatus shows a cancelled task of OpenAI's dialect as failed on OpenAI's
// paths: the dialect has no status for a cancelled task.
func (opts viewOptions) applyOpenAIStatus(t task.Task, v *video) {
	if opts.openAI && t.Object == openAIVideoObject && t.State == task.Cancelled {
		v.Status = string(task.Failed)
		v.Error = &videoError{Code: string(fault.CodeCancelled), Message: "The task was cancelled; nothing was charged for it."}
	}
}

// filterAsOpenAI makes ?status match the status that applyOpenAIStatus shows.
func filterAsOpenAI(f *store.TaskFilter, status string) {
	cancelled := store.ObjectState{Object: openAIVideoObject, State: task.Cancelled}
	switch status {
	case string(task.Failed):
		f.Including = cancelled
	case string(task.Cancelled):
		f.Excluding = cancelled
	}
}

// createByForm creates a task from a form: its parts are the fields, and possibly files.
func (a *API) createByForm(c *requestContext) error {
	in := c.limitedBody(a.MaxUpload+maxBody, fmt.Sprintf("The form is larger than the limit of %d MiB in total.", (a.MaxUpload+maxBody)>>20))
	defer in.clearDeadline()

	parts, err := in.form()
	if err != nil {
		return err
	}

	f := &formBody{textLeft: maxBody, save: func(name string, r io.Reader) (store.File, error) {
		return a.Checkout.StageFile(c.ctx(), c.caller(), name, r, a.MaxUpload)
	}}
	if err := f.read(parts); err != nil {
		a.Checkout.DiscardFiles(c.ctx(), f.files)
		return err
	}

	root := f.toObject()
	raw := decodeOpenAI(root, a.Catalog.Modes, true)
	raw.Faults = append(f.faults, raw.Faults...)

	return a.createAndRespond(c, root, checkout.CreateRequest{Raw: raw, Object: openAIVideoObject, Files: f.files})
}
