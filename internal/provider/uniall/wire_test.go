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

var update = flag.Bool("update", false, "rewrite the golden files")

func boolPtr(v bool) *bool { return &v }

// The submissions for the examples on the R2V page, and others.
var submissions = map[string]provider.Submission{
	"example-1": {
		Model:           "wan2.6-r2v-flash-720p-audio",
		Mode:            provider.R2V,
		Prompt:          "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
		NegativePrompt:  "watermark, blur, flicker",
		References:      []provider.Reference{{Kind: "video", Param: "videos[0]", URL: "https://example.com/reference-shot-1.mp4"}},
		Audio:           &provider.Reference{Kind: "audio", Param: "extra_body.audio", URL: "https://example.com/guide-audio.mp3"},
		Size:            "1280*720",
		Width:           1280,
		Height:          720,
		Seconds:         5,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(false),
		Seed:            -1,
	},
	"example-2": {
		Model:           "wan2.6-r2v-flash-1080p-silent",
		Mode:            provider.R2V,
		Prompt:          "保持相同产品身份与风格,生成一段干净的营销视频。",
		NegativePrompt:  "watermark, blur",
		References:      []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/ref-1.png"}, {Kind: "image", Param: "images[1]", URL: "https://example.com/ref-2.png"}},
		Size:            "1920*1080",
		Width:           1920,
		Height:          1080,
		Seconds:         10,
		ShotType:        "multi",
		PromptExpansion: boolPtr(true),
		Seed:            42,
	},
	"mixed": {
		Model:  "wan2.6-r2v-720p",
		Mode:   provider.R2V,
		Prompt: "Character1 & character2 <meet> character3, not character9 or characters",
		References: []provider.Reference{
			{Kind: "image", Param: "references[0]", URL: "file_0001"}, {Kind: "video", Param: "references[1]", URL: "https://x.org/2.mp4"}, {Kind: "image", Param: "references[2]", URL: "https://x.org/3.png"},
		},
		Size:      "960*960",
		Width:     960,
		Height:    960,
		Seconds:   2,
		Sound:     true,
		ShotType:  "single",
		Watermark: boolPtr(true),
		Seed:      0,
	},
	"t2v": {
		Model:    "wan2.6-video-720p",
		Mode:     provider.T2V,
		Prompt:   "a street",
		Size:     "720*1280",
		Width:    720,
		Height:   1280,
		Seconds:  15,
		Sound:    true,
		ShotType: "single",
		Seed:     -1,
	},
	"i2v": {
		Model:      "wan2.6-i2v-flash-720p-silent",
		Mode:       provider.I2V,
		Prompt:     "it moves",
		References: []provider.Reference{{Kind: "image", Param: "image", URL: "https://x.org/1.png"}},
		Size:       "960*960",
		Width:      960,
		Height:     960,
		Seconds:    5,
		ShotType:   "single",
		Seed:       -1,
	},
}

func TestCreateRequestBodies(t *testing.T) {
	for name, o := range submissions {
		t.Run(name, func(t *testing.T) {
			var (
				got    []byte
				header http.Header
				path   string
			)

			server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var err error
				if got, err = io.ReadAll(r.Body); err != nil {
					t.Error(err)
				}

				header = r.Header
				path = r.URL.Path

				w.Write(providertest.ReadTestdata(t, "create.json"))
			}))

			remoteID, err := connect(t, server.URL+"/v1").Submit(t.Context(), o)
			if err != nil || remoteID != "task_01" {
				t.Fatalf("Submit = %q, %v", remoteID, err)
			}

			file := filepath.Join("testdata", "request-"+name+".json")
			if *update && !strings.HasPrefix(name, "example-") { // the files of the examples are copied from the page
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			if diff := cmp.Diff(decode(t, providertest.ReadTestdata(t, "request-"+name+".json")), decode(t, got)); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}

			if path != "/v1/video/generations" || header.Get("Authorization") != "Bearer "+secret || header.Get("Content-Type") != "application/json" || header.Get("Idempotency-Key") != "" {
				t.Errorf("path %s, headers %v", path, header)
			}
		})
	}
}

