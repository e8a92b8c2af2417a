package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/fault"
)

// Capability describes what a supplier can do with a model in a mode: the supplier's name
// of the model, and the restrictions compared with the model's file. In a model's
// file it is the name alone, or a mapping. A field that is left out adds no
// restriction.
type Capability struct {
	SupplierModel string    `yaml:"model"`      // the supplier's name of the model
	Sizes         []string  `yaml:"sizes"`      // "1280*720": only these
	Seconds       []int     `yaml:"seconds"`    // whole seconds: only these
	PromptMax     int       `yaml:"prompt_max"` // characters, if the supplier accepts fewer
	Images        *int      `yaml:"images"`     // pictures at most
	Videos        *int      `yaml:"videos"`     // videos at most
	References    int       `yaml:"references"` // pictures and videos together at most; 0: as the model's
	Unsupported   []Feature `yaml:"unsupported"`
}

// Feature is something that a request may ask for and a supplier may not support.
type Feature string

// The features.
const (
	FeatureGuideAudio      Feature = "guide_audio"
	FeatureNegativePrompt  Feature = "negative_prompt"
	FeatureSeed            Feature = "seed"
	FeatureWatermark       Feature = "watermark"        // it cannot be switched on or off
	FeaturePromptExpansion Feature = "prompt_expansion" // it cannot be switched on or off
	FeatureMultiShot       Feature = "multi"            // several shots
	FeatureSingleShot      Feature = "single"           // one shot
)

var allFeatures = []Feature{
	FeatureGuideAudio,
	FeatureNegativePrompt,
	FeatureSeed,
	FeatureWatermark,
	FeaturePromptExpansion,
	FeatureMultiShot,
	FeatureSingleShot,
}

// UnmarshalYAML decodes a name or a mapping; an unknown key is an error.
func (c *Capability) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&c.SupplierModel)
	}

	known := []string{"model", "sizes", "seconds", "prompt_max", "images", "videos", "references", "unsupported"}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(known, key.Value) {
			return fmt.Errorf("line %d: %q is none of %s", key.Line, key.Value, strings.Join(known, ", "))
		}
	}

	type plain Capability

	return node.Decode((*plain)(c))
}

// Validate checks the capability by itself, without the model. The error names the field.
func (c Capability) Validate() error {
	if c.SupplierModel == "" || strings.ContainsAny(c.SupplierModel, "|@ \t\n") {
		return errors.New("model: want the supplier's name of the model, without spaces, | and @")
	}

	for i, size := range c.Sizes {
		if w, h, ok := parseSize(size); !ok || formatSize(w, h) != size {
			return fmt.Errorf("sizes[%d]: want W*H", i)
		}
	}

	for i, n := range c.Seconds {
		if n < 1 {
			return fmt.Errorf("seconds[%d]: want whole seconds from 1", i)
		}
	}

	for i, f := range c.Unsupported {
		if !slices.Contains(allFeatures, f) {
			return fmt.Errorf("unsupported[%d]: %q is none of %v", i, f, allFeatures)
		}
	}

	if c.PromptMax < 0 || c.References < 0 || c.Images != nil && *c.Images < 0 || c.Videos != nil && *c.Videos < 0 {
		return errors.New("prompt_max, references, images, videos: want 0 or more")
	}

	return nil
}

// WithDefaultsFrom returns the capability with every field that it leaves out copied from
// defaults, the capability in the model's file.
func (c Capability) WithDefaultsFrom(defaults Capability) Capability {
	if c.SupplierModel == "" {
		c.SupplierModel = defaults.SupplierModel
	}

	if c.Sizes == nil {
		c.Sizes = defaults.Sizes
	}

	if c.Seconds == nil {
		c.Seconds = defaults.Seconds
	}

	if c.PromptMax == 0 {
		c.PromptMax = defaults.PromptMax
	}

	if c.Images == nil {
		c.Images = defaults.Images
	}

	if c.Videos == nil {
		c.Videos = defaults.Videos
	}

	if c.References == 0 {
		c.References = defaults.References
	}

	if c.Unsupported == nil {
		c.Unsupported = defaults.Unsupported
	}

	return c
}

