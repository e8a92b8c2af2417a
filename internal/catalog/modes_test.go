package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// In a family of several modes the fields of the request select the mode.
func TestFamilyModeSelection(t *testing.T) {
	c := load(t)
	picture := NewField("https://example.com/a.png", "image", 10)

	for name, tt := range map[string]struct {
		mutate mutation
		want   string
		mode   Mode
		faults []string
	}{
		"a prompt":        {func(*RawRequest) {}, "wan3.0-video-1080p", T2V, nil},
		"a prompt, small": {func(raw *RawRequest) { raw.Size = NewField("624*624", "size", 5) }, "wan3.0-video-480p", T2V, nil},
		"a picture":       {func(raw *RawRequest) { raw.Image = picture; raw.Tier = NewField("720P", "resolution", 5) }, "wan3.0-video-720p", I2V, nil},
		"a reference":     {func(raw *RawRequest) { raw.Images = fieldList("images", 10, repeatURL(1)...) }, "wan3.0-video-1080p", R2V, nil},
		"a video, silent": {func(raw *RawRequest) {
			raw.Videos = fieldList("videos", 10, repeatURL(1)...)
			raw.Sound = NewField(false, "audio", 5)
		}, "wan3.0-video-1080p-silent", R2V, nil},
		"mixed": {func(raw *RawRequest) {
			raw.References = NewField([]ReferenceInput{{URL: NewField("file_a", "references[0]", 11)}}, "references", 10)
		}, "wan3.0-video-1080p", R2V, nil},
		"30 seconds": {func(raw *RawRequest) { raw.Duration = NewField(Number("30"), "duration", 5) }, "wan3.0-video-1080p", T2V, nil},
		"10 pictures, 5 videos": {func(raw *RawRequest) {
			raw.Images = fieldList("images", 10, repeatURL(10)...)
			raw.Videos = fieldList("videos", 30, repeatURL(5)...)
		}, "wan3.0-video-1080p", R2V, nil},
		"11 pictures":                    {func(raw *RawRequest) { raw.Images = fieldList("images", 10, repeatURL(11)...) }, "", "", []string{"images invalid_value"}},
		"6 videos":                       {func(raw *RawRequest) { raw.Videos = fieldList("videos", 10, repeatURL(6)...) }, "", "", []string{"videos invalid_value"}},
		"a picture and videos":           {func(raw *RawRequest) { raw.Image = picture; raw.Videos = fieldList("videos", 11, repeatURL(1)...) }, "", "", []string{"videos invalid_value"}},
		"a negative prompt":              {func(raw *RawRequest) { raw.NegativePrompt = NewField("blur", "negative_prompt", 5) }, "", "", []string{"negative_prompt invalid_value"}},
		"several shots":                  {func(raw *RawRequest) { raw.ShotType = NewField("multi", "shot_type", 5) }, "", "", []string{"shot_type invalid_value"}},
		"guide audio without references": {func(raw *RawRequest) { raw.Audio = NewField("file_a", "audio", 5) }, "", "", []string{"audio invalid_value"}},
	} {
		raw := minimalRequest("wan3.0-video")
		tt.mutate(&raw)

		r, err := c.Validate(raw)
		if diff := cmp.Diff(tt.faults, faultList(err)); diff != "" || r.Resolved != tt.want || r.Mode != tt.mode {
			t.Errorf("%s: %s in mode %s, %v; want %s in %s %s", name, r.Resolved, r.Mode, err, tt.want, tt.mode, diff)
		}
	}
}

func TestFamilyMembersNeedSameModes(t *testing.T) {
	const id = "wan3.0-video-480p"

	text := strings.Replace(builtinModel(t, id), "    family: wan3.0-video\n", "    family: wan3.0-other\n", 1)

	_, err := Load(Options{}, folder(id+".yaml", text))
	if err == nil || !strings.Contains(err.Error(), "[i2v r2v t2v] in wan3.0-video-1080p.yaml") {
		t.Errorf("%v", err)
	}
}

