package dashscope

import (
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func boolPtr(v bool) *bool { return &v }

// The submissions for the examples on the models' pages; the golden files are the
// requests for them.
var submissions = map[string]provider.Submission{
	"r2v-example-1": {
		Model:           "wan2.6-r2v-flash",
		Mode:            provider.R2V,
		Prompt:          "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
		NegativePrompt:  "watermark, blur, flicker",
		References:      []provider.Reference{{Kind: "video", URL: "https://example.com/reference-shot-1.mp4"}},
		Audio:           &provider.Reference{Kind: "audio", URL: "https://example.com/guide-audio.mp3"},
		Size:            "1280*720",
		Width:           1280,
		Height:          720,
		Seconds:         5,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(false),
		Seed:            -1,
	},
	"r2v-example-2": {
		Model:           "wan2.6-r2v-flash",
		Mode:            provider.R2V,
		Prompt:          "保持相同产品身份与风格,生成一段干净的营销视频。",
		NegativePrompt:  "watermark, blur",
		References:      []provider.Reference{{Kind: "image", URL: "https://example.com/ref-1.png"}, {Kind: "image", URL: "https://example.com/ref-2.png"}},
		Size:            "1920*1080",
		Width:           1920,
		Height:          1080,
		Seconds:         10,
		ShotType:        "multi",
		PromptExpansion: boolPtr(true),
		Seed:            42,
	},
	"r2v-plain": {
		Model:      "wan2.6-r2v",
		Mode:       provider.R2V,
		Prompt:     "character1 & character2 <walk>",
		References: []provider.Reference{{URL: "oss://a/b.mp4"}, {URL: "https://x.org/2.png"}},
		Size:       "960*960",
		Width:      960,
		Height:     960,
		Seconds:    2,
		Sound:      true,
		ShotType:   "single",
		Watermark:  boolPtr(true),
		Seed:       0,
	},
	"t2v": {
		Model:           "wan2.6-t2v",
		Mode:            provider.T2V,
		Prompt:          "a street",
		Audio:           &provider.Reference{URL: "https://x.org/a.mp3"},
		Size:            "1080*1920",
		Width:           1080,
		Height:          1920,
		Seconds:         15,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(true),
		Watermark:       boolPtr(false),
		Seed:            2147483647,
	},
	"i2v-720": {
		Model:      "wan2.6-i2v-flash",
		Mode:       provider.I2V,
		Prompt:     "it moves",
		References: []provider.Reference{{URL: "https://x.org/1.png"}},
		Size:       "960*960",
		Width:      960,
		Height:     960,
		Seconds:    5,
		ShotType:   "single",
		Seed:       -1,
	},
	"i2v-1080": {
		Model:      "wan2.6-i2v",
		Mode:       provider.I2V,
		References: []provider.Reference{{URL: "oss://a/1.png"}},
		Audio:      &provider.Reference{URL: "oss://a/1.mp3"},
		Size:       "1632*1248",
		Width:      1632,
		Height:     1248,
		Seconds:    5,
		Sound:      true,
		ShotType:   "multi",
		Seed:       -1,
	},
}

func TestCreateRequestBodies(t *testing.T) {
	all := maps.Clone(submissions)
	maps.Copy(all, mediaSubmissions)

	for name, o := range all {
		t.Run(name, func(t *testing.T) {
			var (
				got    []byte
				header http.Header
			)

			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var body json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}

				got = body
				header = r.Header

				w.Write(providertest.ReadTestdata(t, "create.json"))
			})

			remoteID, err := connect(t, address, secret, time.Now).Submit(t.Context(), o)
			if err != nil || remoteID != "0385dc79-5ff8-4d82-bcb6-000000000001" {
				t.Fatalf("Submit = %q, %v", remoteID, err)
			}

			path := filepath.Join("testdata", "request-"+name+".json")
			if *update {
				if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			if diff := cmp.Diff(strings.TrimSpace(string(providertest.ReadTestdata(t, "request-"+name+".json"))), string(got)); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}

			resolve := ""
			if strings.Contains(string(got), "oss://") {
				resolve = "enable"
			}

			want := map[string]string{
				"Authorization": "Bearer " + secret, "X-DashScope-Async": "enable", "Content-Type": "application/json",
				"X-DashScope-OssResourceResolve": resolve, "Idempotency-Key": "", "X-DashScope-WorkSpace": "",
			}
			for key, value := range want {
				if header.Get(key) != value {
					t.Errorf("header %s = %q, want %q", key, header.Get(key), value)
				}
			}
		})
	}
}