// CheckRequest returns a fault for the first thing in a valid request that the supplier
// cannot do, with the field that asks for it, or nil. A requested option is never
// silently dropped.
func (c Capability) CheckRequest(r Request) *fault.Fault {
	reject := func(param, format string, args ...any) *fault.Fault {
		return fault.New(fault.CodeNoRoute, param, fmt.Sprintf(format, args...))
	}
	unsupported := func(f Feature) bool { return slices.Contains(c.Unsupported, f) }
	images := 0
	videos := 0

	for _, ref := range r.References {
		switch ref.Kind {
		case Image:
			images++
		case Video:
			videos++
		}
	}

	switch {
	case len(c.Sizes) > 0 && !slices.Contains(c.Sizes, r.Size):
		return reject("size", "The suppliers that are configured here make %s in the sizes %s, not %s.", r.Resolved, joinOr(c.Sizes), r.Size)
	case len(c.Seconds) > 0 && !slices.Contains(c.Seconds, r.Seconds):
		return reject("duration", "With %s the suppliers that are configured here make videos of %s seconds, not %d.", r.Resolved, joinOrInts(c.Seconds), r.Seconds)
	case c.PromptMax > 0 && len([]rune(r.Prompt)) > c.PromptMax:
		return reject("prompt", "The suppliers that are configured here accept prompts of at most %d characters for %s.", c.PromptMax, r.Resolved)
	case c.References > 0 && len(r.References) > c.References:
		return reject(r.References[c.References].Param, "The suppliers that are configured here accept at most %d references for %s.", c.References, r.Resolved)
	case c.Images != nil && images > *c.Images:
		return reject(excessParam(r, Image, *c.Images), "The suppliers that are configured here accept at most %d pictures for %s.", *c.Images, r.Resolved)
	case c.Videos != nil && videos > *c.Videos:
		return reject(excessParam(r, Video, *c.Videos), "The suppliers that are configured here accept at most %d videos for %s.", *c.Videos, r.Resolved)
	case unsupported(FeatureGuideAudio) && r.Audio != nil:
		return reject(r.Audio.Param, "No supplier that is configured here accepts a guide audio for %s.", r.Resolved)
	case unsupported(FeatureNegativePrompt) && r.NegativePrompt != "":
		return reject("negative_prompt", "No supplier that is configured here accepts a negative prompt for %s.", r.Resolved)
	case unsupported(FeatureSeed) && r.Seed >= 0:
		return reject("seed", "No supplier that is configured here accepts a seed for %s; leave it out or send -1.", r.Resolved)
	case unsupported(FeatureWatermark) && r.Watermark != nil:
		return reject("watermark", "No supplier that is configured here lets the watermark of %s be chosen; leave it out.", r.Resolved)
	case unsupported(FeaturePromptExpansion) && r.PromptExpansion != nil:
		return reject("enable_prompt_expansion", "No supplier that is configured here lets the prompt expansion of %s be chosen; leave it out.", r.Resolved)
	case unsupported(FeatureMultiShot) && r.ShotType == "multi", unsupported(FeatureSingleShot) && r.ShotType == "single":
		return reject("shot_type", "No supplier that is configured here supports the shot type %[2]s for %[1]s.", r.Resolved, r.ShotType)
	}

	return nil
}

// excessParam returns the field of the first reference of a kind beyond limit.
func excessParam(r Request, kind Kind, limit int) string {
	for _, ref := range r.References {
		if ref.Kind != kind {
			continue
		}

		if limit == 0 {
			return ref.Param
		}

		limit--
	}

	return ""
}

func joinOrInts(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = fmt.Sprint(n)
	}

	return joinOr(texts)
}
