package catalog

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/fault"
)

func TestASupplyRefusesWhatItCannotDo(t *testing.T) {
	zero := 0
	yes := true

	whole := Request{
		Resolved: "m", Size: "1280*720", Seconds: 5, Prompt: "a prompt", NegativePrompt: "blur", ShotType: "multi", Seed: 7, Watermark: &yes, PromptExpansion: &yes,
		Audio: &Reference{Param: "extra_body.audio"}, References: []Reference{{Kind: Video, Param: "videos[0]"}, {Kind: Image, Param: "images[0]"}},
	}
	for param, s := range map[string]Supply{
		"":                        {},
		"size":                    {Sizes: []string{"720*1280"}},
		"duration":                {Seconds: []int{10}},
		"prompt":                  {PromptMax: 7},
		"images[0]":               {Images: &zero},
		"videos[0]":               {Videos: &zero},
		"extra_body.audio":        {Lacks: []Feature{LacksGuideAudio}},
		"negative_prompt":         {Lacks: []Feature{LacksNegativePrompt}},
		"seed":                    {Lacks: []Feature{LacksSeed}},
		"watermark":               {Lacks: []Feature{LacksWatermark}},
		"enable_prompt_expansion": {Lacks: []Feature{LacksPromptExpansion}},
		"shot_type":               {Lacks: []Feature{LacksMulti}},
	} {
		s.Model = "x"
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", param, err)
		}

		f := s.Refuses(whole)
		if (param == "") != (f == nil) || f != nil && (f.Param != param || f.Code != fault.CodeNoRoute) {
			t.Errorf("%q: %+v", param, f)
		}
	}

	if f := (Supply{Model: "x", References: 1}).Refuses(whole); f == nil || f.Param != "images[0]" {
		t.Errorf("one reference too many: %+v", f)
	}

	bare := Request{Resolved: "m", Size: "1280*720", Seconds: 5, Prompt: "a prompt", ShotType: "single", Seed: -1}
	if f := (Supply{Model: "x", Images: &zero, Lacks: append([]Feature{}, features[:6]...)}).Refuses(bare); f != nil {
		t.Errorf("nothing of it was asked for: %+v", f)
	}
}

func TestASupplyIsANameOrAMapping(t *testing.T) {
	for text, want := range map[string]string{
		"wan": "",
		"{model: wan, sizes: [1280*720], seconds: [5, 10], images: 0, lacks: [seed]}": "",
		"{model: wan, lack: [seed]}":      "lack",
		"{model: wan, lacks: [seeds]}":    "lacks[0]",
		"{sizes: [1280*720]}":             "model",
		"{model: wan, sizes: [1280x720]}": "sizes[0]",
		"{model: wan, seconds: [0]}":      "seconds[0]",
		"{model: a|b}":                    "model",
	} {
		var s Supply

		err := yaml.Unmarshal([]byte(text), &s)
		if err == nil {
			err = s.Check()
		}

		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatASupplyLeavesOutIsTheFiles(t *testing.T) {
	file := Supply{Model: "theirs", Seconds: []int{5}, Lacks: []Feature{LacksSeed}}
	if got := (Supply{Sizes: []string{"1280*720"}, Lacks: []Feature{}}).Over(file); got.Model != "theirs" || len(got.Seconds) != 1 || len(got.Lacks) != 0 || len(got.Sizes) != 1 {
		t.Errorf("%+v", got)
	}
}