// Wan 2.7 makes shorter videos if a reference is a video.
func TestMaxDurationWithReferenceVideo(t *testing.T) {
	c := load(t)

	for name, tt := range map[string]struct {
		mutate mutation
		faults []string
	}{
		"15 s of pictures": {func(raw *RawRequest) { raw.Duration = NewField(Number("15"), "duration", 5) }, nil},
		"10 s of a video": {func(raw *RawRequest) {
			raw.Duration = NewField(Number("10"), "duration", 5)
			raw.Videos = fieldList("videos", 30, repeatURL(1)...)
		}, nil},
		"11 s of a video": {func(raw *RawRequest) {
			raw.Duration = NewField(Number("11"), "duration", 5)
			raw.Videos = fieldList("videos", 30, repeatURL(1)...)
		}, []string{"duration invalid_value"}},
		"guide audio": {func(raw *RawRequest) { raw.Audio = NewField("file_a", "audio", 5) }, []string{"audio invalid_value"}},
	} {
		raw := minimalRequest("wan2.7-r2v-720p")
		tt.mutate(&raw)

		if _, err := c.Validate(raw); cmp.Diff(tt.faults, faultList(err)) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}

	clip := MediaInfo{Param: "references[0]", Kind: Video, Type: "video/mp4", Bytes: 1, Millis: 5000, Width: 640, Height: 480, MilliFPS: 30_000}

	r := Request{Resolved: "wan2.7-r2v-720p", Mode: R2V, Seconds: 11}
	if f := c.CheckReferences(r, []MediaInfo{clip}); f == nil || !strings.Contains(f.Detail, "at most 10 s, not 11") || f.Param != clip.Param {
		t.Errorf("a reference that turned out to be a video: %v", f)
	}

	if r.Seconds = 10; c.CheckReferences(r, []MediaInfo{clip}) != nil {
		t.Error("10 s are rejected")
	}
}

// Wan 3.0 limits the total duration of the reference videos, and of these and the new video.
func TestTotalReferenceDuration(t *testing.T) {
	c := load(t)
	clip := func(param string, millis int64) MediaInfo {
		return MediaInfo{Param: param, Kind: Video, Type: "video/mp4", Bytes: 1, Millis: millis, Width: 640, Height: 480, MilliFPS: 30_000}
	}

	picture := MediaInfo{Param: "images[0]", Kind: Image, Type: "image/png", Bytes: 1, Width: 640, Height: 480}
	for name, tt := range map[string]struct {
		seconds int
		all     []MediaInfo
		want    string
		param   string
	}{
		"15 s":                             {15, []MediaInfo{clip("videos[0]", 10_000), picture, clip("videos[1]", 5033)}, "", ""},
		"16 s":                             {5, []MediaInfo{clip("videos[0]", 10_000), clip("videos[1]", 6000)}, "16.00 s together", "videos[1]"},
		"15 s and 16 s":                    {16, []MediaInfo{clip("videos[0]", 15_000)}, "may be 30 s", "videos[0]"},
		"pictures and 30 s":                {30, []MediaInfo{picture}, "", ""},
		"one too long, totals not checked": {30, []MediaInfo{clip("videos[0]", 16_000)}, "must last 1 to 15 s", "videos[0]"},
	} {
		f := c.CheckReferences(Request{Resolved: "wan3.0-video-720p", Mode: R2V, Seconds: tt.seconds}, tt.all)
		if (f == nil) != (tt.want == "") || f != nil && (!strings.Contains(f.Detail, tt.want) || f.Param != tt.param) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// All seconds of Wan 3.0's reference videos are billed, not only a part of each.
func TestBilledFullInput(t *testing.T) {
	c := load(t)

	r := Request{Resolved: "wan3.0-video-720p", Mode: R2V, References: make([]Reference, 3), Seconds: 10}
	for _, tt := range []struct{ inputs, want int64 }{{0, 10_000}, {4000, 18_000}, {7500, 25_000}, {20_000, 25_000}} {
		if got := c.Billed(r, []int64{tt.inputs, tt.inputs}, 10_000); got != tt.want {
			t.Errorf("two of %d ms: %d, want %d", tt.inputs, got, tt.want)
		}
	}

	q, err := c.Price(r)
	if err != nil || q.MaxMillis != 25_000 || q.Hold.String() != "2.50" || q.Billing != "whole+output" {
		t.Errorf("%+v, %v", q, err)
	}
}
