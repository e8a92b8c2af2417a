package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// boss makes a key of the scope admin alone and returns its secret and id.
func (w *world) boss() (secret, id string) {
	w.t.Helper()
	key := w.operate("POST", "/admin/v1/accounts/alice/keys", `{"name":"boss","scopes":["admin"]}`).json(w.t)

	return key["secret"].(string), key["id"].(string)
}

// audit is what the audit log shows, newest first.
func (w *world) audit(query string) []map[string]any {
	w.t.Helper()

	var lines []map[string]any
	for _, l := range w.operate("GET", "/admin/v1/audit?"+query, "").json(w.t)["data"].([]any) {
		lines = append(lines, l.(map[string]any))
	}

	return lines
}

// TestTheAdminRoutesAskForTheirScope holds every operator's route on customers'
// listener to what no key, a wrong one and a customer's get.
func TestTheAdminRoutesAskForTheirScope(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, _ := w.boss()
		for _, e := range w.api.adminRoutes() {
			path := strings.NewReplacer("{id}", "nobody", "{name}", "nobody").Replace(e.path)
			if e.needs != admin {
				t.Errorf("%s %s needs %q", e.method, path, e.needs)
			}

			if a := w.ask("", e.method, path, "{}"); a.status != 401 {
				t.Errorf("%s %s without a key: %d %s", e.method, path, a.status, a.body)
			}

			if a := w.ask("sk-wrong", e.method, path, "{}"); a.status != 401 {
				t.Errorf("%s %s with a wrong key: %d %s", e.method, path, a.status, a.body)
			}

			a := w.ask(w.alice, e.method, path, "{}")
			if code, _ := a.code(t); a.status != 403 || code != "insufficient_scope" || !strings.Contains(string(a.body), "scope admin") {
				t.Errorf("%s %s with a customer's key: %d %s", e.method, path, a.status, a.body)
			}

			a = w.ask(boss, e.method, path, "{}", "Origin", "https://page.example")
			if a.status == 401 || a.status == 403 || a.status >= 500 {
				t.Errorf("%s %s with an admin's key: %d %s", e.method, path, a.status, a.body)
			}

			asked := w.ask("", "OPTIONS", path, "", "Origin", "https://page.example", "Access-Control-Request-Method", e.method, "Access-Control-Request-Headers", "authorization")
			for _, h := range []http.Header{a.header, asked.header} {
				for name := range h {
					if strings.HasPrefix(name, "Access-Control") {
						t.Errorf("%s %s lets web pages in: %s", e.method, path, name)
					}
				}
			}
		}

		for _, path := range []string{"/v1/videos", "/v1/balance"} {
			if a := w.ask(boss, "GET", path, ""); a.status != 403 {
				t.Errorf("an admin's key reads %s: %d", path, a.status)
			}
		}

		if a := w.ask(boss, "POST", "/v1/video/generations", t2v); a.status != 403 {
			t.Errorf("an admin's key creates: %d", a.status)
		}

		w.api.ServeAdmin = false
		r := httptest.NewRequest("GET", "/admin/v1/accounts", nil)
		r.Header.Set("Authorization", "Bearer "+boss)

		got := httptest.NewRecorder()
		w.api.Handler().ServeHTTP(got, r)

		if got.Code != 404 {
			t.Errorf("switched off it answers %d %s", got.Code, got.Body)
		}
	})
}

func TestAdminIsOnlyGivenByItsName(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for body, want := range map[string]string{`{}`: "[read write]", `{"scopes":[]}`: "[read write]", `{"scopes":["write","admin"]}`: "[write admin]"} {
			if got := fmt.Sprint(w.operate("POST", "/admin/v1/accounts/bob/keys", body).json(t)["scopes"]); got != want {
				t.Errorf("%s has the scopes %s", body, got)
			}
		}
	})
}

