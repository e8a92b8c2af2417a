package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func openBytes(s string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// storedReference is a reference with our own copy of its bytes.
func storedReference(kind, param, name, mediaType, content string) provider.Reference {
	return provider.Reference{Kind: kind, Param: param, Name: name, MediaType: mediaType, SizeBytes: int64(len(content)), Open: openBytes(content)}
}

func boolPtr(v bool) *bool { return &v }

var submissions = map[string]provider.Submission{
	"t2v": {
		Model:           "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
		Mode:            provider.T2V,
		Prompt:          "街道 <a street> & \"rain\"",
		NegativePrompt:  "blur, watermark",
		Size:            "1280*720",
		Width:           1280,
		Height:          720,
		Seconds:         5,
		Sound:           true,
		ShotType:        "multi",
		PromptExpansion: boolPtr(false),
		Watermark:       boolPtr(true),
		Seed:            42,
	},
	"i2v": {
		Model:      "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
		Mode:       provider.I2V,
		Prompt:     "it moves",
		Size:       "720*1280",
		Width:      720,
		Height:     1280,
		Seconds:    4,
		ShotType:   "single",
		Seed:       -1,
		References: []provider.Reference{storedReference("image", "image", "first frame.png", "image/png", "\x89PNG bytes")},
	},
	"r2v": {
		Model:    "vace",
		Mode:     provider.R2V,
		Prompt:   "character1 meets character2",
		Size:     "960*960",
		Width:    960,
		Height:   960,
		Seconds:  2,
		ShotType: "single",
		Seed:     0,
		References: []provider.Reference{
			storedReference("video", "videos[0]", "a.mp4", "video/mp4", "video bytes"), storedReference("image", "images[0]", "b.jpg", "image/jpeg", "picture"),
			{Kind: "image", Param: "images[1]", URL: "https://example.com/only-there.png", Name: "only-there.png"},
		},
		Audio: &provider.Reference{Kind: "audio", Param: "extra_body.audio", URL: "https://example.com/guide.mp3"},
	},
}

// formPart is one part of a form as the golden files show it.
type formPart struct {
	Name, Value string
	File        string `json:",omitempty"`
	Type        string `json:",omitempty"`
}

func TestCreateRequestBodies(t *testing.T) {
	for name, o := range submissions {
		for _, body := range []string{"multipart", "json"} {
			t.Run(name+" "+body, func(t *testing.T) {
				var (
					got    []byte
					header http.Header
					length int64
				)

				server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = readBody(t, r)
					header = r.Header
					length = r.ContentLength

					w.Write(providertest.ReadTestdata(t, "queued.json"))
				}))
				p := connect(t, server.URL, "", providertest.NewClock(), map[string]string{"body": body, "field.num_inference_steps": "40", "field.scheduler": "unipc"})

				remoteID, err := p.Submit(t.Context(), o)
				if err != nil || remoteID != "video_123" {
					t.Fatalf("Submit = %q, %v", remoteID, err)
				}

				providertest.CompareGolden(t, *update, "request-"+name+"-"+body+".json", got)

				if header.Get("Authorization") != "" || header.Get("Idempotency-Key") != "" || length <= 0 {
					t.Errorf("headers %v, length %d", header, length)
				}
			})
		}
	}
}

// readBody returns the body of a request as the golden files show it.
func readBody(t *testing.T, r *http.Request) []byte {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}

	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind == "application/json" {
		return b
	}

	var parts []formPart

	form := multipart.NewReader(bytes.NewReader(b), params["boundary"])
	for {
		p, err := form.NextPart()
		if err != nil {
			break
		}

		value, err := io.ReadAll(p)
		if err != nil {
			t.Error(err)
		}

		parts = append(parts, formPart{Name: p.FormName(), Value: string(value), File: p.FileName(), Type: p.Header.Get("Content-Type")})
	}

	b, err = json.MarshalIndent(parts, "", " ")
	if err != nil {
		t.Error(err)
	}

	return b
}

func TestSGLangReferenceURL(t *testing.T) {
	var got []byte

	server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = readBody(t, r)
		w.Write(providertest.ReadTestdata(t, "queued.json"))
	}))

	p := connect(t, server.URL+"/v1/", "", providertest.NewClock(), map[string]string{"body": "json", "reference": "reference_url"})
	if _, err := p.Submit(t.Context(), submissions["i2v"]); err != nil || !strings.Contains(string(got), `"reference_url":"data:image/png;base64,`) {
		t.Errorf("%v, sent %s", err, got)
	}
}

