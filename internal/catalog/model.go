package catalog

import (
	"slices"

	"github.com/unireel/unireel/internal/money"
)

// Model is one model that a request can name: the content of its file
// models/<id>.yaml. It is not modified after Load.
type Model struct {
	ID          string        `yaml:"id"`
	Title       LocalizedText `yaml:"title"`
	Description LocalizedText `yaml:"description"`

	Tier              string               `yaml:"tier"`  // "720p"
	Sizes             []string             `yaml:"sizes"` // "1280*720"; the first is the default
	Sound             bool                 `yaml:"sound"` // whether its videos have an audio track
	Seconds           DurationRange        `yaml:"seconds"`
	PromptMax         int                  `yaml:"prompt_max"` // characters
	NegativePromptMax int                  `yaml:"negative_prompt_max"`
	ShotTypes         []string             `yaml:"shot_types"` // the first is the default
	Modes             map[Mode]ModeSpec    `yaml:"modes"`
	Media             map[Kind]MediaLimits `yaml:"media"`
	Price             Pricing              `yaml:"price"`

	// UnitPrice is the price per second in the installation's currency, mark-up included.
	UnitPrice money.Amount `yaml:"-"`
	// CustomPrice reports whether UnitPrice is from the operator's price table. The mark-up
	// is not applied to such a price.
	CustomPrice bool `yaml:"-"`

	file string // file name, for Load's errors
}

// LocalizedText is a text for people in both languages.
type LocalizedText struct {
	EN string `yaml:"en" json:"en"`
	ZH string `yaml:"zh" json:"zh"`
}

// DurationRange bounds a clip's length in whole seconds, both ends included.
type DurationRange struct {
	Min     int `yaml:"min"`
	Max     int `yaml:"max"`
	Default int `yaml:"default"`
}

// ModeSpec describes a model in one mode.
type ModeSpec struct {
	Family     string                `yaml:"family"`    // a name that stands for several models, without size and sound
	Suppliers  map[string]Capability `yaml:"suppliers"` // driver -> what its supplier can do
	References ReferenceLimits       `yaml:"references"`
	GuideAudio GuideAudio            `yaml:"guide_audio"`
	// SizeFromImage: the supplier derives the shape from the picture; of the requested
	// size only the tier counts.
	SizeFromImage bool `yaml:"size_from_picture"`
	// MaxSecondsWithVideo is the maximum duration in seconds when one of the references is
	// a video; 0: the model's own maximum.
	MaxSecondsWithVideo int `yaml:"video_seconds"`
	// MaxTotalSeconds limits the seconds of the reference videos and of the video together;
	// 0: no limit.
	MaxTotalSeconds int `yaml:"total_seconds"`
	// MultiShotNeedsExpansion: the supplier uses shot_type only if it may expand the prompt.
	MultiShotNeedsExpansion bool `yaml:"multi_needs_expansion"`
}

// ReferenceLimits limits the number of references.
type ReferenceLimits struct {
	Min    int `yaml:"min"` // pictures and videos together
	Max    int `yaml:"max"`
	Images int `yaml:"images"` // at most
	Videos int `yaml:"videos"` // at most
}

// GuideAudio says how a guide audio is handled.
type GuideAudio string

// How a guide audio is handled.
const (
	GuideAudioDocumented   GuideAudio = "documented"   // the supplier documents it
	GuideAudioUndocumented GuideAudio = "undocumented" // it is sent, with a warning
	GuideAudioUnsupported  GuideAudio = "refused"      // the request is rejected
)

// MediaLimits says which files of one kind a supplier accepts. 0 means no limit.
type MediaLimits struct {
	Formats      []string `yaml:"formats"`       // keys of mediaTypes
	MaxMegabytes int64    `yaml:"max_megabytes"` // of 2^20 bytes: suppliers do not say which megabyte they mean, and a rejection by them costs nothing
	MinPixels    int64    `yaml:"min_pixels"`    // width and height, each
	MaxPixels    int64    `yaml:"max_pixels"`
	MinSeconds   int64    `yaml:"min_seconds"`
	MaxSeconds   int64    `yaml:"max_seconds"`
	TotalSeconds int64    `yaml:"total_seconds"` // all files of the kind together, at most
	MinFPS       int64    `yaml:"min_fps"`
	NoAlpha      bool     `yaml:"no_alpha"` // pictures with transparency are rejected
}

// Pricing is a model's list price.
type Pricing struct {
	Billing   Billing           `yaml:"billing"`
	PerSecond map[string]string `yaml:"per_second"` // currency -> decimal
}

// Capability returns what a driver's supplier can do for the model in a mode, and false if
// it does not have the model.
func (m *Model) Capability(driver string, mode Mode) (Capability, bool) {
	capability, ok := m.Modes[mode].Suppliers[driver]
	return capability, ok
}

// ModeList returns the model's modes, sorted.
func (m *Model) ModeList() []Mode {
	list := make([]Mode, 0, len(m.Modes))
	for mode := range m.Modes {
		list = append(list, mode)
	}

	slices.Sort(list)

	return list
}

// Families returns the family names that stand for the model, sorted.
func (m *Model) Families() []string {
	var list []string

	for _, spec := range m.Modes {
		if spec.Family != "" {
			list = append(list, spec.Family)
		}
	}

	slices.Sort(list)

	return slices.Compact(list)
}

// Names returns every name by which a request can select the model: its families' names
// and its id.
func (m *Model) Names() []string { return append(m.Families(), m.ID) }

// mediaTypes maps a format name in a model's file to its media types.
var mediaTypes = map[string][]string{
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
