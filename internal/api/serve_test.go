package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUnknownPathsAndMethodsAreJSON(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		a := w.ask(w.alice, "GET", "/v1/video", "")
		if code, _ := a.code(t); a.status != 404 || code != "unknown_path" || !strings.Contains(string(a.body), "/v1/videos") {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.ask(w.alice, "GET", "/v1/videos/x/sound", ""); a.status != 404 {
			t.Errorf("an unknown part: %d", a.status)
		}

		for path, allow := range map[string]string{
			"/v1/videos": "GET, HEAD, POST", "/v1/video/generations": "POST", "/v1/videos/x": "DELETE, GET, HEAD", "/v1/videos/x/cancel": "POST",
			"/v1/videos/x/content": "GET, HEAD", "/v1/files": "GET, HEAD, POST", "/": "GET, HEAD",
		} {
			a := w.ask(w.alice, "PATCH", path, "")
			if code, _ := a.code(t); a.status != 405 || code != "method_not_allowed" || a.header.Get("Allow") != allow {
				t.Errorf("PATCH %s: %d %s, allow %q", path, a.status, code, a.header.Get("Allow"))
			}

			if a := w.ask("", "OPTIONS", path, ""); a.status != 204 || a.header.Get("Allow") != allow {
				t.Errorf("OPTIONS %s: %d, allow %q", path, a.status, a.header.Get("Allow"))
			}
		}
	})
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/v1/videos", "/nowhere", "/healthz", "/"} {
			if a := w.ask("", "GET", path, ""); !strings.HasPrefix(a.header.Get("X-Request-Id"), "req_") {
				t.Errorf("%s: %q", path, a.header.Get("X-Request-Id"))
			}
		}

		if a := w.ask("", "GET", "/v1/videos", "", "X-Request-Id", "my-id.1"); a.header.Get("X-Request-Id") != "my-id.1" || !strings.Contains(string(a.body), `"request_id":"my-id.1"`) {
			t.Errorf("%v %s", a.header, a.body)
		}

		if a := w.ask("", "GET", "/healthz", "", "X-Request-Id", "a b<script>"); strings.Contains(a.header.Get("X-Request-Id"), "script") {
			t.Error("an insane request id was taken")
		}
	})
}

func TestWhatARetryCannotHelpSaysSo(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		if a := w.ask(w.alice, "GET", "/v1/videos/x", ""); a.header.Get("X-Should-Retry") != "false" {
			t.Error("a 404 may be retried")
		}

		w.full.set(true)

		body, contentType := form(t, "a.png", png1)

		a := w.ask(w.alice, "POST", "/v1/files", body, "Content-Type", contentType)
		if code, _ := a.code(t); a.status != 503 || code != "storage_full" || a.header.Get("Retry-After") == "" || a.header.Get("X-Should-Retry") != "" {
			t.Errorf("a full disk: %d %v %s", a.status, a.header, a.body)
		}
	})
}

// TestTheInsideStaysInside breaks a handler in two ways: the caller hears an id
// and nothing of the cause, the log hears the cause and no secret.
func TestTheInsideStaysInside(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		h := w.api.serve([]endpoint{
			{"GET", "/panic", read, func(*call) error { panic("SELECT secret FROM inside") }},
			{"GET", "/error", read, func(*call) error { return fmt.Errorf("SELECT secret FROM inside") }},
			{"GET", "/late", read, func(c *call) error { _, _ = c.Write([]byte("half")); panic("SELECT") }},
		})

		for _, path := range []string{"/panic", "/error"} {
			r := httptest.NewRequest("GET", path+"?signature=hidden-signature", nil)
			r.Header.Set("Authorization", "Bearer "+w.alice)

			got := httptest.NewRecorder()
			h.ServeHTTP(got, r)

			if got.Code != 500 || strings.Contains(got.Body.String(), "SELECT") || !strings.Contains(got.Body.String(), `"request_id":"req_`) {
				t.Errorf("%s: %d %s", path, got.Code, got.Body)
			}
		}

		r := httptest.NewRequest("GET", "/late", nil)
		r.Header.Set("Authorization", "Bearer "+w.alice)

		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)

		if got.Body.String() != "half" {
			t.Errorf("an answer was mended after it began: %s", got.Body)
		}

		log := w.log.String()
		if !strings.Contains(log, "SELECT secret FROM inside") {
			t.Error("the log does not have the cause")
		}

		if strings.Contains(log, w.alice) || strings.Contains(log, "hidden-signature") {
			t.Error("a secret is in the log")
		}
	})
}

