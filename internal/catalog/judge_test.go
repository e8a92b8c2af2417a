package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	m, _ := load(t).Model("wan2.6-r2v-flash-720p-audio")
	picture := Measured{Param: "images[0]", Asked: Image, Kind: Image, Type: "image/png", Bytes: 20 << 20, Width: 240, Height: 8000}
	video := Measured{Param: "videos[0]", Asked: Video, Kind: Video, Type: "video/quicktime", Bytes: 100 << 20, Width: 64, Height: 64, Millis: 30_033, MilliFPS: 8000}

	sound := Measured{Param: "extra_body.audio", Asked: Audio, Kind: Audio, Type: "audio/mpeg", Bytes: 15 << 20, Millis: 3000}
	for name, tt := range map[string]struct {
		ref    Measured
		change func(*Measured)
		want   string // "" when it is taken
	}{
		"a picture":     {picture, func(*Measured) {}, ""},
		"one byte more": {picture, func(m *Measured) { m.Bytes++ }, "at most 20 MB"},
		"too narrow":    {picture, func(m *Measured) { m.Width-- }, "240 to 8000"},
		"too high":      {picture, func(m *Measured) { m.Height++ }, "240 to 8000"},
		"transparent":   {picture, func(m *Measured) { m.Alpha = true }, "transparency"},
		"a GIF":         {picture, func(m *Measured) { m.Type = "image/gif" }, "JPEG, PNG, BMP, WEBP"},
		"a video for a picture": {picture, func(m *Measured) {
			m.Kind = Video
			m.Type = "video/mp4"
		}, "should be a picture"},
		"nothing that is known": {picture, func(m *Measured) {
			m.Asked = ""
			m.Kind = ""
		}, "takes no"},
		"a video":       {video, func(*Measured) {}, ""},
		"a short video": {video, func(m *Measured) { m.Millis = 999 }, "1 to 30 s"},
		"a long video":  {video, func(m *Measured) { m.Millis = 31_000 }, "1 to 30 s"},
		"a large video": {video, func(m *Measured) { m.Bytes++ }, "at most 100 MB"},
		"a WebM":        {video, func(m *Measured) { m.Type = "video/webm" }, "MP4, MOV"},
		"a sound":       {sound, func(*Measured) {}, ""},
		"a short sound": {sound, func(m *Measured) { m.Millis-- }, "3 to 30 s"},
		"a FLAC":        {sound, func(m *Measured) { m.Type = "audio/flac" }, "MP3, WAV"},
	} {
		tt.change(&tt.ref)

		f := m.Judge(tt.ref)
		switch {
		case f == nil && tt.want != "":
			t.Errorf("%s is taken", name)
		case f != nil && (tt.want == "" || !strings.Contains(f.Detail, tt.want) || f.Param != tt.ref.Param || f.Code != "reference_invalid"):
			t.Errorf("%s: %v; want %q", name, f, tt.want)
		}
	}

	silent, _ := load(t).Model("wan2.6-r2v-flash-720p-silent")
	if silent.Judge(sound) == nil {
		t.Error("a silent model takes guide audio")
	}
}

func TestJudgeSlowVideos(t *testing.T) {
	m := Model{ID: "m", Media: map[Kind]Bounds{Video: {Formats: []string{"mp4"}, MinFPS: 16}}}

	ref := Measured{Kind: Video, Type: "video/mp4", MilliFPS: 15_999}
	if f := m.Judge(ref); f == nil || !strings.Contains(f.Detail, "at least 16") {
		t.Errorf("%v", f)
	}

	ref.MilliFPS = 0 // unknown
	if f := m.Judge(ref); f != nil {
		t.Errorf("%v", f)
	}
}

// References whose kind the request left open are counted when they are seen.
func TestJudgeCountsWhatWasSeen(t *testing.T) {
	c := load(t)

	var all []Measured
	for _, param := range []string{"references[0]", "references[1]", "references[2]", "references[3]"} {
		all = append(all, Measured{Param: param, Kind: Video, Type: "video/mp4", Bytes: 1, Millis: 2000})
	}

	all[1].Millis = 1

	r := Request{Resolved: "wan2.6-r2v-720p", Mode: R2V}
	if diff := cmp.Diff([]string{"references[1] reference_invalid"}, said(c.Judge(r, all))); diff != "" {
		t.Error(diff)
	}

	all[1].Millis = 2000
	if diff := cmp.Diff([]string{"references[3] reference_invalid"}, said(c.Judge(r, all))); diff != "" {
		t.Error(diff)
	}

	if f := c.Judge(r, all[:3]); f != nil {
		t.Error(f)
	}

	r.Resolved = "withdrawn"
	if f := c.Judge(r, all); f == nil || f.Code != "unknown_model" {
		t.Errorf("%v", f)
	}
}
