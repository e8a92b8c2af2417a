package uniall

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func bit(v bool) *bool { return &v }

// The orders that the R2V page's examples become, and others.
var orders = map[string]provider.Order{
	"example-1": {
		Model: "wan2.6-r2v-flash-720p-audio", Mode: provider.R2V, Prompt: "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
		NegativePrompt: "watermark, blur, flicker", References: []provider.Reference{{Kind: "video", Param: "videos[0]", URL: "https://example.com/reference-shot-1.mp4"}},
		Audio: &provider.Reference{Kind: "audio", Param: "extra_body.audio", URL: "https://example.com/guide-audio.mp3"}, Size: "1280*720", Width: 1280, Height: 720, Seconds: 5,
		Sound: true, ShotType: "single", PromptExpansion: bit(false), Seed: -1,
	},
	"example-2": {
		Model: "wan2.6-r2v-flash-1080p-silent", Mode: provider.R2V, Prompt: "保持相同产品身份与风格,生成一段干净的营销视频。",
		NegativePrompt: "watermark, blur", References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/ref-1.png"}, {Kind: "image", Param: "images[1]", URL: "https://example.com/ref-2.png"}},
		Size: "1920*1080", Width: 1920, Height: 1080, Seconds: 10, ShotType: "multi", PromptExpansion: bit(true), Seed: 42,
	},
	"mixed": {
		Model: "wan2.6-r2v-720p", Mode: provider.R2V, Prompt: "Character1 & character2 <meet> character3, not character9 or characters",
		References: []provider.Reference{
			{Kind: "image", Param: "references[0]", URL: "file_0001"}, {Kind: "video", Param: "references[1]", URL: "https://x.org/2.mp4"}, {Kind: "image", Param: "references[2]", URL: "https://x.org/3.png"},
		},
		Size: "960*960", Width: 960, Height: 960, Seconds: 2, Sound: true, ShotType: "single", Watermark: bit(true), Seed: 0,
	},
	"t2v": {Model: "wan2.6-video-720p", Mode: provider.T2V, Prompt: "a street", Size: "720*1280", Width: 720, Height: 1280, Seconds: 15, Sound: true, ShotType: "single", Seed: -1},
	"i2v": {
		Model: "wan2.6-i2v-flash-720p-silent", Mode: provider.I2V, Prompt: "it moves", References: []provider.Reference{{Kind: "image", Param: "image", URL: "https://x.org/1.png"}},
		Size: "960*960", Width: 960, Height: 960, Seconds: 5, ShotType: "single", Seed: -1,
	},
}

func TestOrdersOnTheWire(t *testing.T) {
	for name, o := range orders {
		t.Run(name, func(t *testing.T) {
			var (
				got    []byte
				header http.Header
				path   string
			)

			front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var err error
				if got, err = io.ReadAll(r.Body); err != nil {
					t.Error(err)
				}

				header = r.Header
				path = r.URL.Path

				w.Write(providertest.Recorded(t, "create.json"))
			}))

			ticket, err := connect(t, front.URL+"/v1").Submit(t.Context(), o)
			if err != nil || ticket != "task_01" {
				t.Fatalf("Submit = %q, %v", ticket, err)
			}

			file := filepath.Join("testdata", "order-"+name+".json")
			if *update && !strings.HasPrefix(name, "example-") { // the examples are the page's
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			if diff := cmp.Diff(object(t, providertest.Recorded(t, "order-"+name+".json")), object(t, got)); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}

			if path != "/v1/video/generations" || header.Get("Authorization") != "Bearer "+secret || header.Get("Content-Type") != "application/json" || header.Get("Idempotency-Key") != "" {
				t.Errorf("path %s, headers %v", path, header)
			}
		})
	}
}

func object(t *testing.T, b []byte) any {
	t.Helper()

	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}

	return v
}

