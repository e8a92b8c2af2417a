package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/task"
)

// issue makes a key for alice of what an operator wishes, and returns its secret and
// its id.
func (w *world) issue(wish string) (secret, id string) {
	w.t.Helper()

	a := w.operate("POST", "/admin/v1/accounts/alice/keys", wish)
	if a.status != 200 {
		w.t.Fatalf("%d %s", a.status, a.body)
	}

	m := a.json(w.t)

	return m["secret"].(string), m["id"].(string)
}

// spending is what the operator sees of a key's budget.
func (w *world) spending(key, period string) map[string]any {
	w.t.Helper()

	for _, k := range w.operate("GET", "/admin/v1/accounts/alice/keys", "").json(w.t)["data"].([]any) {
		if k := k.(map[string]any); k["id"] == key {
			all, _ := k["spending"].(map[string]any)
			of, _ := all[period].(map[string]any)

			return of
		}
	}

	w.t.Fatalf("no key %s", key)

	return nil
}

func TestAKeySpendsNoMoreThanItsBudget(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		price := w.ask(aliceKey, "POST", "/v1/video/generations/estimate", t2v).json(t)["hold"]
		if price != "0.50" {
			t.Fatalf("it costs %v", price)
		}

		secret, id := w.issue(`{"name":"trainee","budget_day":"1.20","budget_month":"1.60"}`)
		before := w.balance("alice")
		first := w.create(secret)
		w.create(secret)

		for path, body := range map[string]string{"/v1/video/generations": t2v, "/v1/videos": `{"model":"wan2.6-video-720p","prompt":"waves","seconds":"5"}`} {
			a := w.ask(secret, "POST", path, body, "Idempotency-Key", "later")
			e, _ := a.json(t)["error"].(map[string]any)

			message, _ := e["message"].(string)
			if a.status != 402 || e["code"] != "budget_exceeded" || e["type"] != "billing_error" || a.header.Get("X-Should-Retry") != "false" ||
				!strings.Contains(message, "1.20 USD a day, 0.20 is left until 2026-01-03 00:00 UTC") {
				t.Errorf("%d %s", a.status, a.body)
			}
		}

		if b := w.balance("alice"); b.Held != before.Held+1_000_000 || b.Spent != before.Spent {
			t.Errorf("%+v, before %+v", b, before)
		}

		if s := w.spending(id, "day"); s["held"] != "1.00" || s["spent"] != "0.00" || s["left"] != "0.20" || s["currency"] != "USD" || s["renews_at"] != float64(time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC).Unix()) {
			t.Errorf("%v", s)
		}

		if a := w.ask(secret, "POST", "/api/v1/services/aigc/video-generation/video-synthesis", dashScopeT2V, "X-DashScope-Async", "enable"); a.status != 400 || a.json(t)["code"] != "Arrearage" {
			t.Errorf("%d %s", a.status, a.body)
		}
		// Free things cost no budget; another key of the account has none.
		if a := w.ask(secret, "POST", "/v1/video/generations", `{"model":"wan2.6-video-720p","prompt":"waves","preview":true}`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		w.create(aliceKey)
		// The first one ends: what it did not use is free again, and the refused key too.
		if a := w.ask(secret, "POST", "/v1/videos/"+first+"/cancel", ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.ask(secret, "POST", "/v1/video/generations", t2v, "Idempotency-Key", "later"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
		// The day is new, the month is not: 1.00 of 1.60 is taken.
		w.clock.move(24 * time.Hour)
		w.create(secret)

		if a := w.ask(secret, "POST", "/v1/video/generations", t2v); a.status != 402 || !strings.Contains(string(a.body), "1.60 USD a month, 0.10 is left until 2026-02-01") {
			t.Errorf("%d %s", a.status, a.body)
		}
		// The operator gives more, takes it all away, and sees what is so.
		if a := w.operate("PATCH", "/admin/v1/keys/"+id, `{"budget_month":"9"}`); a.status != 200 || a.json(t)["budget_month"] != "9.00" || a.json(t)["budget_day"] != "1.20" {
			t.Errorf("%d %s", a.status, a.body)
		}

		w.create(secret)

		if a := w.operate("PATCH", "/admin/v1/keys/"+id, `{"budget_month":null,"budget_day":null}`); a.status != 200 || a.json(t)["budget_day"] != nil || a.json(t)["spending"] != nil {
			t.Errorf("%d %s", a.status, a.body)
		}

		for range 3 {
			w.create(secret)
		}

		lines := w.operate("GET", "/admin/v1/audit?object="+id, "").json(t)["data"].([]any)
		if len(lines) != 3 || lines[0].(map[string]any)["action"] != "key.change" || lines[1].(map[string]any)["detail"].(map[string]any)["budget_month"] != "9.00" {
			t.Errorf("%v", lines)
		}

		w.sound()
	})
}

