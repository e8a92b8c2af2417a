package catalog

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/unireel/unireel/internal/fault"
)

// references checks the references and puts them into the request, as the mode requires.
func (v *validator) references() {
	raw := v.raw
	if raw.References.IsSet() {
		for _, other := range []Field[[]Field[string]]{raw.Videos, raw.Images} {
			if other.IsSet() {
				v.addFault(laterOf(raw.References, other), fault.CodeConflictingFields, "`references` lists videos and images in a mixed order and cannot be combined with `videos` or `images`. Use one or the other.")
			}
		}
	}

	characters := v.characterReferences()

	image, hasImage := v.checkReference(raw.Image, Image)
	if v.model == nil {
		return
	}

	switch v.request.Mode {
	case R2V:
		if raw.Image.IsSet() {
			v.addFault(raw.Image, fault.CodeInvalidValue, "%s makes videos from references; put the picture in `images`.", v.request.Model)
		}

		v.request.References = characters
		v.checkReferenceCounts()

		if v.raw.RewritePrompt != nil {
			v.request.Prompt = v.raw.RewritePrompt(v.request.Prompt, characters)
		}

		v.warnUnknownCharacters()
	case I2V:
		v.rejectLists("%s makes its video from one picture; put it in `image`.")

		if hasImage {
			v.request.References = []Reference{image}
		} else if !raw.Image.IsSet() {
			v.addMissing("image", "%s needs one picture in `%s`.", v.request.Model, v.fieldName("image"))
		}
	default:
		v.rejectLists("%s makes its video from the prompt alone; references need a reference-to-video model.")

		if raw.Image.IsSet() {
			v.addFault(raw.Image, fault.CodeInvalidValue, "%s makes its video from the prompt alone; a picture needs a picture-to-video model.", v.request.Model)
		}
	}
}

// maxCheckedReferences limits how many references of a list are checked one by one:
// exceeding the model's count is one fault, not one for each reference.
const maxCheckedReferences = 16

// characterReferences returns the valid references in character order: videos, then images,
// or the mixed list.
func (v *validator) characterReferences() []Reference {
	raw := v.raw

	var list []Reference

	add := func(field Field[string], kind Kind) {
		if ref, ok := v.checkReference(field, kind); ok {
			list = append(list, ref)
		}
	}
	for _, field := range raw.Videos.Value[:min(len(raw.Videos.Value), maxCheckedReferences)] {
		add(field, Video)
	}

	for _, field := range raw.Images.Value[:min(len(raw.Images.Value), maxCheckedReferences)] {
		add(field, Image)
	}

	for _, input := range raw.References.Value[:min(len(raw.References.Value), maxCheckedReferences)] {
		kind := Kind("")
		if input.Type.Valid() {
			kind = Kind(input.Type.Value)
			if kind != Image && kind != Video {
				v.addFault(input.Type, fault.CodeInvalidValue, "The type of a reference must be image or video; leave it out to have it detected from the bytes.")

				kind = ""
			}
		}

		add(input.URL, kind)
	}

	return list
}

// checkReferenceCounts checks the number of references against the model's limits. It
// counts every entry that was sent, well-formed or not, so that one bad URL is not also
// reported as a missing reference.
func (v *validator) checkReferenceCounts() {
	raw := v.raw

	limits := v.modeSpec().References
	if raw.Videos.BadType || raw.Images.BadType || raw.References.BadType {
		return
	}

	videos := len(raw.Videos.Value)

	images := len(raw.Images.Value)
	for _, input := range raw.References.Value {
		switch input.Type.Value {
		case string(Video):
			videos++
		case string(Image):
			images++
		}
	}

	total := len(raw.Videos.Value) + len(raw.Images.Value) + len(raw.References.Value)
	listOf := func(field Field[[]Field[string]]) located {
		if raw.References.IsSet() {
			return raw.References
		}

		return field
	}

	switch {
	case total == 0 || total < limits.Min:
		where := "`videos` and `images`, or in `references`"
		if name := v.fieldName("references"); name != "references" {
			where = "`" + name + "`"
		}

		v.addMissing("references", "%s needs %d to %d references: put them in %s.", v.request.Model, limits.Min, limits.Max, where)
	case videos > limits.Videos:
		v.addFault(listOf(raw.Videos), fault.CodeInvalidValue, "There are %d reference videos; %s accepts at most %d.", videos, v.request.Model, limits.Videos)
	case images > limits.Images:
		v.addFault(listOf(raw.Images), fault.CodeInvalidValue, "There are %d reference pictures; %s accepts at most %d.", images, v.request.Model, limits.Images)
	case total > limits.Max:
		v.addFault(laterOf(raw.Videos, listOf(raw.Images)), fault.CodeInvalidValue, "There are %d references; %s accepts at most %d, videos and pictures together.", total, v.request.Model, limits.Max)
	}
}

// laterOf returns the field that comes later in the body, of those that were sent.
func laterOf(a, b located) located {
	_, posA := a.location()

	param, posB := b.location()
	if param == "" || posA > posB {
		if name, _ := a.location(); name != "" {
			return a
		}
	}

	return b
}

