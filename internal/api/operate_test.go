package api

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTheOperatorsDay(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		opened := w.operate("POST", "/admin/v1/accounts", `{"name":"carol","weight":2,"cap":3,"credit":"10.00"}`)

		m := opened.json(t)
		if opened.status != 200 || m["name"] != "carol" || m["balance"].(map[string]any)["free"] != "10.00" {
			t.Fatalf("%d %s", opened.status, opened.body)
		}

		if again := w.operate("POST", "/admin/v1/accounts", `{"name":"carol"}`); again.status != 400 {
			t.Errorf("a second carol: %d", again.status)
		}

		if n := len(w.operate("GET", "/admin/v1/accounts", "").json(t)["data"].([]any)); n != 3 {
			t.Errorf("%d accounts", n)
		}

		key := w.operate("POST", "/admin/v1/accounts/carol/keys", `{"name":"laptop","scopes":["read","write"]}`).json(t)
		secret := key["secret"].(string)

		id := w.create(secret)
		for range 2 {
			if b := w.operate("POST", "/admin/v1/accounts/carol/credit", `{"amount":"5","ref":"invoice 7"}`).json(t); b["granted"] != "15.00" {
				t.Errorf("%v", b)
			}
		}

		entries := w.operate("GET", "/admin/v1/accounts/"+m["id"].(string)+"/entries?limit=10", "").json(t)["data"].([]any)
		if len(entries) != 3 || entries[0].(map[string]any)["ref"] != "invoice 7" || entries[1].(map[string]any)["task"] != id {
			t.Errorf("%v", entries)
		}

		keys := w.operate("GET", "/admin/v1/accounts/carol/keys", "")
		if strings.Contains(string(keys.body), secret) || len(keys.json(t)["data"].([]any)) != 1 {
			t.Errorf("%s", keys.body)
		}

		if a := w.operate("DELETE", "/admin/v1/keys/"+key["id"].(string), ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.ask(secret, "GET", "/v1/videos/"+id, ""); a.status != 401 {
			t.Errorf("a revoked key opens: %d", a.status)
		}

		if ups := w.operate("GET", "/admin/v1/upstreams", "").json(t)["data"].([]any); ups[0].(map[string]any)["name"] != "animatic" {
			t.Errorf("%v", ups)
		}

		for name, want := range map[string]string{"animatic": `"ok":true`, "broken": `"ok":false`, "nobody": `"code":"invalid_value"`} {
			if a := w.operate("POST", "/admin/v1/upstreams/"+name+"/test", ""); !strings.Contains(string(a.body), want) {
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
				a := w.operate("POST", path, body)
				if _, param := a.code(t); a.status < 400 || a.status > 404 || param != want {
					t.Errorf("%s %s: %d, param %q, want %q", path, body, a.status, param, want)
				}
			}
		}
	})
}

// TestRevocationIsNotOutrun revokes while the key is being looked up over and
// over: what answers after the revocation did has to be a 401.
func TestRevocationIsNotOutrun(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for range 10 {
			key := w.operate("POST", "/admin/v1/accounts/alice/keys", `{}`).json(t)
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
							_, _ = w.api.keys.find(context.Background(), secret)
						}
					}
				})
			}

			w.operate("DELETE", "/admin/v1/keys/"+key["id"].(string), "")

			if _, err := w.api.keys.find(context.Background(), secret); err == nil {
				t.Error("a revoked key opens")
			}

			close(stop)
			wg.Wait()

			if _, err := w.api.keys.find(context.Background(), secret); err == nil {
				t.Error("a revoked key opens later")
			}
		}
	})
}

// TestWhatWasReadBeforeARevocationIsNotKept puts a look-up's end behind a
// revocation that came after its beginning.
func TestWhatWasReadBeforeARevocationIsNotKept(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		key, err := w.api.keys.find(context.Background(), w.alice)
		if err != nil {
			t.Fatal(err)
		}

		before := w.api.keys.era
		w.api.keys.forget()
		w.api.keys.keep([32]byte{1}, knownKey{key: key, until: w.clock.now().Add(time.Hour)}, before)

		if n := len(w.api.keys.known); n != 0 {
			t.Errorf("%d keys are remembered", n)
		}
	})
}

func TestAKeyExpires(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		key := w.operate("POST", "/admin/v1/accounts/alice/keys", `{"expires_at":1767323105}`).json(t)

		secret := key["secret"].(string)
		if a := w.ask(secret, "GET", "/v1/balance", ""); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		w.clock.move(61 * time.Second)

		if a := w.ask(secret, "GET", "/v1/balance", ""); a.status != 401 {
			t.Errorf("an expired key opens: %d", a.status)
		}
	})
}

func TestDoctorSeesWhatIsWrong(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)
		w.finish(id, []byte("film"))

		if m := w.operate("GET", "/admin/v1/doctor", "").json(t); m["ok"] != true {
			t.Fatalf("%v", m)
		}

		if err := w.blobs.Delete(context.Background(), id+"/1-video"); err != nil {
			t.Fatal(err)
		}

		if _, err := w.blobs.Put(context.Background(), "task_nobody/old", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}

		w.clock.move(48 * time.Hour)

		a := w.operate("GET", "/admin/v1/doctor", "")
		if m := a.json(t); m["ok"] != false || !strings.Contains(string(a.body), id+"/1-video") || !strings.Contains(string(a.body), "task_nobody/old") {
			t.Errorf("%s", a.body)
		}
	})
}