func decode(t *testing.T, b []byte) any {
	t.Helper()

	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}

	return v
}

func TestInvalidSubmissionsAreNotSent(t *testing.T) {
	missing := smallSubmission()
	silent := smallSubmission()
	none := submissions["i2v"]
	missing.References = []provider.Reference{{Kind: "image", Param: "images[0]"}}
	silent.Audio = &provider.Reference{Kind: "audio", Param: "extra_body.audio"}

	none.References = nil
	for name, c := range map[string]struct {
		submission provider.Submission
		code       fault.Code
		param      string
	}{
		"reference without a URL":   {missing, fault.CodeReferenceUnreachable, "images[0]"},
		"guide audio without a URL": {silent, fault.CodeReferenceUnreachable, "extra_body.audio"},
		"I2V without a picture":     {none, fault.CodeSupplierRejected, "image"},
	} {
		_, err := connect(t, "http://127.0.0.1:1").Submit(t.Context(), c.submission)

		f := providertest.FailureOf(t, err, secret)
		if f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"path": "x", "create_path": "v1", "query_timeout": "5"} {
		if _, err := parseSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("setting %s = %q: %v; want an error that names it", key, value, err)
		}
	}

	o := providertest.LoopbackOptions(t, "", secret, providertest.NewClock().Now)
	if _, err := New(o); err == nil {
		t.Error("an empty base URL was accepted")
	}

	o.BaseURL = "https://x.org"
	o.Secret = ""

	if _, err := New(o); err == nil {
		t.Error("an empty key was accepted")
	}

	o.Secret = "k"
	o.Settings = map[string]string{"create_path": "/v1/videos/generations", "submit_timeout": "5s"}

	if _, err := New(o); err != nil {
		t.Error(err)
	}
}

func TestPollResponses(t *testing.T) {
	for name, want := range map[string]provider.Report{
		"create.json":            {Phase: provider.Queued, Progress: -1},
		"in_progress.json":       {Phase: provider.Rendering, Progress: 42, Prompt: "character1 walks"},
		"cancelled.json":         {Phase: provider.Cancelled, Progress: -1, Prompt: "character1 walks"},
		"completed-unireel.json": {Phase: provider.Rendered, Progress: -1, Prompt: "character1 walks", Result: &provider.Result{URL: "https://reel.example.com/v1/videos/task_01/content?sig=s", Prompt: "character1 walks", Size: "1280*720", DurationMillis: 61000, Usage: &provider.Usage{Billed: 6650, Input: 1650, Output: 5000}}},
		"completed-uniall.json":  {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://cdn.example.cn/a.mp4"}},
		"completed-outputs.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://cdn.example.cn/b.mp4"}},
	} {
		server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/videos/task_01" {
				t.Errorf("requested %s", r.URL.Path)
			}

			w.Write(providertest.ReadTestdata(t, name))
		}))

		got, err := connect(t, server.URL).Poll(t.Context(), "task_01")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A gateway that returns previews has no supplier: its videos must not be
// delivered as real ones.
func TestPreviewIsAFailure(t *testing.T) {
	s := newFixture(t, false)
	for _, status := range []string{"queued", "in_progress", "completed"} {
		s.Respond(200, "application/json", `{"id":"task_01","status":"`+status+`","preview":true,"video_url":"https://x.org/a.mp4"}`)

		report, err := s.Poll(t.Context(), "task_01")
		if err != nil || report.Phase != provider.Failed || report.Failure.Class != provider.AccountBlocked || report.Result != nil {
			t.Errorf("%s: %+v, %v", status, report, err)
		}
	}
}

func TestCancels(t *testing.T) {
	for body, c := range map[string]struct {
		status         int
		cancelled, err bool
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
		s := newFixture(t, false)
		s.Respond(c.status, "application/json", body)

		if cancelled, err := s.Cancel(t.Context(), "t"); cancelled != c.cancelled || (err != nil) != c.err {
			t.Errorf("%d %s: %v, %v", c.status, body, cancelled, err)
		}
	}
}
