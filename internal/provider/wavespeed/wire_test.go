package wavespeed

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
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
	"example-1": {
		Model:           "alibaba/wan-2.6/reference-to-video-flash",
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
	"example-2": {
		Model:           "alibaba/wan-2.6/reference-to-video-flash",
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
	// The supplier names characters as we do, in the order of the list.
	"plain": {
		Model:      "alibaba/wan-2.6/reference-to-video",
		Mode:       provider.R2V,
		Prompt:     "character2 & character1 <walk>",
		References: []provider.Reference{{Kind: "video", URL: "https://x.org/b.mp4"}, {Kind: "video", URL: "https://x.org/a.mov"}},
		Size:       "720*1280",
		Width:      720,
		Height:     1280,
		Seconds:    5,
		Sound:      true,
		ShotType:   "single",
		Seed:       0,
	},
	"mixed": {
		Model:      "alibaba/wan-2.6/reference-to-video-flash",
		Mode:       provider.R2V,
		Prompt:     "Character1 meets character2",
		References: []provider.Reference{{Kind: "image", URL: "https://x.org/1.png"}, {Kind: "video", URL: "https://x.org/2.mp4"}},
		Size:       "1280*720",
		Width:      1280,
		Height:     720,
		Seconds:    5,
		Sound:      true,
		ShotType:   "single",
		Seed:       2147483647,
	},
}

func TestCreateRequestBodies(t *testing.T) {
	for name, o := range submissions {
		t.Run(name, func(t *testing.T) {
			var (
				got     []byte
				request *http.Request
			)

			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var body json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}

				got = body
				request = r

				w.Write(providertest.ReadTestdata(t, "create.json"))
			})

			remoteID, err := connect(t, address, time.Now, nil).Submit(t.Context(), o)
			if err != nil || remoteID != "0f3d9c1e-0001" {
				t.Fatalf("Submit = %q, %v", remoteID, err)
			}

			providertest.CompareGolden(t, *update, "request-"+name+".json", got)

			if request.URL.Path != "/api/v3/"+o.Model || request.Header.Get("Authorization") != "Bearer "+secret || request.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s with %v", request.URL, request.Header)
			}
		})
	}
}

func TestReferencesField(t *testing.T) {
	var got map[string]any

	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = nil
		_ = json.NewDecoder(r.Body).Decode(&got)

		w.Write(providertest.ReadTestdata(t, "create.json"))
	})
	for _, field := range referenceFields {
		w := connect(t, address+"/api/v3", time.Now, map[string]string{"references_field": field})
		if _, err := w.Submit(t.Context(), submissions["example-1"]); err != nil || got[field] == nil {
			t.Errorf("%s: %v, %v", field, got, err)
		}
	}

	if _, err := New(provider.Options{BaseURL: address, Secret: secret, HTTPClient: http.DefaultClient, SubmitHTTPClient: http.DefaultClient, Now: time.Now, Settings: map[string]string{"references_field": "refs"}}); err == nil || !strings.Contains(err.Error(), "reference_files") {
		t.Errorf("unknown field name: %v", err)
	}

	if p, err := New(provider.Options{Secret: secret, HTTPClient: http.DefaultClient, SubmitHTTPClient: http.DefaultClient, Now: time.Now}); err != nil || p.(*wavespeed).client.Origin != defaultBaseURL {
		t.Errorf("no base URL: %v", err)
	}
}