func TestSettings(t *testing.T) {
	var path, workspace string

	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		workspace = r.Header.Get("X-DashScope-WorkSpace")

		w.Write(providertest.ReadTestdata(t, "create.json"))
	})
	d := connect(t, address, secret, time.Now)

	var err error
	if d.settings, err = parseSettings(map[string]string{"workspace": "ws-1", "create_path": "/wan/create", "submit_timeout": "5s"}); err != nil {
		t.Fatal(err)
	}

	if _, err := d.Submit(t.Context(), smallSubmission()); err != nil || path != "/wan/create" || workspace != "ws-1" {
		t.Errorf("path %q, workspace %q, %v", path, workspace, err)
	}

	for key, value := range map[string]string{"worksapce": "x", "create_path": "wan", "query_timeout": "5"} {
		if _, err := parseSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("setting %s = %q: %v; want an error that names it", key, value, err)
		}
	}
}

func TestInvalidSubmissionsAreNotSent(t *testing.T) {
	d := connect(t, "http://127.0.0.1:1", secret, time.Now)
	missing := smallSubmission()
	empty := smallSubmission()
	missing.References[0].URL = ""
	empty.Mode = provider.I2V
	empty.References = nil

	for name, c := range map[string]struct {
		submission provider.Submission
		code       fault.Code
		param      string
	}{"reference without an address": {missing, fault.CodeReferenceUnreachable, "images[0]"}, "I2V without a picture": {empty, fault.CodeSupplierRejected, "image"}} {
		_, err := d.Submit(t.Context(), c.submission)

		f := providertest.FailureOf(t, err, secret)
		if f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestPollResponses(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string]provider.Report{
		"pending.json":   {Phase: provider.Queued, Progress: -1},
		"suspended.json": {Phase: provider.Queued, Progress: -1},
		"running.json":   {Phase: provider.Rendering, Progress: -1},
		"canceled.json":  {Phase: provider.Cancelled, Progress: -1},
		"unknown.json":   {Phase: provider.Unknown, Progress: -1},
		"succeeded.json": {Phase: provider.Rendered, Progress: -1, Prompt: "character1 walks", Result: &provider.Result{
			URL: "https://dashscope-result-sh.oss-accelerate.aliyuncs.com/x.mp4?Expires=1765902635&Signature=s", Prompt: "character1 walks",
			Size: "1280*720", ExpiresAt: 1765902635000, DurationMillis: 275527, Usage: &provider.Usage{Billed: 10000, Input: 5000, Output: 5000},
		}},
		"succeeded-lenient.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{
			URL: "https://a717.aliyuncs.com/x.mp4", Size: "1280*720",
			ExpiresAt: time.Date(2025, 12, 16, 16, 30, 35, 0, time.UTC).UnixMilli(), Usage: &provider.Usage{Billed: 5040, Output: 5040},
		}},
		"succeeded-media.json": {Phase: provider.Rendered, Progress: -1, Prompt: "Image 1 walks", Result: &provider.Result{
			URL: "https://a717.aliyuncs.com/x.mp4", Prompt: "Image 1 walks",
			ExpiresAt: time.Date(2026, 4, 11, 16, 30, 35, 396e6, time.UTC).UnixMilli(), DurationMillis: 275527, Usage: &provider.Usage{Billed: 7500, Input: 2500, Output: 5000},
		}},
		"succeeded-clip.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{
			URL: "https://a717.aliyuncs.com/x.mp4", ExpiresAt: now.Add(24 * time.Hour).UnixMilli(), Usage: &provider.Usage{Billed: 5000, Output: 5000},
		}},
		"succeeded-bare.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{
			URL:       "https://a717.aliyuncs.com/x.mp4",
			ExpiresAt: now.Add(24 * time.Hour).UnixMilli(),
		}},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(providertest.ReadTestdata(t, name)) })

		got, err := connect(t, address, secret, func() time.Time { return now }).Poll(t.Context(), "t-1")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFailedPollResponses(t *testing.T) {
	for name, want := range map[string]fault.Code{"failed.json": fault.CodeSupplierRejected, "failed-bare.json": fault.CodeSupplierFailed} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(providertest.ReadTestdata(t, name)) })

		got, err := connect(t, address, secret, time.Now).Poll(t.Context(), "t-1")
		if err != nil || got.Phase != provider.Failed || got.Failure == nil || got.Failure.Fault.Code != want || got.Failure.RequestID == "" {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, want)
		}
	}
}

