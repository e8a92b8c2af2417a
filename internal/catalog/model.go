package catalog

import (
	"slices"

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
	// OwnPrice says that it is the operator's own, to which the mark-up adds nothing.
	OwnPrice bool `yaml:"-"`

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
	// VideoSeconds is the longest that the video may be when one of the references is
	// a video; 0: as the model's.
	VideoSeconds int `yaml:"video_seconds"`
	// TotalSeconds bounds the reference videos and the video together; 0 bounds nothing.
	TotalSeconds int `yaml:"total_seconds"`
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
	TotalSeconds int64    `yaml:"total_seconds"` // all files of the kind together, at most
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

// Names is what the model may be asked for by: its families' names and its id.
func (m *Model) Names() []string { return append(m.Families(), m.ID) }

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