// What the supplier's API has no parameter for is rejected before anything is
// sent.
func TestInvalidSubmissionsAreNotSent(t *testing.T) {
	w := connect(t, "http://127.0.0.1:1", time.Now, nil)

	for name, c := range map[string]struct {
		change func(*provider.Submission)
		code   fault.Code
		param  string
	}{
		"watermark":    {func(o *provider.Submission) { o.Watermark = boolPtr(false) }, fault.CodeSupplierRejected, "watermark"},
		"another mode": {func(o *provider.Submission) { o.Mode = provider.T2V }, fault.CodeSupplierRejected, "model"},
		"no sound with the non-flash model": {func(o *provider.Submission) {
			o.Model = "alibaba/wan-2.6/reference-to-video"
			o.Sound = false
		}, fault.CodeSupplierRejected, "model"},
		"picture for the non-flash model": {func(o *provider.Submission) { o.Model = "alibaba/wan-2.6/reference-to-video" }, fault.CodeSupplierRejected, "images[0]"},
		"reference without a URL":         {func(o *provider.Submission) { o.References[0].URL = "" }, fault.CodeReferenceUnreachable, "images[0]"},
		"guide audio without a URL":       {func(o *provider.Submission) { o.Audio = &provider.Reference{Param: "extra_body.audio"} }, fault.CodeReferenceUnreachable, "extra_body.audio"},
	} {
		o := smallSubmission()
		c.change(&o)

		_, err := w.Submit(t.Context(), o)
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestPollResponses(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 5, 0, 0, time.UTC)
	for name, want := range map[string]provider.Report{
		"created.json":    {Phase: provider.Queued, Progress: -1},
		"processing.json": {Phase: provider.Rendering, Progress: -1},
		"completed.json": {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{
			URL: "https://d1q70pf5vjeyhc.cloudfront.net/predictions/p-1/1.mp4", ExpiresAt: now.Add(-5 * time.Minute).Add(retention).UnixMilli(),
		}},
	} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v3/predictions/p-1/result" {
				t.Errorf("requested %s", r.URL)
			}

			w.Write(providertest.ReadTestdata(t, name))
		})

		got, err := connect(t, address, func() time.Time { return now }, nil).Poll(t.Context(), "p-1")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	for name, want := range map[string]provider.Classification{"failed.json": unreachable, "failed-bare.json": transientError} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(providertest.ReadTestdata(t, name)) })

		got, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1")
		if err != nil || got.Phase != provider.Failed || got.Failure == nil || got.Failure.Class != want.Class || got.Failure.Fault.Code != want.Fault {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestMalformedResponses(t *testing.T) {
	for name, body := range map[string]string{
		"another prediction": `{"code":200,"data":{"id":"p-2","status":"processing"}}`,
		"no output":          `{"code":200,"data":{"id":"p-1","status":"completed","outputs":[]}}`,
		"unknown outputs":    `{"code":200,"data":{"id":"p-1","status":"completed","outputs":{"a":1}}}`,
		"unknown state":      `{"code":200,"data":{"id":"p-1","status":"dreaming"}}`,
		"no status":          `{"code":200,"data":{"id":"p-1"}}`,
		"no data":            `{"code":200}`,
		"a page":             `<html>welcome</html>`,
		"nothing":            ``,
		"null":               `null`,
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		if got, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1"); err == nil || providertest.FailureOf(t, err, secret).Class != provider.Transient {
			t.Errorf("%s: %+v, %v; want a transient failure", name, got, err)
		}

		if remoteID, err := connect(t, address, time.Now, nil).Submit(t.Context(), smallSubmission()); strings.HasPrefix(name, "no") && name != "no output" && (err == nil || providertest.FailureOf(t, err, secret).Acceptance != provider.AcceptanceUnknown) {
			t.Errorf("%s: Submit = %q, %v; want unknown acceptance", name, remoteID, err)
		}
	}
}

func TestUploadRequests(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		file, head, err := r.FormFile("file")
		if err != nil || head.Filename != "one.png" || head.Header.Get("Content-Type") != "image/png" || head.Size != 3 || r.ContentLength <= 3 {
			t.Errorf("%+v, %v", head, err)
		} else {
			file.Close()
		}

		w.Write(providertest.ReadTestdata(t, "upload.json"))
	})

	got, err := connect(t, address, time.Now, nil).Upload(t.Context(), "m", "one.png", 3, strings.NewReader("abc"))
	if err != nil || got != "https://d1q70pf5vjeyhc.cloudfront.net/media/a/one.png" {
		t.Errorf("Upload = %q, %v", got, err)
	}

	for body, want := range map[string]provider.Class{
		`{"code":200,"data":{"download_url":"oss://a"}}`: provider.Transient, `{}`: provider.Transient,
		`{"code":500,"message":"failure"}`: provider.Transient, `{"code":413,"message":"too large"}`: provider.InvalidRequest,
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })

		_, err := connect(t, address, time.Now, nil).Upload(t.Context(), "m", "one.png", 3, strings.NewReader("abc"))
		if f := providertest.FailureOf(t, err, secret); f.Class != want {
			t.Errorf("%s: %v, want %s", body, f, want)
		}
	}
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	return server.URL
}
