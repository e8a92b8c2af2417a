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

var update = flag.Bool("update", false, "write the golden files anew")

func bytesOf(s string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// kept is a reference whose bytes we have.
func kept(kind, param, name, mediaType, content string) provider.Reference {
	return provider.Reference{Kind: kind, Param: param, Name: name, Type: mediaType, Bytes: int64(len(content)), Open: bytesOf(content)}
}

func bit(v bool) *bool { return &v }

var orders = map[string]provider.Order{
	"t2v": {
		Model: "Wan-AI/Wan2.2-T2V-A14B-Diffusers", Mode: provider.T2V, Prompt: "街道 <a street> & \"rain\"", NegativePrompt: "blur, watermark",
		Size: "1280*720", Width: 1280, Height: 720, Seconds: 5, Sound: true, ShotType: "multi", PromptExpansion: bit(false), Watermark: bit(true), Seed: 42,
	},
	"i2v": {
		Model: "Wan-AI/Wan2.2-I2V-A14B-Diffusers", Mode: provider.I2V, Prompt: "it moves", Size: "720*1280", Width: 720, Height: 1280, Seconds: 4, ShotType: "single", Seed: -1,
		References: []provider.Reference{kept("image", "image", "first frame.png", "image/png", "\x89PNG bytes")},
	},
	"r2v": {
		Model: "vace", Mode: provider.R2V, Prompt: "character1 meets character2", Size: "960*960", Width: 960, Height: 960, Seconds: 2, ShotType: "single", Seed: 0,
		References: []provider.Reference{
			kept("video", "videos[0]", "a.mp4", "video/mp4", "film"), kept("image", "images[0]", "b.jpg", "image/jpeg", "picture"),
			{Kind: "image", Param: "images[1]", URL: "https://example.com/only-there.png", Name: "only-there.png"},
		},
		Audio: &provider.Reference{Kind: "audio", Param: "extra_body.audio", URL: "https://example.com/guide.mp3"},
	},
}

// part is a part of a form as the golden files show it.
type part struct {
	Name, Value string
	File        string `json:",omitempty"`
	Type        string `json:",omitempty"`
}

func TestOrdersOnTheWire(t *testing.T) {
	for name, o := range orders {
		for _, body := range []string{"multipart", "json"} {
			t.Run(name+" "+body, func(t *testing.T) {
				var (
					got    []byte
					header http.Header
					length int64
				)

				front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = read(t, r)
					header = r.Header
					length = r.ContentLength

					w.Write(providertest.Recorded(t, "queued.json"))
				}))
				p := connect(t, front.URL, "", providertest.NewClock(), map[string]string{"body": body, "field.num_inference_steps": "40", "field.scheduler": "unipc"})

				ticket, err := p.Submit(t.Context(), o)
				if err != nil || ticket != "video_123" {
					t.Fatalf("Submit = %q, %v", ticket, err)
				}

				providertest.Golden(t, *update, "order-"+name+"-"+body+".json", got)

				if header.Get("Authorization") != "" || header.Get("Idempotency-Key") != "" || length <= 0 {
					t.Errorf("headers %v, length %d", header, length)
				}
			})
		}
	}
}

// read is the body of a request as the golden files show it.
func read(t *testing.T, r *http.Request) []byte {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}

	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind == "application/json" {
		return b
	}

	var parts []part

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

		parts = append(parts, part{Name: p.FormName(), Value: string(value), File: p.FileName(), Type: p.Header.Get("Content-Type")})
	}

	b, err = json.MarshalIndent(parts, "", " ")
	if err != nil {
		t.Error(err)
	}

	return b
}

func TestSGLangsReferenceURL(t *testing.T) {
	var got []byte

	front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = read(t, r)
		w.Write(providertest.Recorded(t, "queued.json"))
	}))

	p := connect(t, front.URL+"/v1/", "", providertest.NewClock(), map[string]string{"body": "json", "reference": "reference_url"})
	if _, err := p.Submit(t.Context(), orders["i2v"]); err != nil || !strings.Contains(string(got), `"reference_url":"data:image/png;base64,`) {
		t.Errorf("%v, sent %s", err, got)
	}
}

