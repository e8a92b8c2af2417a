package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/fault"
)

// Supply is how a supplier makes a model in a mode: under which name, and what of
// the model's own sheet it cannot do. In a model's file it is the name alone, or a
// mapping. What is left out is as the model's sheet says.
type Supply struct {
	Model      string    `yaml:"model"`      // the supplier's name of the model
	Sizes      []string  `yaml:"sizes"`      // "1280*720": only these
	Seconds    []int     `yaml:"seconds"`    // whole seconds: only these
	PromptMax  int       `yaml:"prompt_max"` // characters, where it takes fewer
	Images     *int      `yaml:"images"`     // pictures at most
	Videos     *int      `yaml:"videos"`     // videos at most
	References int       `yaml:"references"` // together at most; 0: as the model's
	Lacks      []Feature `yaml:"lacks"`
}

// Feature is something that a request may ask for and a supplier may not have.
type Feature string

// The features.
const (
	LacksGuideAudio      Feature = "guide_audio"
	LacksNegativePrompt  Feature = "negative_prompt"
	LacksSeed            Feature = "seed"
	LacksWatermark       Feature = "watermark"        // it cannot be asked for or left out
	LacksPromptExpansion Feature = "prompt_expansion" // it cannot be switched
	LacksMulti           Feature = "multi"            // several shots
	LacksSingle          Feature = "single"           // one shot
)

var features = []Feature{LacksGuideAudio, LacksNegativePrompt, LacksSeed, LacksWatermark, LacksPromptExpansion, LacksMulti, LacksSingle}

// UnmarshalYAML takes a name or a mapping; an unknown key is an error.
func (s *Supply) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&s.Model)
	}

	known := []string{"model", "sizes", "seconds", "prompt_max", "images", "videos", "references", "lacks"}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(known, key.Value) {
			return fmt.Errorf("line %d: %q is none of %s", key.Line, key.Value, strings.Join(known, ", "))
		}
	}

	type plain Supply

	return node.Decode((*plain)(s))
}

// Check says what is wrong with a supply by itself.
func (s Supply) Check() error {
	if s.Model == "" || strings.ContainsAny(s.Model, "|@ \t\n") {
		return errors.New("model: want the supplier's name of the model, without spaces, | and @")
	}

	for i, size := range s.Sizes {
		if w, h, ok := splitSize(size); !ok || sizeText(w, h) != size {
			return fmt.Errorf("sizes[%d]: want W*H", i)
		}
	}

	for i, n := range s.Seconds {
		if n < 1 {
			return fmt.Errorf("seconds[%d]: want whole seconds from 1", i)
		}
	}

	for i, f := range s.Lacks {
		if !slices.Contains(features, f) {
			return fmt.Errorf("lacks[%d]: %q is none of %v", i, f, features)
		}
	}

	if s.PromptMax < 0 || s.References < 0 || s.Images != nil && *s.Images < 0 || s.Videos != nil && *s.Videos < 0 {
		return errors.New("prompt_max, references, images, videos: want 0 or more")
	}

	return nil
}

// Over is this supply with what it leaves out taken from another, the model file's.
func (s Supply) Over(file Supply) Supply {
	if s.Model == "" {
		s.Model = file.Model
	}

	if s.Sizes == nil {
		s.Sizes = file.Sizes
	}

	if s.Seconds == nil {
		s.Seconds = file.Seconds
	}

	if s.PromptMax == 0 {
		s.PromptMax = file.PromptMax
	}

	if s.Images == nil {
		s.Images = file.Images
	}

	if s.Videos == nil {
		s.Videos = file.Videos
	}

	if s.References == 0 {
		s.References = file.References
	}

	if s.Lacks == nil {
		s.Lacks = file.Lacks
	}

	return s
}

// Refuses is what of a valid request the supplier cannot do, with the field that
// asks for it, or nil. Nothing that was asked for is ever left out in silence.
func (s Supply) Refuses(r Request) *fault.Fault {
	no := func(param, format string, args ...any) *fault.Fault {
		return fault.New(fault.CodeNoRoute, param, fmt.Sprintf(format, args...))
	}
	lacks := func(f Feature) bool { return slices.Contains(s.Lacks, f) }
	pictures := 0
	videos := 0

	for _, ref := range r.References {
		switch ref.Kind {
		case Image:
			pictures++
		case Video:
			videos++
		}
	}

	switch {
	case len(s.Sizes) > 0 && !slices.Contains(s.Sizes, r.Size):
		return no("size", "The suppliers that are configured here make %s of %s, not %s.", either(s.Sizes), r.Resolved, r.Size)
	case len(s.Seconds) > 0 && !slices.Contains(s.Seconds, r.Seconds):
		return no("duration", "The suppliers that are configured here make videos of %s seconds of %s, not %d.", eitherNumber(s.Seconds), r.Resolved, r.Seconds)
	case s.PromptMax > 0 && len([]rune(r.Prompt)) > s.PromptMax:
		return no("prompt", "The suppliers that are configured here take prompts of at most %d characters for %s.", s.PromptMax, r.Resolved)
	case s.References > 0 && len(r.References) > s.References:
		return no(r.References[s.References].Param, "The suppliers that are configured here take at most %d references for %s.", s.References, r.Resolved)
	case s.Images != nil && pictures > *s.Images:
		return no(paramOf(r, Image, *s.Images), "The suppliers that are configured here take at most %d pictures for %s.", *s.Images, r.Resolved)
	case s.Videos != nil && videos > *s.Videos:
		return no(paramOf(r, Video, *s.Videos), "The suppliers that are configured here take at most %d videos for %s.", *s.Videos, r.Resolved)
	case lacks(LacksGuideAudio) && r.Audio != nil:
		return no(r.Audio.Param, "No supplier that is configured here takes a guide audio for %s.", r.Resolved)
	case lacks(LacksNegativePrompt) && r.NegativePrompt != "":
		return no("negative_prompt", "No supplier that is configured here takes a negative prompt for %s.", r.Resolved)
	case lacks(LacksSeed) && r.Seed >= 0:
		return no("seed", "No supplier that is configured here takes a seed for %s; leave it out or send -1.", r.Resolved)
	case lacks(LacksWatermark) && r.Watermark != nil:
		return no("watermark", "No supplier that is configured here lets the watermark of %s be chosen; leave it out.", r.Resolved)
	case lacks(LacksPromptExpansion) && r.PromptExpansion != nil:
		return no("enable_prompt_expansion", "No supplier that is configured here lets the prompt expansion of %s be chosen; leave it out.", r.Resolved)
	case lacks(LacksMulti) && r.ShotType == "multi", lacks(LacksSingle) && r.ShotType == "single":
		return no("shot_type", "No supplier that is configured here makes %s with the shot type %s.", r.Resolved, r.ShotType)
	}

	return nil
}

// paramOf names the reference of a kind that is one too many.
func paramOf(r Request, kind Kind, most int) string {
	for _, ref := range r.References {
		if ref.Kind != kind {
			continue
		}

		if most == 0 {
			return ref.Param
		}

		most--
	}

	return ""
}

func eitherNumber(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = fmt.Sprint(n)
	}

	return either(texts)
}