// rates are what an answer says of a key's rate.
func rates(a answer) string {
	h := a.header
	return fmt.Sprint(a.status, " ", h.Get("RateLimit-Limit"), " ", h.Get("RateLimit-Remaining"), " ", h.Get("RateLimit-Reset"), " ", h.Get("Retry-After"))
}

func TestAKeyAsksNoMoreOftenThanItMay(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		secret, _ := w.issue(`{"rate_create":"2/m","rate_read":"3/s"}`)
		want := func(a answer, want string) {
			t.Helper()

			if got := rates(a); got != want {
				t.Errorf("got %s, want %s: %.300s", got, want, a.body)
			}
		}
		create := func(path string) answer {
			t.Helper()

			body := t2v
			if path == "/v1/videos" {
				body = `{"model":"wan2.6-video-720p","prompt":"waves"}`
			}

			return w.ask(secret, "POST", path, body, "Origin", "https://page.example")
		}
		first := create("/v1/video/generations")
		want(first, "200 2 1 30 ")

		if p, r := first.header.Get("RateLimit-Policy"), first.header.Get("RateLimit"); p != `"create";q=2;w=60` || r != `"create";r=1;t=30` {
			t.Errorf("%s, %s", p, r)
		}

		if !strings.Contains(first.header.Get("Access-Control-Expose-Headers"), "RateLimit-Remaining") {
			t.Error("a page may not read it")
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

		dialect := w.ask(secret, "POST", "/api/v1/services/aigc/video-generation/video-synthesis", dashScopeT2V, "X-DashScope-Async", "enable")
		if want(dialect, "429 2 0 30 30"); dialect.json(t)["code"] != "Throttling.RateQuota" {
			t.Errorf("%s", dialect.body)
		}
		// Reads are counted apart; a long poll and a download by key are one each.
		task := first.json(t)["id"].(string)
		want(w.ask(secret, "GET", "/v1/videos/"+task, ""), "200 3 2 1 ")
		w.clock.move(time.Minute)
		want(create("/v1/video/generations"), "200 2 1 30 ")
		want(w.ask(secret, "POST", "/v1/videos/"+task+"/cancel", ""), "200 3 2 1 ")
		want(w.ask(secret, "GET", "/v1/videos/"+task+"/content", ""), "404 3 1 1 ")
		want(w.ask(secret, "GET", "/v1/videos/"+task+"?wait=1", ""), "200 3 0 1 ")
		// What is refused needs no database; who asks for what the key may not do has asked.
		if err := w.closeStore(); err != nil {
			t.Fatal(err)
		}

		want(w.ask(secret, "GET", "/v1/videos/"+task, ""), "429 3 0 1 1")

		if a := w.ask(aliceKey, "GET", "/v1/models", ""); a.header.Get("RateLimit-Limit") != "" {
			t.Errorf("a key without a rate: %v", a.header)
		}
	})
}

func TestAServersRateIsForKeysWithoutOne(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		var err error
		if w.api.RateRead, err = account.ParseRate("1/h"); err != nil {
			t.Fatal(err)
		}

		own, id := w.issue(`{"rate_read":"2/h","scopes":["read"]}`)

		ask := func(key string) int { return w.ask(key, "GET", "/v1/models", "").status }
		if got := fmt.Sprint(ask(aliceKey), ask(aliceKey), ask(own), ask(own), ask(own), ask(bobKey)); got != "200 429 200 200 429 200" {
			t.Error(got)
		}

		if a := w.ask(own, "POST", "/v1/video/generations", t2v); a.status != 403 {
			t.Errorf("orders have no rate here: %d", a.status)
		}

		if a := w.operate("PATCH", "/admin/v1/keys/"+id, `{"rate_read":"9/h"}`); a.status != 200 || a.json(t)["rate_read"] != "9/h" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if got := fmt.Sprint(ask(own), ask(aliceKey)); got != "200 429" {
			t.Error(got)
		}

		w.operate("PATCH", "/admin/v1/keys/"+id, `{"rate_read":null}`)

		if got := fmt.Sprint(ask(own), ask(own)); got != "200 429" {
			t.Error(got)
		}
	})
}

