package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// Measured is what was found out about the bytes of a reference.
type Measured struct {
	Param    string // where it stood in the request
	Asked    Kind   // what the request said that it is; "" when it did not
	Kind     Kind   // what it is
	Type     string // media type
	Bytes    int64
	Width    int64 // pixels; 0 for sound
	Height   int64
	Millis   int64 // length; 0 for pictures
	MilliFPS int64 // frames in 1000 s; 0 when unknown
	Alpha    bool  // a picture that has transparency
}

// Judge says whether the model takes a reference or guide audio as it was
// measured: nil, or the first fault (reference_invalid) with its param.
func (m *Model) Judge(ref Measured) *fault.Fault {
	bad := func(format string, args ...any) *fault.Fault {
		return fault.New(fault.CodeBadReference, ref.Param, fmt.Sprintf(format, args...))
	}
	b, known := m.Media[ref.Kind]

	seconds := float64(ref.Millis) / 1000
	switch {
	case ref.Asked != "" && ref.Kind != ref.Asked:
		return bad("This should be %s, but its bytes are %s.", ref.Asked.noun(), ref.Kind.noun())
	case !known:
		return bad("%s takes no %s here.", m.ID, ref.Kind)
	case !b.takes(ref.Type):
		return bad("%s takes %s as %s; this is %s.", m.ID, ref.Kind, strings.ToUpper(strings.Join(b.Formats, ", ")), quote(ref.Type))
	case b.MaxMegabytes > 0 && ref.Bytes > b.MaxMegabytes<<20:
		return bad("The file has %d bytes; %s takes at most %d MB.", ref.Bytes, m.ID, b.MaxMegabytes)
	case b.MinPixels > 0 && min(ref.Width, ref.Height) < b.MinPixels,
		b.MaxPixels > 0 && max(ref.Width, ref.Height) > b.MaxPixels:
		return bad("It measures %d*%d pixels; width and height must each be %d to %d.", ref.Width, ref.Height, b.MinPixels, b.MaxPixels)
	case b.MinSeconds > 0 && ref.Millis < b.MinSeconds*1000,
		b.MaxSeconds > 0 && ref.Millis > b.MaxSeconds*1000+slack:
		return bad("It lasts %.2f s; it must last %d to %d s.", seconds, b.MinSeconds, b.MaxSeconds)
	case b.MinFPS > 0 && ref.MilliFPS > 0 && ref.MilliFPS < b.MinFPS*1000:
		return bad("It has %.2f frames per second; it must have at least %d.", float64(ref.MilliFPS)/1000, b.MinFPS)
	case b.NoAlpha && ref.Alpha:
		return bad("The picture has transparency, which the model does not take; save it without an alpha channel.")
	}

	return nil
}

// slack, in milliseconds: containers round up to a frame of video or sound, and
// a clip cut at 30 s must pass as one.
const slack = 100

func (b Bounds) takes(mediaType string) bool {
	return slices.ContainsFunc(b.Formats, func(name string) bool {
		return slices.Contains(formats[name], strings.ToLower(mediaType))
	})
}

func (k Kind) noun() string {
	switch k {
	case Image:
		return "a picture"
	case Video:
		return "a video"
	case Audio:
		return "a sound"
	default:
		return "of no known kind"
	}
}

// Judge says whether everything that was fetched for a request will do: each by
// its model's bounds, and all together by the model's counts and sums. It returns
// nil or one fault with all others beside it, in the order given.
func (c *Catalog) Judge(r Request, all []Measured) *fault.Fault {
	m, ok := c.Model(r.Resolved)
	if !ok {
		return fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("The model %s is not offered any more.", quote(r.Resolved)))
	}

	var faults []fault.Fault

	counts := m.Modes[r.Mode].References
	left := map[Kind]int{Image: counts.Images, Video: counts.Videos}

	for _, ref := range all {
		if f := m.Judge(ref); f != nil {
			faults = append(faults, *f)
			continue
		}

		if ref.Kind == Audio {
			continue
		}

		if left[ref.Kind]--; left[ref.Kind] < 0 {
			faults = append(faults, *fault.New(fault.CodeBadReference, ref.Param,
				fmt.Sprintf("This is one %s too many: %s takes at most %d pictures and %d videos.", ref.Kind, m.ID, counts.Images, counts.Videos)))
		}
	}

	if len(faults) == 0 {
		faults = m.judgeSums(r, all)
	}

	return fault.Join(faults)
}

// judgeSums holds the reference videos together to the model's seconds.
func (m *Model) judgeSums(r Request, all []Measured) []fault.Fault {
	sheet := m.Modes[r.Mode]
	most := m.Media[Video].TotalSeconds * 1000

	var sum, spare int64 // milliseconds

	for _, ref := range all {
		if ref.Kind != Video {
			continue
		}

		sum = sum + ref.Millis
		spare = spare + slack
		bad := func(format string, args ...any) []fault.Fault {
			return []fault.Fault{*fault.New(fault.CodeBadReference, ref.Param, fmt.Sprintf(format, args...))}
		}

		switch seconds := float64(sum) / 1000; {
		case most > 0 && sum > most+spare:
			return bad("With this one the reference videos last %.2f s together; %s takes at most %d s of them.", seconds, m.ID, most/1000)
		case sheet.VideoSeconds > 0 && r.Seconds > sheet.VideoSeconds:
			return bad("With a reference video %s makes at most %d s, not %d; ask for fewer seconds.", m.ID, sheet.VideoSeconds, r.Seconds)
		case sheet.TotalSeconds > 0 && sum+int64(r.Seconds)*1000 > int64(sheet.TotalSeconds)*1000+spare:
			return bad("The reference videos last %.2f s and the video %d s; for %s that may be %d s together. Ask for fewer seconds, or send shorter references.",
				seconds, r.Seconds, m.ID, sheet.TotalSeconds)
		}
	}

	return nil
}
