package api

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAdminAPI(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		opened := env.adminRequest("POST", "/admin/v1/accounts", `{"name":"carol","weight":2,"cap":3,"credit":"10.00"}`)

		m := opened.json(t)
		if opened.status != 200 || m["name"] != "carol" || m["balance"].(map[string]any)["free"] != "10.00" {
			t.Fatalf("%d %s", opened.status, opened.body)
		}

		if again := env.adminRequest("POST", "/admin/v1/accounts", `{"name":"carol"}`); again.status != 400 {
			t.Errorf("a second carol: %d", again.status)
		}

		if n := len(env.adminRequest("GET", "/admin/v1/accounts", "").json(t)["data"].([]any)); n != 3 {
			t.Errorf("%d accounts", n)
		}

		key := env.adminRequest("POST", "/admin/v1/accounts/carol/keys", `{"name":"laptop","scopes":["read","write"]}`).json(t)
		secret := key["secret"].(string)

		id := env.createTask(secret)
		for range 2 {
			if b := env.adminRequest("POST", "/admin/v1/accounts/carol/credit", `{"amount":"5","ref":"invoice 7"}`).json(t); b["granted"] != "15.00" {
				t.Errorf("%v", b)
			}
		}

		entries := env.adminRequest("GET", "/admin/v1/accounts/"+m["id"].(string)+"/entries?limit=10", "").json(t)["data"].([]any)
		if len(entries) != 3 || entries[0].(map[string]any)["ref"] != "invoice 7" || entries[1].(map[string]any)["task"] != id {
			t.Errorf("%v", entries)
		}

		keys := env.adminRequest("GET", "/admin/v1/accounts/carol/keys", "")
		if strings.Contains(string(keys.body), secret) || len(keys.json(t)["data"].([]any)) != 1 {
			t.Errorf("%s", keys.body)
		}

		if a := env.adminRequest("DELETE", "/admin/v1/keys/"+key["id"].(string), ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(secret, "GET", "/v1/videos/"+id, ""); a.status != 401 {
			t.Errorf("a revoked key is accepted: %d", a.status)
		}

		if ups := env.adminRequest("GET", "/admin/v1/upstreams", "").json(t)["data"].([]any); ups[0].(map[string]any)["name"] != "animatic" {
			t.Errorf("%v", ups)
		}

		for name, want := range map[string]string{"animatic": `"ok":true`, "broken": `"ok":false`, "nobody": `"code":"invalid_value"`} {
			if a := env.adminRequest("POST", "/admin/v1/upstreams/"+name+"/test", ""); !strings.Contains(string(a.body), want) {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}

		for path, bodies := range map[string]map[string]string{
			"/admin/v1/accounts":              {`{"name":"x","credit":"ten"}`: "credit", `{"nam":"x"}`: "nam", `{"name":7}`: "name", `[]`: "", `{`: "", `{"name":"dave","weight":0}`: "weight"},
			"/admin/v1/accounts/carol/credit": {`{"amount":"1e3"}`: "amount", `{}`: "amount"},
			"/admin/v1/accounts/nobody/keys":  {`{}`: "account"},
			"/admin/v1/accounts/carol/keys":   {`{"scopes":["fly"]}`: "scopes[0]", `{"expires_at":-1}`: "expires_at"},
		} {
			for body, want := range bodies {
				a := env.adminRequest("POST", path, body)
				if _, param := a.errorCode(t); a.status < 400 || a.status > 404 || param != want {
					t.Errorf("%s %s: %d, param %q, want %q", path, body, a.status, param, want)
				}
			}
		}
	})
}

// TestRevocationDuringLookups revokes a key while it is being looked up repeatedly: every
// response after that of the revocation must be a 401.
func TestRevocationDuringLookups(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for range 10 {
			key := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{}`).json(t)
			secret := key["secret"].(string)
			stop := make(chan struct{})

			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							_, _ = env.api.keys.lookup(context.Background(), secret)
						}
					}
				})
			}

			env.adminRequest("DELETE", "/admin/v1/keys/"+key["id"].(string), "")

			if _, err := env.api.keys.lookup(context.Background(), secret); err == nil {
				t.Error("a revoked key is accepted")
			}

			close(stop)
			wg.Wait()

			if _, err := env.api.keys.lookup(context.Background(), secret); err == nil {
				t.Error("a revoked key is accepted later")
			}
		}
	})
}

// TestLookupBeforeRevocationIsNotCached finishes a lookup after a revocation that began
// after the lookup.
func TestLookupBeforeRevocationIsNotCached(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		key, err := env.api.keys.lookup(context.Background(), env.alice)
		if err != nil {
			t.Fatal(err)
		}

		before := env.api.keys.generation
		env.api.keys.invalidate()
		env.api.keys.put([32]byte{1}, cachedKey{key: key, until: env.clock.now().Add(time.Hour)}, before)

		if n := len(env.api.keys.entries); n != 0 {
			t.Errorf("%d keys are cached", n)
		}
	})
}

func TestKeyExpires(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		key := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"expires_at":1767323105}`).json(t)

		secret := key["secret"].(string)
		if a := env.request(secret, "GET", "/v1/balance", ""); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		env.clock.advance(61 * time.Second)

		if a := env.request(secret, "GET", "/v1/balance", ""); a.status != 401 {
			t.Errorf("an expired key is accepted: %d", a.status)
		}
	})
}

func TestDoctorFindsProblems(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("film"))

		if m := env.adminRequest("GET", "/admin/v1/doctor", "").json(t); m["ok"] != true {
			t.Fatalf("%v", m)
		}

		if err := env.blobs.Delete(context.Background(), id+"/1-video"); err != nil {
			t.Fatal(err)
		}

		if _, err := env.blobs.Put(context.Background(), "task_nobody/old", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}

		env.clock.advance(48 * time.Hour)

		a := env.adminRequest("GET", "/admin/v1/doctor", "")
		if m := a.json(t); m["ok"] != false || !strings.Contains(string(a.body), id+"/1-video") || !strings.Contains(string(a.body), "task_nobody/old") {
			t.Errorf("%s", a.body)
		}
	})
}
