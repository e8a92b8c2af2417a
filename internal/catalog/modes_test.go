package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A family of several modes: what was given decides.
func TestAFamilyOfSeveralModes(t *testing.T) {
	c := load(t)
	picture := Give("https://example.com/a.png", "image", 10)

	for name, tt := range map[string]struct {
		change change
		want   string
		mode   Mode
		faults []string
	}{
		"words":           {func(*Ask) {}, "wan3.0-video-1080p", T2V, nil},
		"words, small":    {func(a *Ask) { a.Size = Give("624*624", "size", 5) }, "wan3.0-video-480p", T2V, nil},
		"a picture":       {func(a *Ask) { a.Image = picture; a.Tier = Give("720P", "resolution", 5) }, "wan3.0-video-720p", I2V, nil},
		"a reference":     {func(a *Ask) { a.Images = texts("images", 10, many(1)...) }, "wan3.0-video-1080p", R2V, nil},
		"a video, silent": {func(a *Ask) { a.Videos = texts("videos", 10, many(1)...); a.Sound = Give(false, "audio", 5) }, "wan3.0-video-1080p-silent", R2V, nil},
		"mixed": {func(a *Ask) {
			a.References = Give([]Pointed{{URL: Give("file_a", "references[0]", 11)}}, "references", 10)
		}, "wan3.0-video-1080p", R2V, nil},
		"30 seconds":            {func(a *Ask) { a.Duration = Give(Number("30"), "duration", 5) }, "wan3.0-video-1080p", T2V, nil},
		"10 pictures, 5 videos": {func(a *Ask) { a.Images = texts("images", 10, many(10)...); a.Videos = texts("videos", 30, many(5)...) }, "wan3.0-video-1080p", R2V, nil},
		"11 pictures":           {func(a *Ask) { a.Images = texts("images", 10, many(11)...) }, "", "", []string{"images invalid_value"}},
		"6 videos":              {func(a *Ask) { a.Videos = texts("videos", 10, many(6)...) }, "", "", []string{"videos invalid_value"}},
		"a picture and videos":  {func(a *Ask) { a.Image = picture; a.Videos = texts("videos", 11, many(1)...) }, "", "", []string{"videos invalid_value"}},
		"what must not be":      {func(a *Ask) { a.NegativePrompt = Give("blur", "negative_prompt", 5) }, "", "", []string{"negative_prompt invalid_value"}},
		"several shots":         {func(a *Ask) { a.ShotType = Give("multi", "shot_type", 5) }, "", "", []string{"shot_type invalid_value"}},
		"a guide for words":     {func(a *Ask) { a.Audio = Give("file_a", "audio", 5) }, "", "", []string{"audio invalid_value"}},
	} {
		a := minimal("wan3.0-video")
		tt.change(&a)

		r, err := c.Validate(a)
		if diff := cmp.Diff(tt.faults, said(err)); diff != "" || r.Resolved != tt.want || r.Mode != tt.mode {
			t.Errorf("%s: %s in mode %s, %v; want %s in %s %s", name, r.Resolved, r.Mode, err, tt.want, tt.mode, diff)
		}
	}
}

func TestTheSameModesInAllOfAFamily(t *testing.T) {
	const id = "wan3.0-video-480p"

	text := strings.Replace(shipped(t, id), "    family: wan3.0-video\n", "    family: wan3.0-other\n", 1)

	_, err := Load(Options{}, folder(id+".yaml", text))
	if err == nil || !strings.Contains(err.Error(), "[i2v r2v t2v] in wan3.0-video-1080p.yaml") {
		t.Errorf("%v", err)
	}
}

// Wan 2.7 makes shorter videos when a reference is one.
func TestFewerSecondsWithAReferenceVideo(t *testing.T) {
	c := load(t)

	for name, tt := range map[string]struct {
		change change
		faults []string
	}{
		"15 s of pictures": {func(a *Ask) { a.Duration = Give(Number("15"), "duration", 5) }, nil},
		"10 s of a video": {func(a *Ask) {
			a.Duration = Give(Number("10"), "duration", 5)
			a.Videos = texts("videos", 30, many(1)...)
		}, nil},
		"11 s of a video": {func(a *Ask) {
			a.Duration = Give(Number("11"), "duration", 5)
			a.Videos = texts("videos", 30, many(1)...)
		}, []string{"duration invalid_value"}},
		"a guide": {func(a *Ask) { a.Audio = Give("file_a", "audio", 5) }, []string{"audio invalid_value"}},
	} {
		a := minimal("wan2.7-r2v-720p")
		tt.change(&a)

		if _, err := c.Validate(a); cmp.Diff(tt.faults, said(err)) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}

	clip := Measured{Param: "references[0]", Kind: Video, Type: "video/mp4", Bytes: 1, Millis: 5000, Width: 640, Height: 480, MilliFPS: 30_000}

	r := Request{Resolved: "wan2.7-r2v-720p", Mode: R2V, Seconds: 11}
	if f := c.Judge(r, []Measured{clip}); f == nil || !strings.Contains(f.Detail, "at most 10 s, not 11") || f.Param != clip.Param {
		t.Errorf("what turned out to be a video: %v", f)
	}

	if r.Seconds = 10; c.Judge(r, []Measured{clip}) != nil {
		t.Error("10 s are refused")
	}
}

// Wan 3.0 bounds its reference videos together, and them with the video.
func TestReferenceVideosAreSummed(t *testing.T) {
	c := load(t)
	clip := func(param string, millis int64) Measured {
		return Measured{Param: param, Kind: Video, Type: "video/mp4", Bytes: 1, Millis: millis, Width: 640, Height: 480, MilliFPS: 30_000}
	}

	picture := Measured{Param: "images[0]", Kind: Image, Type: "image/png", Bytes: 1, Width: 640, Height: 480}
	for name, tt := range map[string]struct {
		seconds int
		all     []Measured
		want    string
		param   string
	}{
		"15 s":                  {15, []Measured{clip("videos[0]", 10_000), picture, clip("videos[1]", 5033)}, "", ""},
		"16 s":                  {5, []Measured{clip("videos[0]", 10_000), clip("videos[1]", 6000)}, "16.00 s together", "videos[1]"},
		"15 s and 16 s":         {16, []Measured{clip("videos[0]", 15_000)}, "30 s together", "videos[0]"},
		"pictures and 30 s":     {30, []Measured{picture}, "", ""},
		"one too long, no sums": {30, []Measured{clip("videos[0]", 16_000)}, "must last 1 to 15 s", "videos[0]"},
	} {
		f := c.Judge(Request{Resolved: "wan3.0-video-720p", Mode: R2V, Seconds: tt.seconds}, tt.all)
		if (f == nil) != (tt.want == "") || f != nil && (!strings.Contains(f.Detail, tt.want) || f.Param != tt.param) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// All seconds of Wan 3.0's reference videos are billed, not a part of each.
func TestBilledWhole(t *testing.T) {
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
