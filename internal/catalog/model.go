package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

// Model is one thing that can be asked for: the content of its file
// models/<id>.yaml. It is never changed after Load.
type Model struct {
	ID          string `yaml:"id"`
	Title       Text   `yaml:"title"`
	Description Text   `yaml:"description"`

	Tier              string             `yaml:"tier"`  // "720p"
	Sizes             []string           `yaml:"sizes"` // "1280*720"; the first is the default
	Sound             bool               `yaml:"sound"` // whether its videos have a sound track
	Seconds           Span               `yaml:"seconds"`
	PromptMax         int                `yaml:"prompt_max"` // characters
	NegativePromptMax int                `yaml:"negative_prompt_max"`
	ShotTypes         []string           `yaml:"shot_types"` // the first is the default
	Modes             map[Mode]ModeSheet `yaml:"modes"`
	Media             map[Kind]Bounds    `yaml:"media"`
	Price             PriceSheet         `yaml:"price"`

	// UnitPrice is what a second costs in the installation's currency, mark-up included.
	UnitPrice money.Amount `yaml:"-"`

	file string // where it came from, for what Load has to say
}

// Text is a text for people.
type Text struct {
	EN string `yaml:"en" json:"en"`
	ZH string `yaml:"zh" json:"zh"`
}

// Span bounds a clip's length in whole seconds, both ends included.
type Span struct {
	Min     int `yaml:"min"`
	Max     int `yaml:"max"`
	Default int `yaml:"default"`
}

// ModeSheet is what is true of a model in one mode.
type ModeSheet struct {
	Family     string            `yaml:"family"`    // a name without size and sound that stands for it too
	Suppliers  map[string]Supply `yaml:"suppliers"` // kind of provider -> how its supplier makes it
	References Counts            `yaml:"references"`
	GuideAudio GuideAudio        `yaml:"guide_audio"`
	// SizeFromPicture: the supplier takes the shape from the picture and only the tier from us.
	SizeFromPicture bool `yaml:"size_from_picture"`
	// MultiNeedsExpansion: the supplier heeds shot_type only while it may expand the prompt.
	MultiNeedsExpansion bool `yaml:"multi_needs_expansion"`
}

// Counts bounds how many references there may be.
type Counts struct {
	Min    int `yaml:"min"` // pictures and videos together
	Max    int `yaml:"max"`
	Images int `yaml:"images"` // at most
	Videos int `yaml:"videos"` // at most
}

// GuideAudio says what becomes of a guide audio.
type GuideAudio string

// What becomes of a guide audio.
const (
	AudioDocumented   GuideAudio = "documented"   // the supplier documents it
	AudioUndocumented GuideAudio = "undocumented" // it is sent, with a warning
	AudioRefused      GuideAudio = "refused"
)

// Bounds says which files of one kind a supplier takes. 0 bounds nothing.
type Bounds struct {
	Formats      []string `yaml:"formats"`       // names of the table formats
	MaxMegabytes int64    `yaml:"max_megabytes"` // of 2^20 bytes: suppliers do not say which, and their refusal costs nothing
	MinPixels    int64    `yaml:"min_pixels"`    // width and height, each
	MaxPixels    int64    `yaml:"max_pixels"`
	MinSeconds   int64    `yaml:"min_seconds"`
	MaxSeconds   int64    `yaml:"max_seconds"`
	MinFPS       int64    `yaml:"min_fps"`
	NoAlpha      bool     `yaml:"no_alpha"` // pictures with transparency are refused
}

// PriceSheet is a model's list price.
type PriceSheet struct {
	Billing   Billing           `yaml:"billing"`
	PerSecond map[string]string `yaml:"per_second"` // currency -> decimal
}

// Supplier is how a kind of provider makes the model in a mode, and false when it
// does not have it.
func (m *Model) Supplier(provider string, mode Mode) (Supply, bool) {
	s, ok := m.Modes[mode].Suppliers[provider]
	return s, ok
}

// ModeList is the model's modes, sorted.
func (m *Model) ModeList() []Mode {
	list := make([]Mode, 0, len(m.Modes))
	for mode := range m.Modes {
		list = append(list, mode)
	}
	slices.Sort(list)
	return list
}

// Families is the family names that can stand for the model, sorted.
func (m *Model) Families() []string {
	var list []string
	for _, sheet := range m.Modes {
		if sheet.Family != "" {
			list = append(list, sheet.Family)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// formats: what a model's file calls a format -> its media types.
var formats = map[string][]string{
	"jpeg": {"image/jpeg", "image/jpg"},
	"png":  {"image/png"},
	"bmp":  {"image/bmp", "image/x-ms-bmp", "image/x-bmp"},
	"webp": {"image/webp"},
	"gif":  {"image/gif"},
	"mp4":  {"video/mp4"},
	"mov":  {"video/quicktime"},
	"webm": {"video/webm"},
	"mp3":  {"audio/mpeg", "audio/mp3"},
	"wav":  {"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"},
	"m4a":  {"audio/mp4", "audio/m4a", "audio/x-m4a"},
	"ogg":  {"audio/ogg"},
	"flac": {"audio/flac", "audio/x-flac"},
}

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
// its model's bounds, and all together by the model's counts. It returns nil or
// one fault with all others beside it, in the order given.
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
	return fault.Join(faults)
}