func TestAKeyIsChanged(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		secret, id := w.issue(`{"name":"one"}`)
		change := func(body string) answer { t.Helper(); return w.operate("PATCH", "/admin/v1/keys/"+id, body) }
		soon := w.clock.now().Add(time.Hour).Unix()

		m := change(fmt.Sprintf(`{"name":"two","models":["wan2.6-r2v"],"expires_at":%d}`, soon)).json(t)
		if m["name"] != "two" || fmt.Sprint(m["models"]) != "[wan2.6-r2v]" || m["expires_at"] != float64(soon) || m["rate_create"] != nil || m["secret"] != nil {
			t.Errorf("%v", m)
		}

		if a := w.ask(secret, "POST", "/v1/video/generations", t2v); a.status != 403 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if m := change(`{"models":null}`).json(t); fmt.Sprint(m["models"]) != "[]" || m["name"] != "two" {
			t.Errorf("%v", m)
		}

		w.create(secret)
		w.clock.move(2 * time.Hour)

		if a := w.ask(secret, "GET", "/v1/models", ""); a.status != 401 {
			t.Errorf("%d", a.status)
		}

		if m := change(`{"expires_at":null}`).json(t); m["expires_at"] != nil {
			t.Errorf("%v", m)
		}

		if a := w.ask(secret, "GET", "/v1/models", ""); a.status != 200 {
			t.Errorf("%d", a.status)
		}

		for body, want := range map[string]string{
			`{"budget_day":"0"}`: "budget_day", `{"budget_month":"-1"}`: "budget_month", `{"budget_day":5}`: "budget_day", `{"budget_day":"1e3"}`: "budget_day",
			`{"rate_create":"fast"}`: "rate_create", `{"rate_read":""}`: "rate_read", `{"rate_read":"0/s"}`: "rate_read", `{"expires_at":1}`: "expires_at", `{"expires_at":-1}`: "expires_at",
			`{"models":["none"]}`: "models[0]", `{"scopes":["read"]}`: "scopes", `{"name":"\n"}`: "name",
		} {
			if _, param := change(body).code(t); param != want {
				t.Errorf("%s: param %q", body, param)
			}
		}

		if a := w.operate("PATCH", "/admin/v1/keys/key_none", `{}`); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.operate("POST", "/admin/v1/accounts/alice/keys", `{"rate_create":"x","budget_day":"x"}`); a.status != 400 || len(a.json(t)["error"].(map[string]any)["errors"].([]any)) != 2 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestAnAccountsShareIsChanged(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		change := func(body string) answer { t.Helper(); return w.operate("PATCH", "/admin/v1/accounts/alice", body) }

		w.create(aliceKey)
		w.create(aliceKey)

		if m := change(`{"weight":3,"cap":1}`).json(t); m["weight"] != 3.0 || m["cap"] != 1.0 {
			t.Errorf("%v", m)
		}

		w.claim()

		ready := func() int {
			turns, err := w.store.Turns(t.Context(), "lane", 10)
			if err != nil {
				t.Fatal(err)
			}

			for _, u := range turns {
				if u.Weight != 3 {
					t.Errorf("%+v", u)
				}
			}

			return len(turns)
		}
		if n := ready(); n != 0 {
			t.Errorf("%d turns are ready at the cap", n)
		}

		if m := change(`{"cap":null}`).json(t); m["weight"] != 3.0 || m["cap"] != 0.0 {
			t.Errorf("%v", m)
		}

		if n := ready(); n != 1 {
			t.Errorf("%d turns are ready without a cap", n)
		}

		if got := w.claim(); got.State != task.Submitting {
			t.Errorf("%+v", got)
		}

		for body, want := range map[string]string{`{"weight":0}`: "weight", `{"cap":-1}`: "cap", `{"name":"x"}`: "name", `{"weight":"2"}`: "weight"} {
			if _, param := change(body).code(t); param != want {
				t.Errorf("%s: param %q", body, param)
			}
		}

		if a := w.operate("PATCH", "/admin/v1/accounts/nobody", `{}`); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		w.sound()
	})
}
