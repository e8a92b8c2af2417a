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

// createAdminKey creates a key that has only the scope admin, and returns its secret and ID.
func (env *testEnv) createAdminKey() (secret, id string) {
	env.t.Helper()
	key := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"name":"operator","scopes":["admin"]}`).json(env.t)

	return key["secret"].(string), key["id"].(string)
}

// auditLog returns the entries of the audit log, newest first.
func (env *testEnv) auditLog(query string) []map[string]any {
	env.t.Helper()

	var lines []map[string]any
	for _, l := range env.adminRequest("GET", "/admin/v1/audit?"+query, "").json(env.t)["data"].([]any) {
		lines = append(lines, l.(map[string]any))
	}

	return lines
}

// TestAdminRoutesRequireAdminScope calls every admin route on the public listener
// without a key, with an invalid key and with a customer's key.
func TestAdminRoutesRequireAdminScope(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, _ := env.createAdminKey()
		for _, e := range env.api.adminRoutes() {
			path := strings.NewReplacer("{id}", "nobody", "{name}", "nobody").Replace(e.path)
			if e.access != accessAdmin {
				t.Errorf("%s %s requires %q", e.method, path, e.access)
			}

			if a := env.request("", e.method, path, "{}"); a.status != 401 {
				t.Errorf("%s %s without a key: %d %s", e.method, path, a.status, a.body)
			}

			if a := env.request("sk-wrong", e.method, path, "{}"); a.status != 401 {
				t.Errorf("%s %s with an invalid key: %d %s", e.method, path, a.status, a.body)
			}

			a := env.request(env.alice, e.method, path, "{}")
			if code, _ := a.errorCode(t); a.status != 403 || code != "insufficient_scope" || !strings.Contains(string(a.body), "scope admin") {
				t.Errorf("%s %s with a customer's key: %d %s", e.method, path, a.status, a.body)
			}

			a = env.request(adminKey, e.method, path, "{}", "Origin", "https://page.example")
			if a.status == 401 || a.status == 403 || a.status >= 500 {
				t.Errorf("%s %s with an admin key: %d %s", e.method, path, a.status, a.body)
			}

			preflight := env.request("", "OPTIONS", path, "", "Origin", "https://page.example", "Access-Control-Request-Method", e.method, "Access-Control-Request-Headers", "authorization")
			for _, h := range []http.Header{a.header, preflight.header} {
				for name := range h {
					if strings.HasPrefix(name, "Access-Control") {
						t.Errorf("%s %s allows web pages: %s", e.method, path, name)
					}
				}
			}
		}

		for _, path := range []string{"/v1/videos", "/v1/balance"} {
			if a := env.request(adminKey, "GET", path, ""); a.status != 403 {
				t.Errorf("an admin key reads %s: %d", path, a.status)
			}
		}

		if a := env.request(adminKey, "POST", "/v1/video/generations", t2vBody); a.status != 403 {
			t.Errorf("an admin key creates a task: %d", a.status)
		}

		env.api.ServeAdmin = false
		r := httptest.NewRequest("GET", "/admin/v1/accounts", nil)
		r.Header.Set("Authorization", "Bearer "+adminKey)

		got := httptest.NewRecorder()
		env.api.Handler().ServeHTTP(got, r)

		if got.Code != 404 {
			t.Errorf("with the admin API switched off: %d %s", got.Code, got.Body)
		}
	})
}

func TestAdminScopeMustBeNamed(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for body, want := range map[string]string{`{}`: "[read write]", `{"scopes":[]}`: "[read write]", `{"scopes":["write","admin"]}`: "[write admin]"} {
			if got := fmt.Sprint(env.adminRequest("POST", "/admin/v1/accounts/bob/keys", body).json(t)["scopes"]); got != want {
				t.Errorf("%s has the scopes %s", body, got)
			}
		}
	})
}

func TestAuditLog(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, id := env.createAdminKey()
		opened := env.request(adminKey, "POST", "/admin/v1/accounts", `{"name":"carol","credit":"3"}`).json(t)
		key := env.request(adminKey, "POST", "/admin/v1/accounts/carol/keys", `{"name":"laptop","secret":"sk-carols-own-secret-1"}`).json(t)
		env.request(adminKey, "DELETE", "/admin/v1/keys/"+key["id"].(string), "")
		env.request(adminKey, "DELETE", "/admin/v1/keys/"+key["id"].(string), "") // changes nothing
		env.request(adminKey, "POST", "/admin/v1/accounts/carol/credit", `{"amount":"0","ref":"x"}`)
		env.request(adminKey, "POST", "/admin/v1/accounts", `{"name":"carol"}`)

		lines := env.auditLog("actor=" + id)

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
			t.Errorf("audit log:\n%s", strings.Join(did, "\n"))
		}

		if n := len(env.auditLog("action=key.issue&actor=operator%20(local)")); n != 1 {
			t.Errorf("%d keys were created on the socket", n)
		}

		if all := env.request(adminKey, "GET", "/admin/v1/audit?limit=100", ""); strings.Contains(string(all.body), "sk-") {
			t.Errorf("a secret is in the log: %s", all.body)
		}

		now := env.clock.now().Unix()
		for query, want := range map[string]int{
			"object=" + carol: 1, "since=" + fmt.Sprint(now) + "&actor=" + id: 3, "since=" + fmt.Sprint(now+1): 0, "action=nothing": 0,
			"limit=2&actor=" + id: 2, "after=" + lines[1]["id"].(string) + "&actor=" + id: 1,
		} {
			if got := env.auditLog(query); len(got) != want {
				t.Errorf("%s: %d entries", query, len(got))
			}
		}

		for _, query := range []string{"since=x", "since=-1", "since=99999999999999", "limit=0"} {
			if a := env.adminRequest("GET", "/admin/v1/audit?"+query, ""); a.status != 400 {
				t.Errorf("%s: %d", query, a.status)
			}
		}
	})
}

// TestRepeatedGrantIsIdempotent sends one grant many times at once, as clients do
// that lost the response.
func TestRepeatedGrantIsIdempotent(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, _ := env.createAdminKey()

		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if a := env.request(adminKey, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"5","ref":"invoice 7"}`); a.status != 200 || a.json(t)["granted"] != "15.00" {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}

		all.Wait()

		if n := len(env.auditLog("action=credit.grant")); n != 1 {
			t.Errorf("the audit log has %d grants", n)
		}

		if a := env.request(adminKey, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"6","ref":"invoice 7"}`); a.status != 400 {
			t.Errorf("another amount under the same ref: %d", a.status)
		}

		a := env.request(adminKey, "POST", "/admin/v1/accounts/bob/credit", `{"amount":"5"}`)
		if code, param := a.errorCode(t); a.status != 400 || code != "missing_field" || param != "ref" {
			t.Errorf("without a ref: %d %s", a.status, a.body)
		}

		env.checkIntegrity()
	})
}

func TestAdminTaskSearch(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, by := env.createAdminKey()
		first := env.createTask(env.alice)
		env.claimTask()
		second := env.createTask(env.alice)
		third := env.createTask(env.bob)
		env.request(env.bob, "DELETE", "/v1/videos/"+third, "")
		env.advance(first, func(t *task.Task) {
			t.State = task.Running
			t.RemoteID = "T-1"
		})

		list := func(query string) (ids []string) {
			m := env.request(adminKey, "GET", "/admin/v1/tasks?"+query, "").json(t)
			for _, one := range m["data"].([]any) {
				ids = append(ids, one.(map[string]any)["id"].(string))
			}

			return ids
		}
		for query, want := range map[string][]string{
			"": {third, second, first}, "limit=1": {third}, "after=" + third: {second, first}, "account=bob": {third}, "account=" + env.account: {second, first},
			"state=running": {first}, "state=queued&account=alice": {second}, "state=cancelled": {third}, "upstream=up": {first}, "upstream=down": nil,
			"model=wan2.6-video-720p&limit=2": {third, second}, "model=wan2.6-t2v": nil,
		} {
			if got := list(query); !slices.Equal(got, want) {
				t.Errorf("?%s lists %v, want %v", query, got, want)
			}
		}

		for query, want := range map[string]int{"state=in_progress": 400, "limit=x": 400, "account=nobody": 404} {
			if a := env.request(adminKey, "GET", "/admin/v1/tasks?"+query, ""); a.status != want {
				t.Errorf("?%s: %d", query, a.status)
			}
		}

		for range 2 {
			if m := env.request(adminKey, "POST", "/admin/v1/tasks/"+second+"/cancel", "").json(t); m["state"] != "cancelled" || m["account"] != env.account {
				t.Errorf("%v", m)
			}
		}

		if m := env.request(env.alice, "GET", "/v1/videos/"+second, "").json(t); m["status"] != "cancelled" {
			t.Errorf("its customer sees %v", m)
		}

		if lines := env.auditLog("object=" + second); len(lines) != 1 || lines[0]["action"] != "task.cancel" || lines[0]["actor"] != by {
			t.Errorf("%v", lines)
		}

		if a := env.request(adminKey, "POST", "/admin/v1/tasks/task_nobody/cancel", ""); a.status != 404 {
			t.Errorf("%d %s", a.status, a.body)
		}

		env.checkIntegrity()
	})
}

// TestAdminTaskDetail checks that the operator sees a task's internal errors, with
// links redacted, and that the customer does not see them.
func TestAdminTaskDetail(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, _ := env.createAdminKey()
		id := env.createTask(env.alice)
		env.claimTask()
		env.failTask(id, "fetch failed: Get \"https://user:pass@store.example/f.mp4?Signature=hidden\": EOF")
		m := env.request(adminKey, "GET", "/admin/v1/tasks/"+id, "")
		story := m.json(t)
		body := string(m.body)
		events := story["events"].([]any)
		attempts := story["attempts"].([]any)

		entries := story["entries"].([]any)
		if len(events) != 3 || len(attempts) != 1 || len(entries) != 2 || story["prompt"] != "waves" || story["error"].(map[string]any)["code"] != "supplier_failed" {
			t.Errorf("%s", body)
		}

		if !strings.Contains(body, "fetch failed: Get \\\"https://store.example/f.mp4?...\\\": EOF") || strings.Contains(body, "hidden") || strings.Contains(body, "pass") {
			t.Errorf("%s", body)
		}

		if a := env.request(env.alice, "GET", "/v1/videos/"+id, ""); strings.Contains(string(a.body), "it broke") {
			t.Errorf("the customer sees internal details: %s", a.body)
		}

		if a := env.request(adminKey, "GET", "/admin/v1/tasks/task_nobody", ""); a.status != 404 {
			t.Errorf("%d", a.status)
		}
	})
}

func TestAdminPricesAndRoutes(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		adminKey, _ := env.createAdminKey()
		prices := env.request(adminKey, "GET", "/admin/v1/prices", "").json(t)["data"].([]any)

		want := "map[billing:output currency:USD custom:false list_price:0.025 markup:1 model:wan2.6-i2v-flash-720p-silent per_second:0.025]"
		if len(prices) != 22 || fmt.Sprint(prices[3]) != want {
			t.Errorf("%d prices, %v", len(prices), prices[3])
		}

		if a := env.request(adminKey, "GET", "/admin/v1/routes", ""); !strings.Contains(string(a.body), `"upstream":"animatic"`) {
			t.Errorf("%s", a.body)
		}
	})
}

func TestNotesAreRedacted(t *testing.T) {
	for note, want := range map[string]string{
		"":                      "",
		"preparing: no address": "preparing: no address",
		"Get \"https://a:b@store.example:9/f.mp4?Signature=hidden&x=1\": EOF": "Get \"https://store.example:9/f.mp4?...\": EOF",
		"http://a:b@h/p and https://h/q#hidden":                               "http://h/p and https://h/q?...",
		"https://h/%zz?hidden":                                                "...",
		"https://h/a?":                                                        "https://h/a",
	} {
		if got := redactLinks(note); got != want {
			t.Errorf("redactLinks(%q) = %q, want %q", note, got, want)
		}
	}
}
