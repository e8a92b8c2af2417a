package catalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckReference(t *testing.T) {
	m, _ := load(t).Model("wan2.6-r2v-flash-720p-audio")
	picture := MediaInfo{
		Param:        "images[0]",
		DeclaredKind: Image,
		Kind:         Image,
		Type:         "image/png",
		Bytes:        20 << 20,
		Width:        240,
		Height:       8000,
	}
	video := MediaInfo{
		Param:        "videos[0]",
		DeclaredKind: Video,
		Kind:         Video,
		Type:         "video/quicktime",
		Bytes:        100 << 20,
		Width:        64,
		Height:       64,
		Millis:       30_033,
		MilliFPS:     8000,
	}

	sound := MediaInfo{Param: "extra_body.audio", DeclaredKind: Audio, Kind: Audio, Type: "audio/mpeg", Bytes: 15 << 20, Millis: 3000}
	for name, tt := range map[string]struct {
		ref    MediaInfo
		mutate func(*MediaInfo)
		want   string // "" if it is accepted
	}{
		"a picture":     {picture, func(*MediaInfo) {}, ""},
		"one byte more": {picture, func(m *MediaInfo) { m.Bytes++ }, "at most 20 MB"},
		"too narrow":    {picture, func(m *MediaInfo) { m.Width-- }, "240 to 8000"},
		"too high":      {picture, func(m *MediaInfo) { m.Height++ }, "240 to 8000"},
		"transparent":   {picture, func(m *MediaInfo) { m.HasAlpha = true }, "transparency"},
		"a GIF":         {picture, func(m *MediaInfo) { m.Type = "image/gif" }, "JPEG, PNG, BMP, WEBP"},
		"a video declared as a picture": {picture, func(m *MediaInfo) {
			m.Kind = Video
			m.Type = "video/mp4"
		}, "should be a picture"},
		"an unknown kind": {picture, func(m *MediaInfo) {
			m.DeclaredKind = ""
			m.Kind = ""
		}, "accepts no"},
		"a video":       {video, func(*MediaInfo) {}, ""},
		"a short video": {video, func(m *MediaInfo) { m.Millis = 999 }, "1 to 30 s"},
		"a long video":  {video, func(m *MediaInfo) { m.Millis = 31_000 }, "1 to 30 s"},
		"a large video": {video, func(m *MediaInfo) { m.Bytes++ }, "at most 100 MB"},
		"a WebM":        {video, func(m *MediaInfo) { m.Type = "video/webm" }, "MP4, MOV"},
		"a sound":       {sound, func(*MediaInfo) {}, ""},
		"a short sound": {sound, func(m *MediaInfo) { m.Millis-- }, "3 to 30 s"},
		"a FLAC":        {sound, func(m *MediaInfo) { m.Type = "audio/flac" }, "MP3, WAV"},
	} {
		tt.mutate(&tt.ref)

		f := m.CheckReference(tt.ref)
		switch {
		case f == nil && tt.want != "":
			t.Errorf("%s is accepted", name)
		case f != nil && (tt.want == "" || !strings.Contains(f.Detail, tt.want) || f.Param != tt.ref.Param || f.Code != "reference_invalid"):
			t.Errorf("%s: %v; want %q", name, f, tt.want)
		}
	}

	silent, _ := load(t).Model("wan2.6-r2v-flash-720p-silent")
	if silent.CheckReference(sound) == nil {
		t.Error("a silent model accepts guide audio")
	}
}

func TestCheckReferenceFrameRate(t *testing.T) {
	m := Model{ID: "m", Media: map[Kind]MediaLimits{Video: {Formats: []string{"mp4"}, MinFPS: 16}}}

	info := MediaInfo{Kind: Video, Type: "video/mp4", MilliFPS: 15_999}
	if f := m.CheckReference(info); f == nil || !strings.Contains(f.Detail, "at least 16") {
		t.Errorf("%v", f)
	}

	info.MilliFPS = 0 // unknown
	if f := m.CheckReference(info); f != nil {
		t.Errorf("%v", f)
	}
}

// References whose kind the request left open are counted once their bytes are known.
func TestCheckReferencesCountsDetectedKinds(t *testing.T) {
	c := load(t)

	var all []MediaInfo
	for _, param := range []string{"references[0]", "references[1]", "references[2]", "references[3]"} {
		all = append(all, MediaInfo{Param: param, Kind: Video, Type: "video/mp4", Bytes: 1, Millis: 2000})
	}

	all[1].Millis = 1

	r := Request{Resolved: "wan2.6-r2v-720p", Mode: R2V}
	if diff := cmp.Diff([]string{"references[1] reference_invalid"}, faultList(c.CheckReferences(r, all))); diff != "" {
		t.Error(diff)
	}

	all[1].Millis = 2000
	if diff := cmp.Diff([]string{"references[3] reference_invalid"}, faultList(c.CheckReferences(r, all))); diff != "" {
		t.Error(diff)
	}

	if f := c.CheckReferences(r, all[:3]); f != nil {
		t.Error(f)
	}

	r.Resolved = "withdrawn"
	if f := c.CheckReferences(r, all); f == nil || f.Code != "unknown_model" {
		t.Errorf("%v", f)
	}
}
