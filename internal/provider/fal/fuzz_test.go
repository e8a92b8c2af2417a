package fal

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func seeds(f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(providertest.ReadTestdata(f, name))
	}

	f.Add([]byte(`{"status":[],"request_id":1e99,"detail":[{"type":{},"msg":"","loc":{}}],"video":{"url":1}}`))
}

func FuzzCreateResponse(f *testing.F) {
	seeds(f, "queued.json")
	p := connect(f, defaultBaseURL, time.Now, nil)
	f.Add(createResponseAt(f, defaultBaseURL))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readCreateResponse(b)
		if err != nil {
			return
		}

		remoteID, err := p.remoteIDOf(q)
		if err != nil {
			return
		}

		back, ok := parseRemoteID(remoteID)
		if !ok || back.id != string(q.ID) {
			t.Fatalf("%q became the remote ID %q, read as %+v", b, remoteID, back)
		}

		for _, path := range []string{back.statusPath, back.resultPath, back.cancelPath} {
			r, err := http.NewRequest(http.MethodGet, defaultBaseURL+path, nil)
			if err == nil && !strings.EqualFold(r.URL.Host, "queue.fal.run") {
				t.Fatalf("%q would be polled at %s", b, r.URL.Host)
			}
		}
	})
}

func FuzzStatusResponse(f *testing.F) {
	seeds(f, "in-queue.json", "in-progress.json", "completed.json", "cancelled.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := readStatus(b); err == nil && s.Status == "" {
			t.Fatalf("%q has no status", b)
		}
	})
}

func FuzzResultResponse(f *testing.F) {
	seeds(f, "response.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := readResult(b); err == nil && u == "" {
			t.Fatalf("%q has no video", b)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	seeds(f, "error-model.json", "error-policy.json", "error-queue.json", "error-plain.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, own := readError(b)
		if own && c.Code == "" && c.Message == "" {
			t.Fatalf("%q was read as an empty error", b)
		}

		if v := classify(422, c); v.Fault == "" {
			t.Fatalf("%q has no classification", b)
		}
	})
}

func FuzzUploadURLs(f *testing.F) {
	seeds(f, "upload-urls.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if put, get, err := readUploadURLs(b); err == nil && (!isHTTP(put) || !isHTTP(get)) {
			t.Fatalf("%q gave %q and %q", b, put, get)
		}
	})
}

func FuzzCancel(f *testing.F) {
	f.Add([]byte(`{"status":"ALREADY_COMPLETED"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = readCancelStatus(b) })
}

func FuzzCharacters(f *testing.F) {
	f.Add("character1 meets Character2", uint8(1))
	f.Add("让character2和character1", uint8(2))
	f.Fuzz(func(t *testing.T, prompt string, kinds uint8) {
		o := provider.Submission{}
		for i := range 5 {
			o.References = append(o.References, provider.Reference{Kind: map[bool]string{true: "video", false: "image"}[kinds>>i&1 == 1], URL: "https://x.org"})
		}

		s, failure := sortReferences(o, true)
		if failure != nil || len(s.names) != 5 || len(s.videos)+len(s.images) != 5 {
			t.Fatalf("%+v, %v", s, failure)
		}

		if got := s.renameCharacters(prompt); len(got) > len(prompt) {
			t.Fatalf("%q grew to %q: it could exceed the supplier's limit", prompt, got)
		}
	})
}