func (v *validator) rejectLists(format string) {
	raw := v.raw
	for _, field := range []Field[[]Field[string]]{raw.Videos, raw.Images} {
		if len(field.Value) > 0 {
			v.addFault(field, fault.CodeInvalidValue, format, v.request.Model)
		}
	}

	if len(raw.References.Value) > 0 {
		v.addFault(raw.References, fault.CodeInvalidValue, format, v.request.Model)
	}
}

// guideAudio checks the sound that the video is to follow.
func (v *validator) guideAudio() {
	field := v.raw.Audio

	ref, ok := v.checkReference(field, Audio)
	if !field.IsSet() || v.model == nil {
		return
	}

	switch v.modeSpec().GuideAudio {
	case GuideAudioUnsupported:
		if v.model.Sound {
			v.addFault(field, fault.CodeInvalidValue, "%s accepts no guide audio here; describe the sound in the prompt.", v.model.ID)
			break
		}

		v.addFault(field, fault.CodeInvalidValue, "%s makes silent videos and accepts no guide audio%s.", v.model.ID, v.suggestVariant(func(m *Model) bool {
			return m.Sound && m.Tier == v.model.Tier
		}))
	case GuideAudioUndocumented:
		v.addWarning(field, fault.CodeUndocumentedBySupplier, "The supplier does not document guide audio for %s; it is sent anyway and may have no effect.", v.model.ID)
	}

	if ok {
		v.request.Audio = &ref
	}
}

// maxURLLength limits a URL, in bytes. Signed URLs are long.
const maxURLLength = 8192

var (
	fileIDPattern  = regexp.MustCompile(`^file_[0-9A-Za-z_-]{1,80}$`)
	dataURIPattern = regexp.MustCompile(`^data:([a-z]+)/[a-zA-Z0-9.+-]{1,60}(;[a-zA-Z0-9-]{1,40}=[a-zA-Z0-9.-]{1,40}){0,3};base64,`)
)

// checkReference parses a reference and runs the dialect's CheckReference on it. It returns
// false if the field is not set or either finds a fault.
func (v *validator) checkReference(field Field[string], kind Kind) (Reference, bool) {
	ref, ok := v.parseReference(field, kind)
	if !ok || v.raw.CheckReference == nil {
		return ref, ok
	}

	f := v.raw.CheckReference(ref)
	if f == nil {
		return ref, true
	}

	named := *f
	named.Param = field.Param
	v.faults = append(v.faults, PositionedFault{Pos: field.Pos, Fault: named})

	return Reference{}, false
}

// parseReference checks the syntax of a reference. kind may be "" if only the bytes can
// tell; a data URI declares its own kind.
func (v *validator) parseReference(field Field[string], kind Kind) (Reference, bool) {
	if !field.Valid() {
		return Reference{}, false
	}

	ref := Reference{Kind: kind, Input: field.Value, Param: field.Param}
	switch {
	case strings.HasPrefix(field.Value, "file_"):
		if !fileIDPattern.MatchString(field.Value) {
			v.addFault(field, fault.CodeInvalidValue, "%s is not a file id; POST /v1/files returns one.", quote(field.Value))
			return Reference{}, false
		}
	case strings.HasPrefix(field.Value, "data:"):
		return v.parseDataURI(field, ref)
	default:
		if problem := urlProblem(field.Value); problem != "" {
			v.addFault(field, fault.CodeInvalidValue, "%s A reference is an http(s) URL, a file id (file_...) or a data URI.", problem)
			return Reference{}, false
		}
	}

	return ref, true
}

func (v *validator) parseDataURI(field Field[string], ref Reference) (Reference, bool) {
	part := dataURIPattern.FindStringSubmatch(field.Value[:min(len(field.Value), 256)])
	if part == nil {
		v.addFault(field, fault.CodeInvalidValue, "A data URI begins like data:image/png;base64, followed by the bytes in base64.")
		return Reference{}, false
	}

	declared := Kind(part[1])
	switch {
	case declared != Image && declared != Video && declared != Audio, ref.Kind == "" && declared == Audio:
		v.addFault(field, fault.CodeInvalidValue, "A reference cannot be of the type %s.", quote(part[1]))
	case ref.Kind != "" && declared != ref.Kind:
		v.addFault(field, fault.CodeInvalidValue, "This should be %s, but the data URI says that it is %s.", ref.Kind.withArticle(), declared.withArticle())
	case len(part[0]) == len(field.Value):
		v.addFault(field, fault.CodeInvalidValue, "The data URI has no bytes after its comma.")
	default:
		ref.Kind = declared
		return ref, true
	}

	return Reference{}, false
}

// urlProblem returns a sentence that says what is wrong with a URL, or "".
func urlProblem(link string) string {
	if len(link) > maxURLLength {
		return "The URL is longer than 8192 bytes."
	}

	if link == "" || strings.ContainsFunc(link, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "The URL is empty or contains white space."
	}

	u, err := url.Parse(link)
	switch {
	case err != nil:
		return quote(link) + " is not a URL."
	case u.Scheme != "http" && u.Scheme != "https": // url.Parse has converted it to lower case
		return "A URL must begin with http:// or https://."
	case u.Hostname() == "":
		return "The URL has no host."
	}

	return ""
}
