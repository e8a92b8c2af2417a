package catalog

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/unireel/unireel/internal/fault"
)

// references takes what the video is made from, as the mode has it.
func (v *validation) references() {
	a := v.ask
	if a.References.Has() {
		for _, other := range []Given[[]Given[string]]{a.Videos, a.Images} {
			if other.Has() {
				v.wrong(later(a.References, other), fault.CodeConflict, "`references` gives a mixed order; `videos` and `images` cannot stand beside it. Use one or the other.")
			}
		}
	}

	list := v.characterList()

	picture, hasPicture := v.media(a.Image, Image)
	if v.model == nil {
		return
	}

	switch v.out.Mode {
	case R2V:
		if a.Image.Has() {
			v.wrong(a.Image, fault.CodeInvalidValue, "%s makes videos from references; put the picture into `images`.", v.out.Model)
		}

		v.out.References = list
		v.count()

		if v.ask.Retell != nil {
			v.out.Prompt = v.ask.Retell(v.out.Prompt, list)
		}

		v.characters()
	case I2V:
		v.refuseLists("%s makes its video from one picture; put it into `image`.")

		if hasPicture {
			v.out.References = []Reference{picture}
		} else if !a.Image.Has() {
			v.missing("image", "%s needs one picture in `%s`.", v.out.Model, v.name("image"))
		}
	default:
		hint := "%s makes its video from the prompt alone; references need a reference-to-video model."
		v.refuseLists(hint)

		if a.Image.Has() {
			v.wrong(a.Image, fault.CodeInvalidValue, "%s makes its video from the prompt alone; a picture needs a picture-to-video model.", v.out.Model)
		}
	}
}

// maxListed bounds how many references are looked at one by one; more than a
// model takes is one fault, not one each.
const maxListed = 16

// characterList is the references in character order: videos, then images, or
// the mixed list.
func (v *validation) characterList() []Reference {
	a := v.ask

	var list []Reference

	add := func(g Given[string], kind Kind) {
		if ref, ok := v.media(g, kind); ok {
			list = append(list, ref)
		}
	}
	for _, g := range a.Videos.Value[:min(len(a.Videos.Value), maxListed)] {
		add(g, Video)
	}

	for _, g := range a.Images.Value[:min(len(a.Images.Value), maxListed)] {
		add(g, Image)
	}

	for _, p := range a.References.Value[:min(len(a.References.Value), maxListed)] {
		kind := Kind("")
		if p.Type.Fit() {
			kind = Kind(p.Type.Value)
			if kind != Image && kind != Video {
				v.wrong(p.Type, fault.CodeInvalidValue, "The type of a reference must be image or video; leave it out to let the bytes say.")

				kind = ""
			}
		}

		add(p.URL, kind)
	}

	return list
}

// count holds the references to the model's numbers. It counts what was given,
// well-formed or not, so that one bad URL is not also reported as a missing one.
func (v *validation) count() {
	a := v.ask

	most := v.sheet().References
	if a.Videos.Wrong || a.Images.Wrong || a.References.Wrong {
		return
	}

	videos := len(a.Videos.Value)

	images := len(a.Images.Value)
	for _, p := range a.References.Value {
		switch p.Type.Value {
		case string(Video):
			videos++
		case string(Image):
			images++
		}
	}

	all := len(a.Videos.Value) + len(a.Images.Value) + len(a.References.Value)
	in := func(g Given[[]Given[string]]) placed {
		if a.References.Has() {
			return a.References
		}

		return g
	}

	switch {
	case all == 0 || all < most.Min:
		where := "`videos` and `images`, or in `references`"
		if name := v.name("references"); name != "references" {
			where = "`" + name + "`"
		}

		v.missing("references", "%s needs %d to %d references: give them in %s.", v.out.Model, most.Min, most.Max, where)
	case videos > most.Videos:
		v.wrong(in(a.Videos), fault.CodeInvalidValue, "There are %d reference videos; %s takes at most %d.", videos, v.out.Model, most.Videos)
	case images > most.Images:
		v.wrong(in(a.Images), fault.CodeInvalidValue, "There are %d reference pictures; %s takes at most %d.", images, v.out.Model, most.Images)
	case all > most.Max:
		v.wrong(later(a.Videos, in(a.Images)), fault.CodeInvalidValue, "There are %d references; %s takes at most %d, videos and pictures together.", all, v.out.Model, most.Max)
	}
}

// later is the one that stands further back in the body, and was given.
func later(a, b placed) placed {
	_, atA := a.place()

	param, atB := b.place()
	if param == "" || atA > atB {
		if name, _ := a.place(); name != "" {
			return a
		}
	}

	return b
}

