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
		f.Add(providertest.Recorded(f, name))
	}

	f.Add([]byte(`{"status":[],"request_id":1e99,"detail":[{"type":{},"msg":"","loc":{}}],"video":{"url":1}}`))
}

func FuzzQueued(f *testing.F) {
	seeds(f, "queued.json")
	p := connect(f, home, time.Now, nil)
	f.Add(queuedAt(f, home))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readQueued(b)
		if err != nil {
			return
		}

		kept, err := p.ticketOf(q)
		if err != nil {
			return
		}

		back, ok := readTicket(kept)
		if !ok || back.id != string(q.ID) {
			t.Fatalf("%q became the ticket %q, read as %+v", b, kept, back)
		}

		for _, path := range []string{back.status, back.response, back.cancel} {
			r, err := http.NewRequest(http.MethodGet, home+path, nil)
			if err == nil && !strings.EqualFold(r.URL.Host, "queue.fal.run") {
				t.Fatalf("%q would be asked at %s", b, r.URL.Host)
			}
		}
	})
}

func FuzzStanding(f *testing.F) {
	seeds(f, "in-queue.json", "in-progress.json", "completed.json", "cancelled.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := readStanding(b); err == nil && s.Status == "" {
			t.Fatalf("%q stands nowhere", b)
		}
	})
}

func FuzzResponse(f *testing.F) {
	seeds(f, "response.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := readResponse(b); err == nil && u == "" {
			t.Fatalf("%q has no video", b)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	seeds(f, "error-model.json", "error-policy.json", "error-queue.json", "error-plain.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, own := readComplaint(b)
		if own && c.Code == "" && c.Message == "" {
			t.Fatalf("%q was read as nothing", b)
		}

		if v := judge(422, c); v.Fault == "" {
			t.Fatalf("%q has no verdict", b)
		}
	})
}

func FuzzPlace(f *testing.F) {
	seeds(f, "place.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if put, get, err := readPlace(b); err == nil && (!web(put) || !web(get)) {
			t.Fatalf("%q gave %q and %q", b, put, get)
		}
	})
}

func FuzzCancel(f *testing.F) {
	f.Add([]byte(`{"status":"ALREADY_COMPLETED"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = readCancel(b) })
}

func FuzzCharacters(f *testing.F) {
	f.Add("character1 meets Character2", uint8(1))
	f.Add("让character2和character1", uint8(2))
	f.Fuzz(func(t *testing.T, prompt string, kinds uint8) {
		o := provider.Order{}
		for i := range 5 {
			o.References = append(o.References, provider.Reference{Kind: map[bool]string{true: "video", false: "image"}[kinds>>i&1 == 1], URL: "https://x.org"})
		}

		s, no := sortReferences(o, true)
		if no != nil || len(s.names) != 5 || len(s.videos)+len(s.images) != 5 {
			t.Fatalf("%+v, %v", s, no)
		}

		if got := s.prompt(prompt); len(got) > len(prompt) {
			t.Fatalf("%q grew to %q: it could pass the supplier's bound", prompt, got)
		}
	})
}