func TestOrdersThatCannotBeSent(t *testing.T) {
	missing := orders["i2v"]
	none := orders["i2v"]
	large := orders["i2v"]
	lost := orders["i2v"]
	missing.References = []provider.Reference{{Param: "image"}}
	none.References = nil
	large.References = []provider.Reference{kept("image", "image", "a.png", "image/png", strings.Repeat("x", maxInline+1))}

	lost.References = []provider.Reference{{Param: "image", Open: func(context.Context) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }}}
	for name, c := range map[string]struct {
		order provider.Order
		body  string
		class provider.Class
		code  fault.Code
		param string
	}{
		"a reference without anything":     {missing, "multipart", provider.Refused, fault.CodeUnreachable, "image"},
		"JSON, a reference of nothing":     {missing, "json", provider.Refused, fault.CodeUnreachable, "image"},
		"picture to video without one":     {none, "multipart", provider.Refused, fault.CodeRefused, "image"},
		"JSON, a picture that is too much": {large, "json", provider.Refused, fault.CodeBadReference, "image"},
		"bytes that are not there now":     {lost, "multipart", provider.Passing, fault.CodeSupplier, ""},
	} {
		p := connect(t, "http://127.0.0.1:1", "", providertest.NewClock(), map[string]string{"body": c.body})
		_, err := p.Submit(t.Context(), c.order)

		f := providertest.FailureOf(t, err, secret)
		if f.Taken != provider.NotTaken || f.Class != c.class || f.Fault.Code != c.code || f.Fault.Param != c.param {
			t.Errorf("%s: %+v, fault %+v", name, f, f.Fault)
		}
	}
}

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"bodies": "x", "body": "xml", "reference": "x", "videos_path": "v1", "query_timeout": "5", "field.": "x", "field.prompt": "x", "field.a b": "x"} {
		if _, err := readSettings(map[string]string{key: value}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("setting %s = %q: %v; want an error that names it", key, value, err)
		}
	}

	o := providertest.Options(t, "gpu-1:30000", "", time.Now)
	if _, err := New(o); err == nil {
		t.Error("a base URL without a scheme was taken")
	}

	o.BaseURL = ""
	if _, err := New(o); err == nil {
		t.Error("no base URL was taken")
	}
}

func TestPollsOnTheWire(t *testing.T) {
	for name, want := range map[string]provider.Report{
		"queued.json":         {Phase: provider.Waiting, Progress: -1},
		"in_progress.json":    {Phase: provider.Rendering, Progress: 37, Prompt: "a street"},
		"processing.json":     {Phase: provider.Rendering, Progress: -1},
		"deleted.json":        {Phase: provider.Stopped, Progress: -1},
		"cancelled.json":      {Phase: provider.Stopped, Progress: -1},
		"completed.json":      {Phase: provider.Rendered, Progress: -1, Prompt: "a street", Result: &provider.Result{URL: "/v1/videos/video_123/content", Prompt: "a street", Size: "1280*720", ExpiresAt: 1772442000000, Took: 61000}},
		"completed-vllm.json": {Phase: provider.Rendered, Progress: -1, Prompt: "a street", Result: &provider.Result{URL: "/v1/videos/video_123/content", Prompt: "a street", Took: 12000}},
		"completed-url.json":  {Phase: provider.Rendered, Progress: -1, Result: &provider.Result{URL: "https://store.example.com/a.mp4?signature=s"}},
	} {
		front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(providertest.Recorded(t, name)) }))

		got, err := connect(t, front.URL, "", providertest.NewClock(), nil).Poll(t.Context(), "video_123")
		if want.Result != nil && strings.HasPrefix(want.Result.URL, "/") {
			want.Result.URL = front.URL + want.Result.URL
		}

		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// A completed video is opened with the key where it is the server's, and without
// it wherever the server sends us.
func TestTheKeyStaysAtTheOrigin(t *testing.T) {
	var elsewhere string

	store := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if elsewhere = r.Header.Get("Authorization"); elsewhere != "" {
			t.Errorf("the key went to %s", r.Host)
		}

		w.Write([]byte("film"))
	}))

	var here string

	front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here = r.Header.Get("Authorization")
		http.Redirect(w, r, store.URL+"/film.mp4", http.StatusFound)
	}))

	p := connect(t, front.URL, secret, providertest.NewClock(), nil)
	for _, address := range []string{front.URL + "/v1/videos/video_123/content", store.URL + "/film.mp4"} {
		body, err := p.Open(t.Context(), provider.Result{URL: address})
		if err != nil {
			t.Fatal(err)
		}

		b, err := io.ReadAll(body)
		body.Close()

		if err != nil || string(b) != "film" {
			t.Errorf("%s gave %q, %v", address, b, err)
		}
	}

	if here != "Bearer "+secret {
		t.Errorf("the origin was sent %q", here)
	}

	for _, address := range []string{"", "file:///etc/passwd", "/v1/videos/x/content", "http://%zz"} {
		_, err := p.Open(t.Context(), provider.Result{URL: address})
		if f := providertest.FailureOf(t, err, secret); f.Class != provider.Gone {
			t.Errorf("%q: %v", address, f)
		}
	}
}

func TestAResultThatFallsSilent(t *testing.T) {
	front := providertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("some"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))

	p := connect(t, front.URL, "", providertest.NewClock(), map[string]string{"silence_timeout": "1h"})
	if p.talk.Silence != time.Hour {
		t.Errorf("silence is borne for %s", p.talk.Silence)
	}

	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()

	body, err := p.Open(ctx, provider.Result{URL: front.URL + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()

	p.talk.Silence = 50 * time.Millisecond // from the first bytes on

	_, err = io.ReadAll(body)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Passing || !strings.Contains(f.Error(), "no bytes for too long") {
		t.Errorf("%v", f)
	}
}