func (v *validation) refuseLists(format string) {
	a := v.ask
	for _, g := range []Given[[]Given[string]]{a.Videos, a.Images} {
		if len(g.Value) > 0 {
			v.wrong(g, fault.CodeInvalidValue, format, v.out.Model)
		}
	}

	if len(a.References.Value) > 0 {
		v.wrong(a.References, fault.CodeInvalidValue, format, v.out.Model)
	}
}

// guideAudio takes the sound that the video shall follow.
func (v *validation) guideAudio() {
	g := v.ask.Audio

	ref, ok := v.media(g, Audio)
	if !g.Has() || v.model == nil {
		return
	}

	switch v.sheet().GuideAudio {
	case AudioRefused:
		if v.model.Sound {
			v.wrong(g, fault.CodeInvalidValue, "%s takes no guide audio here; say in the prompt what is to be heard.", v.model.ID)
			break
		}

		v.wrong(g, fault.CodeInvalidValue, "%s makes silent videos and takes no guide audio%s.", v.model.ID, v.sibling(func(m *Model) bool {
			return m.Sound && m.Tier == v.model.Tier
		}))
	case AudioUndocumented:
		v.warn(g, fault.CodeNotDocumented, "The supplier does not document guide audio for %s; it is sent all the same and may be left unused.", v.model.ID)
	}

	if ok {
		v.out.Audio = &ref
	}
}

const maxLink = 8192 // characters of a URL; signed ones are long

var (
	fileForm = regexp.MustCompile(`^file_[0-9A-Za-z_-]{1,80}$`)
	dataForm = regexp.MustCompile(`^data:([a-z]+)/[a-zA-Z0-9.+-]{1,60}(;[a-zA-Z0-9-]{1,40}=[a-zA-Z0-9.-]{1,40}){0,3};base64,`)
)

// media is a reference that is well-formed and that Look finds nothing wrong with.
func (v *validation) media(g Given[string], kind Kind) (Reference, bool) {
	ref, ok := v.form(g, kind)
	if !ok || v.ask.Look == nil {
		return ref, ok
	}

	f := v.ask.Look(ref)
	if f == nil {
		return ref, true
	}

	named := *f
	named.Param = g.Param
	v.faults = append(v.faults, Placed{At: g.At, Fault: named})

	return Reference{}, false
}

// form looks at the syntax of a reference. kind may be "" when only the bytes
// can say; a data URI says it itself.
func (v *validation) form(g Given[string], kind Kind) (Reference, bool) {
	if !g.Fit() {
		return Reference{}, false
	}

	ref := Reference{Kind: kind, Input: g.Value, Param: g.Param}
	switch {
	case strings.HasPrefix(g.Value, "file_"):
		if !fileForm.MatchString(g.Value) {
			v.wrong(g, fault.CodeInvalidValue, "%s is no file id; POST /v1/files answers with one.", quote(g.Value))
			return Reference{}, false
		}
	case strings.HasPrefix(g.Value, "data:"):
		return v.dataURI(g, ref)
	default:
		if problem := linkProblem(g.Value); problem != "" {
			v.wrong(g, fault.CodeInvalidValue, "%s A reference is an http(s) URL, a file id (file_...) or a data URI.", problem)
			return Reference{}, false
		}
	}

	return ref, true
}

func (v *validation) dataURI(g Given[string], ref Reference) (Reference, bool) {
	part := dataForm.FindStringSubmatch(g.Value[:min(len(g.Value), 256)])
	if part == nil {
		v.wrong(g, fault.CodeInvalidValue, "A data URI begins like data:image/png;base64, and goes on with the bytes in base64.")
		return Reference{}, false
	}

	said := Kind(part[1])
	switch {
	case said != Image && said != Video && said != Audio, ref.Kind == "" && said == Audio:
		v.wrong(g, fault.CodeInvalidValue, "A reference cannot be of the type %s.", quote(part[1]))
	case ref.Kind != "" && said != ref.Kind:
		v.wrong(g, fault.CodeInvalidValue, "This should be %s, but the data URI says that it is %s.", ref.Kind.noun(), said.noun())
	case len(part[0]) == len(g.Value):
		v.wrong(g, fault.CodeInvalidValue, "The data URI has no bytes behind its comma.")
	default:
		ref.Kind = said
		return ref, true
	}

	return Reference{}, false
}

// linkProblem says what is wrong with a URL as a sentence, or "".
func linkProblem(link string) string {
	if len(link) > maxLink {
		return "The URL is longer than 8192 bytes."
	}

	if link == "" || strings.ContainsFunc(link, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "The URL is empty, or has white space in it."
	}

	u, err := url.Parse(link)
	switch {
	case err != nil:
		return quote(link) + " is no URL."
	case u.Scheme != "http" && u.Scheme != "https": // Parse has made it lower case
		return "Of URLs only http:// and https:// are taken."
	case u.Hostname() == "":
		return "The URL names no host."
	}

	return ""
}
