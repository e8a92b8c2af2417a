package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUnknownPathsAndMethodsAreJSON(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		a := env.request(env.alice, "GET", "/v1/video", "")
		if code, _ := a.errorCode(t); a.status != 404 || code != "unknown_path" || !strings.Contains(string(a.body), "/v1/videos") {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(env.alice, "GET", "/v1/videos/x/sound", ""); a.status != 404 {
			t.Errorf("an unknown subpath: %d", a.status)
		}

		for path, allow := range map[string]string{
			"/v1/videos": "GET, HEAD, POST", "/v1/video/generations": "POST", "/v1/videos/x": "DELETE, GET, HEAD", "/v1/videos/x/cancel": "POST",
			"/v1/videos/x/content": "GET, HEAD", "/v1/files": "GET, HEAD, POST", "/": "GET, HEAD",
		} {
			a := env.request(env.alice, "PATCH", path, "")
			if code, _ := a.errorCode(t); a.status != 405 || code != "method_not_allowed" || a.header.Get("Allow") != allow {
				t.Errorf("PATCH %s: %d %s, allow %q", path, a.status, code, a.header.Get("Allow"))
			}

			if a := env.request("", "OPTIONS", path, ""); a.status != 204 || a.header.Get("Allow") != allow {
				t.Errorf("OPTIONS %s: %d, allow %q", path, a.status, a.header.Get("Allow"))
			}
		}
	})
}

func TestEveryResponseHasRequestID(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for _, path := range []string{"/v1/videos", "/nowhere", "/healthz", "/"} {
			if a := env.request("", "GET", path, ""); !strings.HasPrefix(a.header.Get("X-Request-Id"), "req_") {
				t.Errorf("%s: %q", path, a.header.Get("X-Request-Id"))
			}
		}

		if a := env.request("", "GET", "/v1/videos", "", "X-Request-Id", "my-id.1"); a.header.Get("X-Request-Id") != "my-id.1" || !strings.Contains(string(a.body), `"request_id":"my-id.1"`) {
			t.Errorf("%v %s", a.header, a.body)
		}

		if a := env.request("", "GET", "/healthz", "", "X-Request-Id", "a b<script>"); strings.Contains(a.header.Get("X-Request-Id"), "script") {
			t.Error("an invalid request ID was accepted")
		}
	})
}

func TestShouldRetryHeader(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		if a := env.request(env.alice, "GET", "/v1/videos/x", ""); a.header.Get("X-Should-Retry") != "false" {
			t.Error("a 404 is reported as retryable")
		}

		env.disk.setFull(true)

		body, contentType := fileForm(t, "a.png", png1)

		a := env.request(env.alice, "POST", "/v1/files", body, "Content-Type", contentType)
		if code, _ := a.errorCode(t); a.status != 503 || code != "storage_full" || a.header.Get("Retry-After") == "" || a.header.Get("X-Should-Retry") != "" {
			t.Errorf("with a full disk: %d %v %s", a.status, a.header, a.body)
		}
	})
}

// TestInternalErrorsAreNotExposed makes a handler fail in two ways: the caller gets a
// request ID and nothing about the cause; the log has the cause and no secret.
func TestInternalErrorsAreNotExposed(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		h := env.api.newMux([]endpoint{
			{"GET", "/panic", accessRead, func(*requestContext) error { panic("SELECT secret FROM internal") }},
			{"GET", "/error", accessRead, func(*requestContext) error { return fmt.Errorf("SELECT secret FROM internal") }},
			{"GET", "/late", accessRead, func(c *requestContext) error { _, _ = c.Write([]byte("half")); panic("SELECT") }},
		})

		for _, path := range []string{"/panic", "/error"} {
			r := httptest.NewRequest("GET", path+"?signature=hidden-signature", nil)
			r.Header.Set("Authorization", "Bearer "+env.alice)

			got := httptest.NewRecorder()
			h.ServeHTTP(got, r)

			if got.Code != 500 || strings.Contains(got.Body.String(), "SELECT") || !strings.Contains(got.Body.String(), `"request_id":"req_`) {
				t.Errorf("%s: %d %s", path, got.Code, got.Body)
			}
		}

		r := httptest.NewRequest("GET", "/late", nil)
		r.Header.Set("Authorization", "Bearer "+env.alice)

		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)

		if got.Body.String() != "half" {
			t.Errorf("an error was appended to a response that had begun: %s", got.Body)
		}

		log := env.log.String()
		if !strings.Contains(log, "SELECT secret FROM internal") {
			t.Error("the cause is not in the log")
		}

		if strings.Contains(log, env.alice) || strings.Contains(log, "hidden-signature") {
			t.Error("a secret is in the log")
		}
	})
}

