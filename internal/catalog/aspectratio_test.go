package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An aspect ratio selects the model's size that is nearest to it.
func TestAspectRatios(t *testing.T) {
	c := load(t)

	for name, tt := range map[string]struct {
		model, tier, ratio, want string
		faults                   []string
	}{
		"wide":                    {"wan2.7-t2v", "720P", "16:9", "1280*720", nil},
		"tall":                    {"wan2.7-t2v", "720P", "9:16", "720*1280", nil},
		"rounded to blocks":       {"wan2.7-t2v", "720P", "4:3", "1104*832", nil},
		"rounded to blocks, tall": {"wan2.6-t2v", "720P", "3:4", "832*1088", nil},
		"large":                   {"wan3.0-video", "1080p", "1:1", "1440*1440", nil},
		"no size of this tier":    {"wan3.0-video", "480p", "4:3", "", []string{"ratio invalid_value"}},
		"too wide":                {"wan2.7-t2v", "720P", "21:9", "", []string{"ratio invalid_value"}},
		"not a ratio":             {"wan2.7-t2v", "720P", "wide", "", []string{"ratio invalid_value"}},
		"zero":                    {"wan2.7-t2v", "720P", "0:0", "", []string{"ratio invalid_value"}},
		"huge":                    {"wan2.7-t2v", "720P", "99999999999999999999:1", "", []string{"ratio invalid_value"}},
	} {
		raw := minimalRequest(tt.model)
		raw.Tier = NewField(tt.tier, "resolution", 5)
		raw.AspectRatio = NewField(tt.ratio, "ratio", 6)

		r, err := c.Validate(raw)
		if diff := cmp.Diff(tt.faults, faultList(err)); diff != "" || r.Size != tt.want {
			t.Errorf("%s: %s, %v; want %s %s", name, r.Size, err, tt.want, diff)
		}
	}
}

func TestLocalName(t *testing.T) {
	text := strings.ReplaceAll(builtinModel(t, "wan2.6-video-720p"), "dashscope: wan2.6-t2v", "dashscope: wan2.6-t2v-us")
	text = strings.ReplaceAll(text, "id: wan2.6-video-720p", "id: wan2.6-video-us")
	text = strings.ReplaceAll(text, "    family: wan2.6-i2v\n", "")

	c, err := Load(Options{}, folder("wan2.6-video-us.yaml", strings.ReplaceAll(text, "    family: wan2.6-t2v\n", "")))
	if err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]string{
		"wan2.6-t2v": "wan2.6-t2v", "wan2.6-r2v-720p": "wan2.6-r2v-720p", "wan2.6-t2v-us": "wan2.6-video-us", "unknown": "unknown", "": "",
	} {
		if got := c.LocalName("dashscope", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}

	if got := c.LocalName("fal", "wan/v2.6/reference-to-video"); got != "wan2.6-r2v" {
		t.Error(got)
	}
}
