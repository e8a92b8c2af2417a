package dashscopesim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the models from 2.7 on accept, and what belongs to another model's body.
func TestMediaBodies(t *testing.T) {
	const image, video, frame = `{"type":"reference_image","url":"https://x.org/1.png"}`, `{"type":"reference_video","url":"https://x.org/1.mp4"}`, `{"type":"first_frame","url":"https://x.org/1.png"}`

	repeat := func(one string, n int) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for name, tt := range map[string]struct {
		model, input, parameters string
		want                     string // part of the message; "" means accepted
	}{
		"2.7 r2v":                       {"wan2.7-r2v", `"media":[` + image + `,` + video + `]`, `"resolution":"720P","ratio":"4:3","duration":10,"seed":0,"prompt_extend":false,"watermark":true`, ""},
		"2.7 r2v with a first frame":    {"wan2.7-r2v", `"media":[` + image + `,` + frame + `]`, ``, ""},
		"2.7 r2v with 2.6's body":       {"wan2.7-r2v", `"reference_urls":["https://x.org/1.png"]`, ``, "Field required: input.media"},
		"2.7 r2v without media":         {"wan2.7-r2v", `"media":[]`, ``, "Field required: input.media"},
		"2.7 r2v with a size":           {"wan2.7-r2v", `"media":[` + image + `]`, `"size":"1280*720"`, "(size)"},
		"2.7 r2v with a shot type":      {"wan2.7-r2v", `"media":[` + image + `]`, `"shot_type":"single"`, "(shot_type)"},
		"2.7 r2v with a sound switch":   {"wan2.7-r2v", `"media":[` + image + `]`, `"audio":true`, "(audio)"},
		"2.7 r2v with six references":   {"wan2.7-r2v", `"media":[` + repeat(image, 3) + `,` + repeat(video, 3) + `]`, ``, "At most 5 references"},
		"2.7 r2v with an unknown type":  {"wan2.7-r2v", `"media":[{"type":"image","url":"https://x.org/1.png"}]`, ``, "media[0].type"},
		"2.7 r2v without a url":         {"wan2.7-r2v", `"media":[{"type":"reference_image"}]`, ``, "media.0.url"},
		"2.7 r2v with 480P":             {"wan2.7-r2v", `"media":[` + image + `]`, `"resolution":"480P"`, "(resolution)"},
		"2.7 r2v with 21:9":             {"wan2.7-r2v", `"media":[` + image + `]`, `"ratio":"21:9"`, "(ratio)"},
		"2.7 r2v with 15 s":             {"wan2.7-r2v", `"media":[` + image + `]`, `"duration":15`, ""},
		"2.7 r2v, a video, 11 s":        {"wan2.7-r2v", `"media":[` + video + `]`, `"duration":11`, "[2, 10]"},
		"2.7 i2v":                       {"wan2.7-i2v", `"media":[` + frame + `,{"type":"driving_audio","url":"https://x.org/1.mp3"}]`, `"resolution":"1080P"`, ""},
		"2.7 i2v with 2.6's body":       {"wan2.7-i2v", `"img_url":"https://x.org/1.png"`, ``, "(img_url)"},
		"2.7 i2v with a ratio":          {"wan2.7-i2v", `"media":[` + frame + `]`, `"ratio":"16:9"`, "(ratio)"},
		"2.7 i2v with two first frames": {"wan2.7-i2v", `"media":[` + repeat(frame, 2) + `]`, ``, "At most 1 of type first_frame"},
		"2.7 i2v with audio_url":        {"wan2.7-i2v", `"media":[` + frame + `],"audio_url":"https://x.org/1.mp3"`, ``, "(audio_url)"},
		"2.7 t2v":                       {"wan2.7-t2v", `"audio_url":"https://x.org/1.mp3","negative_prompt":"blur"`, `"resolution":"720P","ratio":"1:1"`, ""},
		"2.7 t2v with a picture":        {"wan2.7-t2v", `"media":[` + image + `]`, ``, "media[0].type"},
		"2.7 t2v with 2.5 s":            {"wan2.7-t2v", ``, `"duration":2.5`, "(duration)"},
		"3.0 text only":                 {"wan3.0-video", ``, `"resolution":"480P","ratio":"adaptive","audio":false,"duration":30,"seed":-1`, ""},
		"3.0 frames":                    {"wan3.0-video-prime", `"media":[` + frame + `,{"type":"last_frame","url":"https://x.org/2.png"}]`, ``, ""},
		"3.0 references":                {"wan3.0-video", `"media":[` + repeat(image, 10) + `,` + repeat(video, 3) + `,{"type":"reference_audio","url":"https://x.org/1.wav"}]`, `"duration":15`, ""},
		"3.0 frames and references":     {"wan3.0-video", `"media":[` + frame + `,` + image + `]`, ``, "exclude each other"},
		"3.0 last frame only":           {"wan3.0-video", `"media":[{"type":"last_frame","url":"https://x.org/2.png"}]`, ``, "exclude each other"},
		"3.0 eleven pictures":           {"wan3.0-video", `"media":[` + repeat(image, 11) + `]`, ``, "At most 10"},
		"3.0 too much video":            {"wan3.0-video", `"media":[` + repeat(video, 4) + `]`, ``, "Invalid file duration"},
		"3.0 in and out over 30 s":      {"wan3.0-video", `"media":[` + video + `]`, `"duration":26`, "Invalid file duration"},
		"3.0 unsupported field":         {"wan3.0-video", `"negative_prompt":"blur"`, ``, "(negative_prompt)"},
		"3.0 31 s":                      {"wan3.0-video", ``, `"duration":31`, "[2, 30]"},
	} {
		w := newFixture(Options{Strict: true})

		input := `"prompt":"p"`
		if tt.input != "" {
			input += "," + tt.input
		}

		status, body := w.create("k", `{"model":"`+tt.model+`","input":{`+input+`},"parameters":{`+tt.parameters+`}}`)
		code, _ := body["code"].(string)

		message, _ := body["message"].(string)
		if tt.want == "" && status != http.StatusOK || tt.want != "" && (status != http.StatusBadRequest || code != "InvalidParameter" || !strings.Contains(message, tt.want)) {
			t.Errorf("%s: %d %v; want %q", name, status, body, tt.want)
		}
	}
}

// The usage contains the tier and the aspect ratio but no size, and the prompt is
// repeated in full.
func TestMediaUsage(t *testing.T) {
	w := newFixture(Options{ReferenceSeconds: 12})
	prompt := strings.Repeat("字", 5001)
	id := w.mustCreate(t, `{"model":"wan2.7-r2v","input":{"prompt":"`+prompt+`","media":[{"type":"reference_video","url":"https://x.org/1.mp4"}]},"parameters":{"resolution":"720P","ratio":"9:16","duration":4}}`)
	w.advance(time.Minute)
	output, usage := w.task(id)

	want := map[string]any{
		"duration":              9.0,
		"input_video_duration":  5.0,
		"output_video_duration": 4.0,
		"video_count":           1.0,
		"SR":                    720.0,
		"fps":                   30.0,
		"ratio":                 "9:16",
	}
	if diff := cmp.Diff(want, usage); diff != "" || output["orig_prompt"] != prompt[:5000*len("字")] {
		t.Error(diff)
	}
}
