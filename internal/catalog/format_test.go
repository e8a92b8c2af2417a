package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A format stands for the model's size that comes nearest to it.
func TestFormats(t *testing.T) {
	c := load(t)

	for name, tt := range map[string]struct {
		model, tier, format, want string
		faults                    []string
	}{
		"wide":           {"wan2.7-t2v", "720P", "16:9", "1280*720", nil},
		"high":           {"wan2.7-t2v", "720P", "9:16", "720*1280", nil},
		"in blocks":      {"wan2.7-t2v", "720P", "4:3", "1104*832", nil},
		"in more blocks": {"wan2.6-t2v", "720P", "3:4", "832*1088", nil},
		"large":          {"wan3.0-video", "1080p", "1:1", "1440*1440", nil},
		"none so small":  {"wan3.0-video", "480p", "4:3", "", []string{"ratio invalid_value"}},
		"too wide":       {"wan2.7-t2v", "720P", "21:9", "", []string{"ratio invalid_value"}},
		"no number":      {"wan2.7-t2v", "720P", "wide", "", []string{"ratio invalid_value"}},
		"nothing":        {"wan2.7-t2v", "720P", "0:0", "", []string{"ratio invalid_value"}},
		"huge":           {"wan2.7-t2v", "720P", "99999999999999999999:1", "", []string{"ratio invalid_value"}},
	} {
		a := minimal(tt.model)
		a.Tier = Give(tt.tier, "resolution", 5)
		a.Format = Give(tt.format, "ratio", 6)

		r, err := c.Validate(a)
		if diff := cmp.Diff(tt.faults, said(err)); diff != "" || r.Size != tt.want {
			t.Errorf("%s: %s, %v; want %s %s", name, r.Size, err, tt.want, diff)
		}
	}
}

func TestModelsByTheNamesOfTheirSuppliers(t *testing.T) {
	text := strings.ReplaceAll(shipped(t, "wan2.6-video-720p"), "dashscope: wan2.6-t2v", "dashscope: wan2.6-t2v-us")
	text = strings.ReplaceAll(text, "id: wan2.6-video-720p", "id: wan2.6-video-us")
	text = strings.ReplaceAll(text, "    family: wan2.6-i2v\n", "")

	c, err := Load(Options{}, folder("wan2.6-video-us.yaml", strings.ReplaceAll(text, "    family: wan2.6-t2v\n", "")))
	if err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]string{
		"wan2.6-t2v": "wan2.6-t2v", "wan2.6-r2v-720p": "wan2.6-r2v-720p", "wan2.6-t2v-us": "wan2.6-video-us", "nobody's": "nobody's", "": "",
	} {
		if got := c.Called("dashscope", name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}

	if got := c.Called("fal", "wan/v2.6/reference-to-video"); got != "wan2.6-r2v" {
		t.Error(got)
	}
}
