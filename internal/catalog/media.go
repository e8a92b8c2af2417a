package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// MediaInfo describes the bytes of a reference, as measured.
type MediaInfo struct {
	Param        string // its field in the request
	DeclaredKind Kind   // the kind that the request declared; "" if it declared none
	Kind         Kind   // the kind that the bytes have
	Type         string // media type
	Bytes        int64
	Width        int64 // pixels; 0 for sound
	Height       int64
	Millis       int64 // duration in milliseconds; 0 for pictures
	MilliFPS     int64 // frames in 1000 s; 0 if unknown
	HasAlpha     bool  // whether a picture has transparency
}

// CheckReference checks a measured reference or guide audio against the model's limits. It
// returns nil or the first fault (reference_invalid) with its param.
func (m *Model) CheckReference(ref MediaInfo) *fault.Fault {
	reject := func(format string, args ...any) *fault.Fault {
		return fault.New(fault.CodeReferenceInvalid, ref.Param, fmt.Sprintf(format, args...))
	}
	limits, known := m.Media[ref.Kind]

	seconds := float64(ref.Millis) / 1000
	switch {
	case ref.DeclaredKind != "" && ref.Kind != ref.DeclaredKind:
		return reject("This should be %s, but its bytes are %s.", ref.DeclaredKind.withArticle(), ref.Kind.withArticle())
	case !known:
		return reject("%s accepts no %s here.", m.ID, ref.Kind)
	case !limits.accepts(ref.Type):
		return reject("%s accepts %s as %s; this is %s.", m.ID, ref.Kind, strings.ToUpper(strings.Join(limits.Formats, ", ")), quote(ref.Type))
	case limits.MaxMegabytes > 0 && ref.Bytes > limits.MaxMegabytes<<20:
		return reject("The file has %d bytes; %s accepts at most %d MB.", ref.Bytes, m.ID, limits.MaxMegabytes)
	case limits.MinPixels > 0 && min(ref.Width, ref.Height) < limits.MinPixels,
		limits.MaxPixels > 0 && max(ref.Width, ref.Height) > limits.MaxPixels:
		return reject("It measures %d*%d pixels; width and height must each be %d to %d.", ref.Width, ref.Height, limits.MinPixels, limits.MaxPixels)
	case limits.MinSeconds > 0 && ref.Millis < limits.MinSeconds*1000,
		limits.MaxSeconds > 0 && ref.Millis > limits.MaxSeconds*1000+durationTolerance:
		return reject("It lasts %.2f s; it must last %d to %d s.", seconds, limits.MinSeconds, limits.MaxSeconds)
	case limits.MinFPS > 0 && ref.MilliFPS > 0 && ref.MilliFPS < limits.MinFPS*1000:
		return reject("It has %.2f frames per second; it must have at least %d.", float64(ref.MilliFPS)/1000, limits.MinFPS)
	case limits.NoAlpha && ref.HasAlpha:
		return reject("The picture has transparency, which the model does not accept; save it without an alpha channel.")
	}

	return nil
}

// durationTolerance is in milliseconds. Containers round a duration up to a frame of
// video or sound, and a clip that was cut at 30 s must pass as 30 s.
const durationTolerance = 100

func (m MediaLimits) accepts(mediaType string) bool {
	return slices.ContainsFunc(m.Formats, func(name string) bool {
		return slices.Contains(mediaTypes[name], strings.ToLower(mediaType))
	})
}

func (k Kind) withArticle() string {
	switch k {
	case Image:
		return "a picture"
	case Video:
		return "a video"
	case Audio:
		return "a sound"
	default:
		return "of an unknown kind"
	}
}

// CheckReferences checks everything that was fetched for a request: each file against its
// model's limits, and all files together against the model's counts and total
// durations. It returns nil or one fault that lists all, in the order given.
func (c *Catalog) CheckReferences(r Request, all []MediaInfo) *fault.Fault {
	m, ok := c.Model(r.Resolved)
	if !ok {
		return fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("The model %s is no longer offered.", quote(r.Resolved)))
	}

	var faults []fault.Fault

	// The counts are checked again here, because a request may leave the kind of a reference
	// open: only its bytes tell whether it is a picture or a video.
	counts := m.Modes[r.Mode].References
	remaining := map[Kind]int{Image: counts.Images, Video: counts.Videos}

	for _, ref := range all {
		if f := m.CheckReference(ref); f != nil {
			faults = append(faults, *f)
			continue
		}

		if ref.Kind == Audio {
			continue
		}

		if remaining[ref.Kind]--; remaining[ref.Kind] < 0 {
			faults = append(faults, *fault.New(fault.CodeReferenceInvalid, ref.Param,
				fmt.Sprintf("This is one %s too many: %s accepts at most %d pictures and %d videos.", ref.Kind, m.ID, counts.Images, counts.Videos)))
		}
	}

	if len(faults) == 0 {
		faults = m.checkTotalDuration(r, all)
	}

	return fault.Join(faults)
}

// checkTotalDuration checks the total duration of the reference videos, alone and
// together with the requested video. The fault names the first reference that
// exceeds a limit.
func (m *Model) checkTotalDuration(r Request, all []MediaInfo) []fault.Fault {
	spec := m.Modes[r.Mode]
	maxVideoMillis := m.Media[Video].TotalSeconds * 1000

	var sum, tolerance int64 // milliseconds

	for _, ref := range all {
		if ref.Kind != Video {
			continue
		}

		sum += ref.Millis
		tolerance += durationTolerance
		reject := func(format string, args ...any) []fault.Fault {
			return []fault.Fault{*fault.New(fault.CodeReferenceInvalid, ref.Param, fmt.Sprintf(format, args...))}
		}

		switch seconds := float64(sum) / 1000; {
		case maxVideoMillis > 0 && sum > maxVideoMillis+tolerance:
			return reject("With this one the reference videos last %.2f s together; %s accepts at most %d s.", seconds, m.ID, maxVideoMillis/1000)
		case spec.MaxSecondsWithVideo > 0 && r.Seconds > spec.MaxSecondsWithVideo:
			return reject("With a reference video %s makes at most %d s, not %d; ask for fewer seconds.", m.ID, spec.MaxSecondsWithVideo, r.Seconds)
		case spec.MaxTotalSeconds > 0 && sum+int64(r.Seconds)*1000 > int64(spec.MaxTotalSeconds)*1000+tolerance:
			return reject("The reference videos last %.2f s and the video %d s; for %s the total may be %d s. Ask for fewer seconds, or send shorter references.",
				seconds, r.Seconds, m.ID, spec.MaxTotalSeconds)
		}
	}

	return nil
}