func TestInvalidSubmissionsAreNotSent(t *testing.T) {
	missing := submissions["i2v"]
	none := submissions["i2v"]
	large := submissions["i2v"]
	lost := submissions["i2v"]
	missing.References = []provider.Reference{{Param: "image"}}
	none.References = nil
	large.References = []provider.Reference{storedReference("image", "image", "a.png", "image/png", strings.Repeat("x", maxInline+1))}

	lost.References = []provider.Reference{{Param: "image", Open: func(context.Context) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }}}
	for name, c := range map[string]struct {
		submission provider.Submission
		body       string
		class      provider.Class
		code       fault.Code
		param      string
	}{
		"reference without a URL or bytes":       {missing, "multipart", provider.InvalidRequest, fault.CodeReferenceUnreachable, "image"},
		"JSON, reference without a URL or bytes": {missing, "json", provider.InvalidRequest, fault.CodeReferenceUnreachable, "image"},
		"I2V without a picture":                  {none, "multipart", provider.InvalidRequest, fault.CodeSupplierRejected, "image"},
		"JSON, picture too large":                {large, "json", provider.InvalidRequest, fault.CodeReferenceInvalid, "image"},
		"bytes that cannot be opened":            {lost, "multipart", provider.Transient, fault.CodeSupplierFailed, ""},
	} {
		p := connect(t, "http://127.0.0.1:1", "", providertest.NewClock(), map[string]string{"body": c.body})
		_, err := p.Submit(t.Context(), c.submission)

		f := providertest.FailureOf(t, err, secret)
		if f.Acceptance != provider.NotAccepted || f.Class != c.class || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{
		"bodies":        "x",
		"body":          "xml",
		"reference":     "x",
		"videos_path":   "v1",
		"query_timeout": "5",
		"field.":        "x",
		"field.prompt":  "x",
		"field.a b":     "x",
	} {
		if _, err := parseSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("setting %s = %q: %v; want an error that names it", key, value, err)
		}
	}

	o := providertest.LoopbackOptions(t, "gpu-1:30000", "", time.Now)
	if _, err := New(o); err == nil {
		t.Error("a base URL without a scheme was accepted")
	}

	o.BaseURL = ""
	if _, err := New(o); err == nil {
		t.Error("an empty base URL was accepted")
	}
}

func TestPollResponses(t *testing.T) {
	for name, want := range map[string]provider.Report{
		"queued.json":         {Phase: provider.Queued, Progress: -1},
		"in_progress.json":    {Phase: provider.Rendering, Progress: 37, Prompt: "a street"},
		"processing.json":     {Phase: provider.Rendering, Progress: -1},
		"deleted.json":        {Phase: provider.Cancelled, Progress: -1},
		"cancelled.json":      {Phase: provider.Cancelled, Progress: -1},
		"completed.json":      {Phase: provider.Rendered, Progress: -1, Prompt: "a street", Result: &provider.Result{URL: "/v1/videos/video_123/content", Prompt: "a street", Size: "1280*720", ExpiresAt: 1772442000000, DurationMillis: 61000}},
		"completed-vllm.json": {Phase: provider.Rendered, Progress: -1, Prompt: "a street", Result: &provider.Result{URL: "/v1/videos/video_123/content", Prompt: "a street", DurationMillis: 12000}},
		"completed-url.json":  {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://store.example.com/a.mp4?signature=s"}},
	} {
		server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(providertest.ReadTestdata(t, name)) }))

		got, err := connect(t, server.URL, "", providertest.NewClock(), nil).Poll(t.Context(), "video_123")
		if want.Result != nil && strings.HasPrefix(want.Result.URL, "/") {
			want.Result.URL = server.URL + want.Result.URL
		}

		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A completed video is downloaded with the key from the server itself, and without
// it from any host that the server redirects to.
func TestKeyIsSentToOriginOnly(t *testing.T) {
	var otherHostAuth string

	store := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if otherHostAuth = r.Header.Get("Authorization"); otherHostAuth != "" {
			t.Errorf("the key was sent to %s", r.Host)
		}

		w.Write([]byte("video bytes"))
	}))

	var originAuth string

	server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		originAuth = r.Header.Get("Authorization")
		http.Redirect(w, r, store.URL+"/video.mp4", http.StatusFound)
	}))

	p := connect(t, server.URL, secret, providertest.NewClock(), nil)
	for _, address := range []string{server.URL + "/v1/videos/video_123/content", store.URL + "/video.mp4"} {
		body, err := p.Open(t.Context(), provider.Result{URL: address})
		if err != nil {
			t.Fatal(err)
		}

		b, err := io.ReadAll(body)
		body.Close()

		if err != nil || string(b) != "video bytes" {
			t.Errorf("%s gave %q, %v", address, b, err)
		}
	}

	if originAuth != "Bearer "+secret {
		t.Errorf("the origin received %q", originAuth)
	}

	for _, address := range []string{"", "file:///etc/passwd", "/v1/videos/x/content", "http://%zz"} {
		_, err := p.Open(t.Context(), provider.Result{URL: address})
		if f := providertest.FailureOf(t, err, secret); f.Class != provider.NotFound {
			t.Errorf("%q: %v", address, f)
		}
	}
}

func TestOpenStopsAfterIdleTimeout(t *testing.T) {
	server := providertest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("some"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))

	p := connect(t, server.URL, "", providertest.NewClock(), map[string]string{"idle_timeout": "1h"})
	if p.client.IdleTimeout != time.Hour {
		t.Errorf("the idle timeout is %s", p.client.IdleTimeout)
	}

	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()

	body, err := p.Open(ctx, provider.Result{URL: server.URL + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()

	p.client.IdleTimeout = 50 * time.Millisecond // measured from the response's first bytes

	_, err = io.ReadAll(body)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Transient || !strings.Contains(f.Error(), "no bytes arrived for too long") {
		t.Errorf("%v", f)
	}
}
