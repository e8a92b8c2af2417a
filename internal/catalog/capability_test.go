package catalog

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/fault"
)

func TestCapabilityCheckRequest(t *testing.T) {
	zero := 0
	yes := true

	full := Request{
		Resolved:        "m",
		Size:            "1280*720",
		Seconds:         5,
		Prompt:          "a prompt",
		NegativePrompt:  "blur",
		ShotType:        "multi",
		Seed:            7,
		Watermark:       &yes,
		PromptExpansion: &yes,
		Audio:           &Reference{Param: "extra_body.audio"},
		References:      []Reference{{Kind: Video, Param: "videos[0]"}, {Kind: Image, Param: "images[0]"}},
	}
	for param, capability := range map[string]Capability{
		"":                        {},
		"size":                    {Sizes: []string{"720*1280"}},
		"duration":                {Seconds: []int{10}},
		"prompt":                  {PromptMax: 7},
		"images[0]":               {Images: &zero},
		"videos[0]":               {Videos: &zero},
		"extra_body.audio":        {Unsupported: []Feature{FeatureGuideAudio}},
		"negative_prompt":         {Unsupported: []Feature{FeatureNegativePrompt}},
		"seed":                    {Unsupported: []Feature{FeatureSeed}},
		"watermark":               {Unsupported: []Feature{FeatureWatermark}},
		"enable_prompt_expansion": {Unsupported: []Feature{FeaturePromptExpansion}},
		"shot_type":               {Unsupported: []Feature{FeatureMultiShot}},
	} {
		capability.SupplierModel = "x"
		if err := capability.Validate(); err != nil {
			t.Errorf("%s: %v", param, err)
		}

		f := capability.CheckRequest(full)
		if (param == "") != (f == nil) || f != nil && (f.Param != param || f.Code != fault.CodeNoRoute) {
			t.Errorf("%q: %+v", param, f)
		}
	}

	if f := (Capability{SupplierModel: "x", References: 1}).CheckRequest(full); f == nil || f.Param != "images[0]" {
		t.Errorf("one reference too many: %+v", f)
	}

	minimal := Request{Resolved: "m", Size: "1280*720", Seconds: 5, Prompt: "a prompt", ShotType: "single", Seed: -1}
	if f := (Capability{SupplierModel: "x", Images: &zero, Unsupported: append([]Feature{}, allFeatures[:6]...)}).CheckRequest(minimal); f != nil {
		t.Errorf("a request that uses no unsupported feature is rejected: %+v", f)
	}
}

func TestCapabilityUnmarshalYAML(t *testing.T) {
	for text, want := range map[string]string{
		"wan": "",
		"{model: wan, sizes: [1280*720], seconds: [5, 10], images: 0, unsupported: [seed]}": "",
		"{model: wan, lack: [seed]}":         "lack",
		"{model: wan, unsupported: [seeds]}": "unsupported[0]",
		"{sizes: [1280*720]}":                "model",
		"{model: wan, sizes: [1280x720]}":    "sizes[0]",
		"{model: wan, seconds: [0]}":         "seconds[0]",
		"{model: a|b}":                       "model",
	} {
		var capability Capability

		err := yaml.Unmarshal([]byte(text), &capability)
		if err == nil {
			err = capability.Validate()
		}

		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCapabilityWithDefaultsFrom(t *testing.T) {
	file := Capability{SupplierModel: "theirs", Seconds: []int{5}, Unsupported: []Feature{FeatureSeed}}
	if got := (Capability{Sizes: []string{"1280*720"}, Unsupported: []Feature{}}).WithDefaultsFrom(file); got.SupplierModel != "theirs" || len(got.Seconds) != 1 || len(got.Unsupported) != 0 || len(got.Sizes) != 1 {
		t.Errorf("%+v", got)
	}
}