func TestOrdersThatCannotBeSent(t *testing.T) {
	missing := small()
	silent := small()
	none := orders["i2v"]
	missing.References = []provider.Reference{{Kind: "image", Param: "images[0]"}}
	silent.Audio = &provider.Reference{Kind: "audio", Param: "extra_body.audio"}

	none.References = nil
	for name, c := range map[string]struct {
		order provider.Order
		code  fault.Code
		param string
	}{
		"a reference without an address": {missing, fault.CodeUnreachable, "images[0]"},
		"an audio without an address":    {silent, fault.CodeUnreachable, "extra_body.audio"},
		"picture to video without one":   {none, fault.CodeRefused, "image"},
	} {
		_, err := connect(t, "http://127.0.0.1:1").Submit(t.Context(), c.order)

		f := providertest.FailureOf(t, err, secret)
		if f.Taken != provider.NotTaken || f.Class != provider.Refused || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"path": "x", "create_path": "v1", "query_timeout": "5"} {
		if _, err := readSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("setting %s = %q: %v; want an error that names it", key, value, err)
		}
	}

	o := providertest.Options(t, "", secret, providertest.NewClock().Now)
	if _, err := New(o); err == nil {
		t.Error("no base URL was taken")
	}

	o.BaseURL = "https://x.org"

	o.Secret = ""
	if _, err := New(o); err == nil {
		t.Error("no key was taken")
	}

	o.Secret = "k"

	o.Settings = map[string]string{"create_path": "/v1/videos/generations", "submit_timeout": "5s"}
	if _, err := New(o); err != nil {
		t.Error(err)
	}
}

func TestPollsOnTheWire(t *testing.T) {
	for name, want := range map[string]provider.Report{
		"create.json":            {Phase: provider.Waiting, Progress: -1},
		"in_progress.json":       {Phase: provider.Rendering, Progress: 42, Prompt: "character1 walks"},
		"cancelled.json":         {Phase: provider.Stopped, Progress: -1, Prompt: "character1 walks"},
		"completed-unireel.json": {Phase: provider.Rendered, Progress: -1, Prompt: "character1 walks", Result: &provider.Result{URL: "https://reel.example.com/v1/videos/task_01/content?sig=s", Prompt: "character1 walks", Size: "1280*720", Took: 61000, Usage: &provider.Usage{Billed: 6650, Input: 1650, Output: 5000}}},
		"completed-uniall.json":  {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://cdn.example.cn/a.mp4"}},
		"completed-outputs.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://cdn.example.cn/b.mp4"}},
	} {
		front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/videos/task_01" {
				t.Errorf("asked %s", r.URL.Path)
			}

			w.Write(providertest.Recorded(t, name))
		}))

		got, err := connect(t, front.URL).Poll(t.Context(), "task_01")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A gateway that answers with previews has no supplier: nothing of it is sold.
func TestAPreviewIsNoVideo(t *testing.T) {
	s := simulate(t, false)
	for _, status := range []string{"queued", "in_progress", "completed"} {
		s.Say(200, "application/json", `{"id":"task_01","status":"`+status+`","preview":true,"video_url":"https://x.org/a.mp4"}`)

		report, err := s.Poll(t.Context(), "task_01")
		if err != nil || report.Phase != provider.Broken || report.Failure.Class != provider.Locked || report.Result != nil {
			t.Errorf("%s: %+v, %v", status, report, err)
		}
	}
}

func TestCancels(t *testing.T) {
	for body, c := range map[string]struct {
		status      int
		agreed, err bool
	}{
		`{"id":"t","status":"cancelled"}`:                                                                           {200, true, false},
		`{"id":"t","status":"completed"}`:                                                                           {200, false, false},
		`{"id":"t","status":"queued","cancel_requested_at":1772355600,"warnings":[]}`:                               {200, false, true},
		`{"id":"t","status":"in_progress","cancel_requested_at":1772355600,"warnings":[{"code":"cancel_refused"}]}`: {200, false, false},
		`{"id":"t","status":"in_progress"}`:                                                                         {200, false, false},
		`{"error":{"code":"method_not_allowed","message":"no"}}`:                                                    {405, false, false},
		`<html>no such page</html>`:                                                                                 {404, false, false},
		`<html>bad gateway</html>`:                                                                                  {502, false, true},
		`{"id":"other","status":"cancelled"}`:                                                                       {200, false, true},
	} {
		s := simulate(t, false)
		s.Say(c.status, "application/json", body)

		if agreed, err := s.Cancel(t.Context(), "t"); agreed != c.agreed || (err != nil) != c.err {
			t.Errorf("%d %s: %v, %v", c.status, body, agreed, err)
		}
	}
}