func TestWebPagesMayCallWithAKey(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		a := w.ask("", "OPTIONS", "/v1/video/generations", "", "Origin", "https://page.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, x-stainless-os")
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Headers") != "authorization, x-stainless-os" ||
			!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "DELETE") || a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%d %v", a.status, a.header)
		}

		a = w.ask(w.alice, "GET", "/v1/videos", "", "Origin", "https://page.example")
		if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "X-Request-Id") {
			t.Errorf("%v", a.header)
		}

		w.api.CORS = []string{"https://studio.example"}
		strict := w.api.Handler()

		for origin, want := range map[string]string{"https://studio.example": "https://studio.example", "https://page.example": ""} {
			r := httptest.NewRequest("GET", "/healthz", nil)
			r.Header.Set("Origin", origin)

			got := httptest.NewRecorder()
			strict.ServeHTTP(got, r)

			if got.Header().Get("Access-Control-Allow-Origin") != want {
				t.Errorf("%s: %v", origin, got.Header())
			}
		}
	})
}

func TestTheFramesPages(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.api.PreviewNote = func() string { return "Only <previews> are made here." }
		a := w.ask("", "GET", "/", "")

		page := string(a.body)
		if !strings.Contains(page, "file_sample_otter") || !strings.Contains(page, "Only &lt;previews&gt; are made here.") || !strings.Contains(page, w.server.URL+"/v1/video/generations") {
			t.Errorf("%s", page)
		}

		if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Count(page, "<script") != 1 || strings.Contains(policy, "unsafe") {
			t.Errorf("policy %q", policy)
		}

		if !strings.Contains(page, homeJS) || !strings.Contains(page, homeCSS) || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src "+hashed(homeJS)) {
			t.Error("the page's own style or script is changed, or not allowed to run")
		}

		if m := w.ask("", "GET", "/healthz", "").json(t); m["status"] != "ok" || m["version"] != "test" {
			t.Errorf("%v", m)
		}

		if a := w.ask("", "GET", "/readyz", ""); a.status != 200 {
			t.Errorf("%d", a.status)
		}

		w.create(w.alice)

		metrics := string(w.ask("", "GET", "/metrics", "").body)
		for _, line := range []string{
			`unireel_http_requests_total{method="POST",route="/v1/video/generations",status="200"} 1`, `unireel_tasks{state="queued"} 1`,
			`unireel_queue_depth{lane="lane"} 1`, `unireel_ledger_micro_units{currency="USD",kind="granted"} 2e+07`, `unireel_slots_taken{upstream="animatic"} 1`,
		} {
			if !strings.Contains(metrics, line) {
				t.Errorf("metrics lack %s", line)
			}
		}

		if a := w.ask("", "GET", "/openapi.json", ""); a.json(t)["openapi"] != "3.1.0" {
			t.Errorf("%s", a.body)
		}
	})
}

func TestModelsBalanceAndEstimate(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		m := w.ask(w.alice, "GET", "/v1/models", "").json(t)
		if n := len(m["data"].([]any)); n != 22 {
			t.Errorf("%d models", n)
		}

		one := w.ask(w.alice, "GET", "/v1/models/wan2.6-r2v-flash-720p-audio", "").json(t)
		if one["family"] != "wan2.6-r2v-flash" || one["sound"] != true || one["price"].(map[string]any)["per_second"] != "0.05" {
			t.Errorf("%v", one)
		}

		a := w.ask(w.alice, "GET", "/v1/models/nothing", "")
		if code, _ := a.code(t); a.status != 404 || code != "unknown_model" {
			t.Errorf("%d %s", a.status, a.body)
		}

		e := w.ask(w.alice, "POST", "/v1/video/generations/estimate", `{"model":"wan2.6-r2v-flash","prompt":"character2","size":"1280*720","images":["file_sample_otter"],"duration":4}`).json(t)
		if e["hold"] != "0.20" || e["unit_price"] != "0.05" || e["billed_seconds"] != 4.0 || e["free"] != "10.00" || len(e["warnings"].([]any)) != 1 || e["resolved_model"] != "wan2.6-r2v-flash-720p-audio" {
			t.Errorf("%v", e)
		}

		if b := w.balance("alice"); b.Held != 0 {
			t.Error("an estimate holds credit")
		}

		w.create(w.alice)

		b := w.ask(w.alice, "GET", "/v1/balance", "").json(t)
		if b["granted"] != "10.00" || b["held"] != "0.50" || b["free"] != "9.50" || b["currency"] != "USD" {
			t.Errorf("%v", b)
		}
	})
}