func TestCORS(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		a := env.request("", "OPTIONS", "/v1/video/generations", "", "Origin", "https://page.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, x-stainless-os")
		if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Headers") != "authorization, x-stainless-os" ||
			!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "DELETE") || a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("X-Request-Id") == "" {
			t.Errorf("%d %v", a.status, a.header)
		}

		a = env.request(env.alice, "GET", "/v1/videos", "", "Origin", "https://page.example")
		if a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "X-Request-Id") {
			t.Errorf("%v", a.header)
		}

		env.api.CORS = []string{"https://studio.example"}
		strict := env.api.Handler()

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

func TestServerPages(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.api.PreviewNote = func() string { return "This server makes <previews> only." }
		a := env.request("", "GET", "/", "")

		page := string(a.body)
		if !strings.Contains(page, "file_sample_otter") || !strings.Contains(page, "This server makes &lt;previews&gt; only.") || !strings.Contains(page, env.server.URL+"/v1/video/generations") {
			t.Errorf("%s", page)
		}

		if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Count(page, "<script") != 1 || strings.Contains(policy, "unsafe") {
			t.Errorf("policy %q", policy)
		}

		if !strings.Contains(page, homeJS) || !strings.Contains(page, homeCSS) || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src "+cspHash(homeJS)) {
			t.Error("the page's own style or script was changed, or the policy blocks it")
		}

		if m := env.request("", "GET", "/healthz", "").json(t); m["status"] != "ok" || m["version"] != "test" {
			t.Errorf("%v", m)
		}

		if a := env.request("", "GET", "/readyz", ""); a.status != 200 {
			t.Errorf("%d", a.status)
		}

		env.createTask(env.alice)

		metrics := string(env.request("", "GET", "/metrics", "").body)
		for _, line := range []string{
			`unireel_http_requests_total{method="POST",route="/v1/video/generations",status="200"} 1`, `unireel_tasks{state="queued"} 1`,
			`unireel_queue_depth{queue="queue"} 1`, `unireel_ledger_micro_units{currency="USD",kind="granted"} 2e+07`, `unireel_slots_taken{upstream="animatic"} 1`,
		} {
			if !strings.Contains(metrics, line) {
				t.Errorf("missing in the metrics: %s", line)
			}
		}

		if a := env.request("", "GET", "/openapi.json", ""); a.json(t)["openapi"] != "3.1.0" {
			t.Errorf("%s", a.body)
		}
	})
}

func TestModelsBalanceAndEstimate(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		m := env.request(env.alice, "GET", "/v1/models", "").json(t)
		if n := len(m["data"].([]any)); n != 22 {
			t.Errorf("%d models", n)
		}

		one := env.request(env.alice, "GET", "/v1/models/wan2.6-r2v-flash-720p-audio", "").json(t)
		if one["family"] != "wan2.6-r2v-flash" || one["sound"] != true || one["price"].(map[string]any)["per_second"] != "0.05" {
			t.Errorf("%v", one)
		}

		a := env.request(env.alice, "GET", "/v1/models/nothing", "")
		if code, _ := a.errorCode(t); a.status != 404 || code != "unknown_model" {
			t.Errorf("%d %s", a.status, a.body)
		}

		e := env.request(env.alice, "POST", "/v1/video/generations/estimate", `{"model":"wan2.6-r2v-flash","prompt":"character2","size":"1280*720","images":["file_sample_otter"],"duration":4}`).json(t)
		if e["hold"] != "0.20" || e["unit_price"] != "0.05" || e["billed_seconds"] != 4.0 || e["free"] != "10.00" || len(e["warnings"].([]any)) != 1 || e["resolved_model"] != "wan2.6-r2v-flash-720p-audio" {
			t.Errorf("%v", e)
		}

		if b := env.balance("alice"); b.Held != 0 {
			t.Error("an estimate holds credit")
		}

		env.createTask(env.alice)

		b := env.request(env.alice, "GET", "/v1/balance", "").json(t)
		if b["granted"] != "10.00" || b["held"] != "0.50" || b["free"] != "9.50" || b["currency"] != "USD" {
			t.Errorf("%v", b)
		}
	})
}