func TestTheAuditLogTellsWhoDidWhat(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, id := w.boss()
		opened := w.ask(boss, "POST", "/admin/v1/accounts", `{"name":"carol","credit":"3"}`).json(t)
		key := w.ask(boss, "POST", "/admin/v1/accounts/carol/keys", `{"name":"laptop","secret":"sk-carols-own-secret-1"}`).json(t)
		w.ask(boss, "DELETE", "/admin/v1/keys/"+key["id"].(string), "")
		w.ask(boss, "DELETE", "/admin/v1/keys/"+key["id"].(string), "") // changes nothing
		w.ask(boss, "POST", "/admin/v1/accounts/carol/credit", `{"amount":"0","ref":"x"}`)
		w.ask(boss, "POST", "/admin/v1/accounts", `{"name":"carol"}`)

		lines := w.audit("actor=" + id)

		var did []string
		for _, l := range lines {
			did = append(did, fmt.Sprint(l["action"], " ", l["object"], " ", l["detail"]))
		}

		carol := opened["id"].(string)
		laptop := key["id"].(string)

		want := []string{
			"key.revoke " + laptop + " map[account:" + carol + " name:laptop]",
			"key.issue " + laptop + " map[account:" + carol + " expires_at:0 models:[] name:laptop scopes:[read write]]",
			"account.open " + carol + " map[cap:0 credit:3.00 name:carol weight:1]",
		}
		if !slices.Equal(did, want) {
			t.Errorf("the log says\n%s", strings.Join(did, "\n"))
		}

		if n := len(w.audit("action=key.issue&actor=operator%20(local)")); n != 1 {
			t.Errorf("%d keys were issued at the socket", n)
		}

		if all := w.ask(boss, "GET", "/admin/v1/audit?limit=100", ""); strings.Contains(string(all.body), "sk-") {
			t.Errorf("a secret is in the log: %s", all.body)
		}

		now := w.clock.now().Unix()
		for query, want := range map[string]int{
			"object=" + carol: 1, "since=" + fmt.Sprint(now) + "&actor=" + id: 3, "since=" + fmt.Sprint(now+1): 0, "action=nothing": 0,
			"limit=2&actor=" + id: 2, "after=" + lines[1]["id"].(string) + "&actor=" + id: 1,
		} {
			if got := w.audit(query); len(got) != want {
				t.Errorf("%s: %d lines", query, len(got))
			}
		}

		for _, query := range []string{"since=x", "since=-1", "since=99999999999999", "limit=0"} {
			if a := w.operate("GET", "/admin/v1/audit?"+query, ""); a.status != 400 {
				t.Errorf("%s: %d", query, a.status)
			}
		}
	})
}

