package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/task"
)

// createKey creates a key for Alice with the given settings, and returns its secret and
// its ID.
func (env *testEnv) createKey(settings string) (secret, id string) {
	env.t.Helper()

	a := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", settings)
	if a.status != 200 {
		env.t.Fatalf("%d %s", a.status, a.body)
	}

	m := a.json(env.t)

	return m["secret"].(string), m["id"].(string)
}

// spending returns what the admin API reports of a key's budget.
func (env *testEnv) spending(key, period string) map[string]any {
	env.t.Helper()

	for _, k := range env.adminRequest("GET", "/admin/v1/accounts/alice/keys", "").json(env.t)["data"].([]any) {
		if k := k.(map[string]any); k["id"] == key {
			all, _ := k["spending"].(map[string]any)
			of, _ := all[period].(map[string]any)

			return of
		}
	}

	env.t.Fatalf("no key %s", key)

	return nil
}

func TestKeyBudget(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		price := env.request(aliceKey, "POST", "/v1/video/generations/estimate", t2vBody).json(t)["hold"]
		if price != "0.50" {
			t.Fatalf("it costs %v", price)
		}

		secret, id := env.createKey(`{"name":"limited","budget_day":"1.20","budget_month":"1.60"}`)
		before := env.balance("alice")
		first := env.createTask(secret)
		env.createTask(secret)

		for path, body := range map[string]string{"/v1/video/generations": t2vBody, "/v1/videos": `{"model":"wan2.6-video-720p","prompt":"waves","seconds":"5"}`} {
			a := env.request(secret, "POST", path, body, "Idempotency-Key", "later")
			e, _ := a.json(t)["error"].(map[string]any)

			message, _ := e["message"].(string)
			if a.status != 402 || e["code"] != "budget_exceeded" || e["type"] != "billing_error" || a.header.Get("X-Should-Retry") != "false" ||
				!strings.Contains(message, "1.20 USD a day, 0.20 is left until 2026-01-03 00:00 UTC") {
				t.Errorf("%d %s", a.status, a.body)
			}
		}

		if b := env.balance("alice"); b.Held != before.Held+1_000_000 || b.Spent != before.Spent {
			t.Errorf("%+v, before %+v", b, before)
		}

		if s := env.spending(id, "day"); s["held"] != "1.00" || s["spent"] != "0.00" || s["left"] != "0.20" || s["currency"] != "USD" || s["renews_at"] != float64(time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC).Unix()) {
			t.Errorf("%v", s)
		}

		if a := env.request(secret, "POST", "/api/v1/services/aigc/video-generation/video-synthesis", dashScopeT2V, "X-DashScope-Async", "enable"); a.status != 400 || a.json(t)["code"] != "Arrearage" {
			t.Errorf("%d %s", a.status, a.body)
		}
		// Free requests do not use the budget; another key of the account has no budget.
		if a := env.request(secret, "POST", "/v1/video/generations", `{"model":"wan2.6-video-720p","prompt":"waves","preview":true}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		env.createTask(aliceKey)
		// The first task ends: the unused part of its hold is released, and the rejected
		// idempotency key can be used again.
		if a := env.request(secret, "POST", "/v1/videos/"+first+"/cancel", ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(secret, "POST", "/v1/video/generations", t2vBody, "Idempotency-Key", "later"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
		// A new day begins in the same month: 1.00 of 1.60 is used.
		env.clock.advance(24 * time.Hour)
		env.createTask(secret)

		if a := env.request(secret, "POST", "/v1/video/generations", t2vBody); a.status != 402 || !strings.Contains(string(a.body), "1.60 USD a month, 0.10 is left until 2026-02-01") {
			t.Errorf("%d %s", a.status, a.body)
		}
		// The operator raises the budget, removes it, and reads it back.
		if a := env.adminRequest("PATCH", "/admin/v1/keys/"+id, `{"budget_month":"9"}`); a.status != 200 || a.json(t)["budget_month"] != "9.00" || a.json(t)["budget_day"] != "1.20" {
			t.Errorf("%d %s", a.status, a.body)
		}

		env.createTask(secret)

		if a := env.adminRequest("PATCH", "/admin/v1/keys/"+id, `{"budget_month":null,"budget_day":null}`); a.status != 200 || a.json(t)["budget_day"] != nil || a.json(t)["spending"] != nil {
			t.Errorf("%d %s", a.status, a.body)
		}

		for range 3 {
			env.createTask(secret)
		}

		lines := env.adminRequest("GET", "/admin/v1/audit?object="+id, "").json(t)["data"].([]any)
		if len(lines) != 3 || lines[0].(map[string]any)["action"] != "key.change" || lines[1].(map[string]any)["detail"].(map[string]any)["budget_month"] != "9.00" {
			t.Errorf("%v", lines)
		}

		env.checkIntegrity()
	})
}

// rateHeaders returns a response's rate-limit headers.
func rateHeaders(a testResponse) string {
	h := a.header
	return fmt.Sprint(a.status, " ", h.Get("RateLimit-Limit"), " ", h.Get("RateLimit-Remaining"), " ", h.Get("RateLimit-Reset"), " ", h.Get("Retry-After"))
}

func TestKeyRateLimit(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		secret, _ := env.createKey(`{"rate_create":"2/m","rate_read":"3/s"}`)
		want := func(a testResponse, want string) {
			t.Helper()

			if got := rateHeaders(a); got != want {
				t.Errorf("got %s, want %s: %.300s", got, want, a.body)
			}
		}
		create := func(path string) testResponse {
			t.Helper()

			body := t2vBody
			if path == "/v1/videos" {
				body = `{"model":"wan2.6-video-720p","prompt":"waves"}`
			}

			return env.request(secret, "POST", path, body, "Origin", "https://page.example")
		}
		first := create("/v1/video/generations")
		want(first, "200 2 1 30 ")

		if p, r := first.header.Get("RateLimit-Policy"), first.header.Get("RateLimit"); p != `"create";q=2;w=60` || r != `"create";r=1;t=30` {
			t.Errorf("%s, %s", p, r)
		}

		if !strings.Contains(first.header.Get("Access-Control-Expose-Headers"), "RateLimit-Remaining") {
			t.Error("a web page cannot read the headers")
		}

		want(create("/v1/videos"), "200 2 0 30 ")

		for _, path := range []string{"/v1/video/generations", "/v1/videos/generations", "/v1/videos"} {
			a := create(path)
			want(a, "429 2 0 30 30")

			e := a.json(t)["error"].(map[string]any)
			if e["code"] != "rate_limited" || e["type"] != "rate_limit_error" || e["param"] != nil || !strings.Contains(e["message"].(string), "2/m") || a.header.Get("X-Should-Retry") != "" {
				t.Errorf("%s", a.body)
			}
		}

		dialect := env.request(secret, "POST", "/api/v1/services/aigc/video-generation/video-synthesis", dashScopeT2V, "X-DashScope-Async", "enable")
		if want(dialect, "429 2 0 30 30"); dialect.json(t)["code"] != "Throttling.RateQuota" {
			t.Errorf("%s", dialect.body)
		}
		// Reads are counted separately; a long poll and a download with the key count once each.
		task := first.json(t)["id"].(string)
		want(env.request(secret, "GET", "/v1/videos/"+task, ""), "200 3 2 1 ")
		env.clock.advance(time.Minute)
		want(create("/v1/video/generations"), "200 2 1 30 ")
		want(env.request(secret, "POST", "/v1/videos/"+task+"/cancel", ""), "200 3 2 1 ")
		want(env.request(secret, "GET", "/v1/videos/"+task+"/content", ""), "404 3 1 1 ")
		want(env.request(secret, "GET", "/v1/videos/"+task+"?wait=1", ""), "200 3 0 1 ")
		// A rate-limited request needs no database; a request that the key's scope forbids still
		// counts.
		if err := env.closeStore(); err != nil {
			t.Fatal(err)
		}

		want(env.request(secret, "GET", "/v1/videos/"+task, ""), "429 3 0 1 1")

		if a := env.request(aliceKey, "GET", "/v1/models", ""); a.header.Get("RateLimit-Limit") != "" {
			t.Errorf("a key without a rate limit: %v", a.header)
		}
	})
}

func TestDefaultRateLimit(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		var err error
		if env.api.RateRead, err = account.ParseRate("1/h"); err != nil {
			t.Fatal(err)
		}

		own, id := env.createKey(`{"rate_read":"2/h","scopes":["read"]}`)

		ask := func(key string) int { return env.request(key, "GET", "/v1/models", "").status }
		if got := fmt.Sprint(ask(aliceKey), ask(aliceKey), ask(own), ask(own), ask(own), ask(bobKey)); got != "200 429 200 200 429 200" {
			t.Error(got)
		}

		if a := env.request(own, "POST", "/v1/video/generations", t2vBody); a.status != 403 {
			t.Errorf("creates have no rate limit here: %d", a.status)
		}

		if a := env.adminRequest("PATCH", "/admin/v1/keys/"+id, `{"rate_read":"9/h"}`); a.status != 200 || a.json(t)["rate_read"] != "9/h" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if got := fmt.Sprint(ask(own), ask(aliceKey)); got != "200 429" {
			t.Error(got)
		}

		env.adminRequest("PATCH", "/admin/v1/keys/"+id, `{"rate_read":null}`)

		if got := fmt.Sprint(ask(own), ask(own)); got != "200 429" {
			t.Error(got)
		}
	})
}

func TestUpdateKey(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		secret, id := env.createKey(`{"name":"one"}`)
		change := func(body string) testResponse {
			t.Helper()
			return env.adminRequest("PATCH", "/admin/v1/keys/"+id, body)
		}
		soon := env.clock.now().Add(time.Hour).Unix()

		m := change(fmt.Sprintf(`{"name":"two","models":["wan2.6-r2v"],"expires_at":%d}`, soon)).json(t)
		if m["name"] != "two" || fmt.Sprint(m["models"]) != "[wan2.6-r2v]" || m["expires_at"] != float64(soon) || m["rate_create"] != nil || m["secret"] != nil {
			t.Errorf("%v", m)
		}

		if a := env.request(secret, "POST", "/v1/video/generations", t2vBody); a.status != 403 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if m := change(`{"models":null}`).json(t); fmt.Sprint(m["models"]) != "[]" || m["name"] != "two" {
			t.Errorf("%v", m)
		}

		env.createTask(secret)
		env.clock.advance(2 * time.Hour)

		if a := env.request(secret, "GET", "/v1/models", ""); a.status != 401 {
			t.Errorf("%d", a.status)
		}

		if m := change(`{"expires_at":null}`).json(t); m["expires_at"] != nil {
			t.Errorf("%v", m)
		}

		if a := env.request(secret, "GET", "/v1/models", ""); a.status != 200 {
			t.Errorf("%d", a.status)
		}

		for body, want := range map[string]string{
			`{"budget_day":"0"}`: "budget_day", `{"budget_month":"-1"}`: "budget_month", `{"budget_day":5}`: "budget_day", `{"budget_day":"1e3"}`: "budget_day",
			`{"rate_create":"fast"}`: "rate_create", `{"rate_read":""}`: "rate_read", `{"rate_read":"0/s"}`: "rate_read", `{"expires_at":1}`: "expires_at", `{"expires_at":-1}`: "expires_at",
			`{"models":["none"]}`: "models[0]", `{"scopes":["read"]}`: "scopes", `{"name":"\n"}`: "name",
		} {
			if _, param := change(body).errorCode(t); param != want {
				t.Errorf("%s: param %q", body, param)
			}
		}

		if a := env.adminRequest("PATCH", "/admin/v1/keys/key_none", `{}`); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"rate_create":"x","budget_day":"x"}`); a.status != 400 || len(a.json(t)["error"].(map[string]any)["errors"].([]any)) != 2 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestUpdateAccountWeightAndCap(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		change := func(body string) testResponse {
			t.Helper()
			return env.adminRequest("PATCH", "/admin/v1/accounts/alice", body)
		}

		env.createTask(aliceKey)
		env.createTask(aliceKey)

		if m := change(`{"weight":3,"cap":1}`).json(t); m["weight"] != 3.0 || m["cap"] != 1.0 {
			t.Errorf("%v", m)
		}

		env.claimTask()

		ready := func() int {
			shares, err := env.store.Shares(t.Context(), "queue", 10)
			if err != nil {
				t.Fatal(err)
			}

			for _, u := range shares {
				if u.Weight != 3 {
					t.Errorf("%+v", u)
				}
			}

			return len(shares)
		}
		if n := ready(); n != 0 {
			t.Errorf("%d shares are ready at the cap", n)
		}

		if m := change(`{"cap":null}`).json(t); m["weight"] != 3.0 || m["cap"] != 0.0 {
			t.Errorf("%v", m)
		}

		if n := ready(); n != 1 {
			t.Errorf("%d shares are ready without a cap", n)
		}

		if got := env.claimTask(); got.State != task.Submitting {
			t.Errorf("%+v", got)
		}

		for body, want := range map[string]string{`{"weight":0}`: "weight", `{"cap":-1}`: "cap", `{"name":"x"}`: "name", `{"weight":"2"}`: "weight"} {
			if _, param := change(body).errorCode(t); param != want {
				t.Errorf("%s: param %q", body, param)
			}
		}

		if a := env.adminRequest("PATCH", "/admin/v1/accounts/nobody", `{}`); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		env.checkIntegrity()
	})
}