func TestMalformedResponses(t *testing.T) {
	for name, body := range map[string]string{
		"another task":  `{"output":{"task_id":"t-2","task_status":"SUCCEEDED","video_url":"https://x.org/a.mp4"}}`,
		"no video":      `{"output":{"task_id":"t-1","task_status":"SUCCEEDED"}}`,
		"unknown state": `{"output":{"task_id":"t-1","task_status":"DREAMING"}}`,
		"no status":     `{"output":{"task_id":"t-1"}}`,
		"a page":        `<html>welcome</html>`,
		"nothing":       ``,
		"null":          `null`,
		"endless":       `{"output":"` + strings.Repeat("a", 4<<20) + `"}`,
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		if got, err := connect(t, address, secret, time.Now).Poll(t.Context(), "t-1"); err == nil || providertest.FailureOf(t, err, secret).Class != provider.Transient {
			t.Errorf("%s: %+v, %v; want a transient failure", name, got, err)
		}
	}
}

func TestErrorBodies(t *testing.T) {
	for name, want := range map[string]provider.ErrorBody{
		"error.json":            {Code: "InvalidApiKey", Message: "No API-key provided.", RequestID: "7438d53d-6eb8-4596-8835-000000000001"},
		"error-compatible.json": {Code: "invalid_api_key", Message: "Incorrect API key provided.", RequestID: "r-2"},
		"error-oss.xml":         {Code: "AccessDenied", Message: "Request has expired.", RequestID: "6600"},
	} {
		if got, own := readError(providertest.ReadTestdata(t, name)); !own || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, own, want)
		}
	}

	for _, body := range []string{"", "null", "{}", `{"message":"no code"}`, `{"error":"text"}`, "<html><body>502</body></html>", "[]", `"code"`} {
		if got, own := readError([]byte(body)); own {
			t.Errorf("%q was read as %+v", body, got)
		}
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	return server.URL
}

// PostgreSQL rejects NUL and invalid UTF-8: a task must not get stuck because of
// such a byte in a name from a supplier or a proxy.
func TestSupplierTextIsStorable(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Request-Id"] = []string{"a\xffb"}
		w.WriteHeader(http.StatusInternalServerError)
	})
	d := connect(t, address, secret, time.Now)

	_, err := d.Submit(t.Context(), submissions["t2v"])
	if f := providertest.FailureOf(t, err, secret); f.RequestID != "a\uFFFDb" {
		t.Errorf("request id %q", f.RequestID)
	}

	a, err := readTaskResponse([]byte(`{"request_id":"r\u0000","output":{"task_id":"a\u0000b","task_status":"FAILED","message":"\u0000"}}`))
	if err != nil || a.Output.TaskID != "ab" || a.RequestID != "r" || a.Output.Message != "" {
		t.Errorf("%+v, %v", a, err)
	}

	e, own := readError([]byte(`{"code":"X\u0000","message":"m","request_id":"r\u0000"}`))
	if !own || e.RequestID != "r" || e.Code != "X" {
		t.Errorf("%+v, %v", e, own)
	}
}