// TestARepeatedGrantGrantsOnce sends one grant many times at once, as clients do
// that lost the answer.
func TestARepeatedGrantGrantsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, _ := w.boss()

		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if a := w.ask(boss, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"5","ref":"invoice 7"}`); a.status != 200 || a.json(t)["granted"] != "15.00" {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}

		all.Wait()

		if n := len(w.audit("action=credit.grant")); n != 1 {
			t.Errorf("the audit log tells of %d grants", n)
		}

		if a := w.ask(boss, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"6","ref":"invoice 7"}`); a.status != 400 {
			t.Errorf("another amount under the same ref: %d", a.status)
		}

		a := w.ask(boss, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"5"}`)
		if code, param := a.code(t); a.status != 400 || code != "missing_field" || param != "ref" {
			t.Errorf("without a ref: %d %s", a.status, a.body)
		}

		w.sound()
	})
}

func TestOperatorsSeeEverybodysTasks(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, by := w.boss()
		first := w.create(w.alice)
		w.claim()
		second := w.create(w.alice)
		third := w.create(w.bob)
		w.ask(w.bob, "DELETE", "/v1/videos/"+third, "")
		w.step(first, func(t *task.Task) {
			t.State = task.Running
			t.Ticket = "T-1"
		})

		list := func(query string) (ids []string) {
			m := w.ask(boss, "GET", "/admin/v1/tasks?"+query, "").json(t)
			for _, one := range m["data"].([]any) {
				ids = append(ids, one.(map[string]any)["id"].(string))
			}

			return ids
		}
		for query, want := range map[string][]string{
			"": {third, second, first}, "limit=1": {third}, "after=" + third: {second, first}, "account=bob": {third}, "account=" + w.account: {second, first},
			"state=running": {first}, "state=queued&account=alice": {second}, "state=cancelled": {third}, "upstream=up": {first}, "upstream=down": nil,
			"model=wan2.6-video-720p&limit=2": {third, second}, "model=wan2.6-t2v": nil,
		} {
			if got := list(query); !slices.Equal(got, want) {
				t.Errorf("?%s lists %v, want %v", query, got, want)
			}
		}

		for query, want := range map[string]int{"state=in_progress": 400, "limit=x": 400, "account=nobody": 404} {
			if a := w.ask(boss, "GET", "/admin/v1/tasks?"+query, ""); a.status != want {
				t.Errorf("?%s: %d", query, a.status)
			}
		}

		for range 2 {
			if m := w.ask(boss, "POST", "/admin/v1/tasks/"+second+"/cancel", "").json(t); m["state"] != "cancelled" || m["account"] != w.account {
				t.Errorf("%v", m)
			}
		}

		if m := w.ask(w.alice, "GET", "/v1/videos/"+second, "").json(t); m["status"] != "cancelled" {
			t.Errorf("its customer sees %v", m)
		}

		if lines := w.audit("object=" + second); len(lines) != 1 || lines[0]["action"] != "task.cancel" || lines[0]["actor"] != by {
			t.Errorf("%v", lines)
		}

		if a := w.ask(boss, "POST", "/admin/v1/tasks/task_nobody/cancel", ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		w.sound()
	})
}

// TestATasksStoryHasItsInside: what went wrong inside is there for the operator,
// without what opens a link, and not for the customer.
func TestATasksStoryHasItsInside(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, _ := w.boss()
		id := w.create(w.alice)
		w.claim()
		w.finishAs(id, "it broke: Get \"https://user:pass@store.example/f.mp4?Signature=hidden\": EOF")
		m := w.ask(boss, "GET", "/admin/v1/tasks/"+id, "")
		story := m.json(t)
		body := string(m.body)
		events := story["events"].([]any)
		attempts := story["attempts"].([]any)

		entries := story["entries"].([]any)
		if len(events) != 3 || len(attempts) != 1 || len(entries) != 2 || story["prompt"] != "waves" || story["error"].(map[string]any)["code"] != "supplier_failed" {
			t.Errorf("%s", body)
		}

		if !strings.Contains(body, "it broke: Get \\\"https://store.example/f.mp4?...\\\": EOF") || strings.Contains(body, "hidden") || strings.Contains(body, "pass") {
			t.Errorf("%s", body)
		}

		if a := w.ask(w.alice, "GET", "/v1/videos/"+id, ""); strings.Contains(string(a.body), "it broke") {
			t.Errorf("the customer sees the inside: %s", a.body)
		}

		if a := w.ask(boss, "GET", "/admin/v1/tasks/task_nobody", ""); a.status != 404 {
			t.Errorf("%d", a.status)
		}
	})
}

func TestOperatorsSeePricesAndRoutes(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		boss, _ := w.boss()
		prices := w.ask(boss, "GET", "/admin/v1/prices", "").json(t)["data"].([]any)

		want := "map[billing:output currency:USD list_price:0.025 markup:1 model:wan2.6-i2v-flash-720p-silent own:false per_second:0.025]"
		if len(prices) != 22 || fmt.Sprint(prices[3]) != want {
			t.Errorf("%d prices, %v", len(prices), prices[3])
		}

		if a := w.ask(boss, "GET", "/admin/v1/routes", ""); !strings.Contains(string(a.body), `"upstream":"animatic"`) {
			t.Errorf("%s", a.body)
		}
	})
}

func TestNotesOpenNothing(t *testing.T) {
	for note, want := range map[string]string{
		"":                      "",
		"preparing: no address": "preparing: no address",
		"Get \"https://a:b@store.example:9/f.mp4?Signature=hidden&x=1\": EOF": "Get \"https://store.example:9/f.mp4?...\": EOF",
		"http://a:b@h/p and https://h/q#hidden":                               "http://h/p and https://h/q?...",
		"https://h/%zz?hidden":                                                "...",
		"https://h/a?":                                                        "https://h/a",
	} {
		if got := withoutSecrets(note); got != want {
			t.Errorf("%q becomes %q, want %q", note, got, want)
		}
	}
}
