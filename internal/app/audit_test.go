package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/config"
)

// operated is the operator's API of a running house.
type operated struct {
	t    *testing.T
	http *http.Client
}

func (o operated) ask(method, path, body string) (int, string) {
	o.t.Helper()

	r, err := http.NewRequestWithContext(context.Background(), method, "http://operator"+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}

	resp, err := o.http.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}

	defer func() { _ = resp.Body.Close() }()

	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}

	return resp.StatusCode, string(text)
}

// lines are the actions that the audit log tells of, newest first.
func (o operated) lines() (actions []string, whole string) {
	o.t.Helper()
	_, body := o.ask("GET", "/admin/v1/audit?limit=100", "")

	var log struct {
		Data []struct{ Actor, Action, Object string }
	}
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		o.t.Fatal(err)
	}

	for _, l := range log.Data {
		if l.Actor != "operator (local)" || l.Object == "" {
			o.t.Errorf("%s has the actor %q and the object %q", l.Action, l.Actor, l.Object)
		}

		actions = append(actions, l.Action)
	}

	return actions, body
}

// changes are the operator's routes that change something, as openapi.yaml has them:
// api's own test holds the two to each other.
func changes(t *testing.T, url string) map[string]bool {
	t.Helper()

	resp, err := http.Get(url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = resp.Body.Close() }()

	var spec struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&spec); err != nil {
		t.Fatal(err)
	}

	found := map[string]bool{}

	for path, methods := range spec.Paths {
		for method := range methods {
			if strings.HasPrefix(path, "/admin/") && method != "get" {
				found[strings.ToUpper(method)+" "+path] = true
			}
		}
	}

	return found
}

// TestEveryChangeOfAnOperatorIsTold makes each change that an operator can make, on
// the whole program, and wants one line of the audit log for it. A new route that
// changes something fails this test until it is here.
func TestEveryChangeOfAnOperatorIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, cfg config.Config) {
		t.Setenv("FAR_KEY", "sk-hidden-supplier-key")

		url, stop := running(t, cfg, &output{})
		defer stop()
		defer http.DefaultClient.CloseIdleConnections()

		rt, done, err := Operator(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}

		defer func() { _ = done() }()

		o := operated{t, &http.Client{Transport: rt}}
		left := changes(t, url)
		ids := map[string]string{}

		for _, c := range []struct{ route, body, action, keep string }{
			{"POST /admin/v1/upstreams", `{"name":"far","provider":"openai","base_url":"http://127.0.0.1:9","api_key_env":"FAR_KEY","settings":{"field.token":"hidden"},
				"routes":[{"models":["wan2.6-video-1080p"],"as":"far-model"}]}`, "upstream.add", ""},
			{"POST /admin/v1/upstreams/{name}/pause", "", "upstream.pause", ""},
			{"POST /admin/v1/accounts", `{"name":"studio","credit":"10"}`, "account.open", "account"},
			{"POST /admin/v1/accounts/{id}/keys", `{"name":"laptop","secret":"sk-hidden-laptop-secret"}`, "key.issue", "key"},
			{"PATCH /admin/v1/accounts/{id}", `{"weight":2}`, "account.change", ""},
			{"PATCH /admin/v1/keys/{id}", `{"budget_day":"5","rate_create":"100/s"}`, "key.change", ""},
			{"POST /admin/v1/accounts/{id}/credit", `{"amount":"5","ref":"invoice"}`, "credit.grant", ""},
			{"POST /admin/v1/tasks/{id}/cancel", "", "task.cancel", ""},
			{"DELETE /admin/v1/keys/{id}", "", "key.revoke", ""},
			{"POST /admin/v1/upstreams/{name}/resume", "", "upstream.resume", ""},
			{"POST /admin/v1/upstreams/{name}/drain", "", "upstream.drain", ""},
			{"DELETE /admin/v1/upstreams/{name}", "", "upstream.remove", ""},
			{"POST /admin/v1/upstreams/{name}/test", "", "upstream.test", ""},
		} {
			if c.action == "task.cancel" {
				ids["task"] = waitingTask(t, url)
			}

			method, path, _ := strings.Cut(c.route, " ")

			name := "far"
			if c.action == "upstream.test" {
				name = embedded // far does not answer, and nothing is changed by asking it
			}

			for kind, id := range ids {
				path = strings.Replace(path, kind+"s/{id}", kind+"s/"+id, 1)
			}

			path = strings.ReplaceAll(path, "{name}", name)
			before, _ := o.lines()
			status, answer := o.ask(method, path, c.body)
			after, log := o.lines()

			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", c.route, status, answer)
			}

			if len(after) != len(before)+1 || after[0] != c.action {
				t.Errorf("%s left %v behind %v", c.route, after, before)
			}

			if strings.Contains(log, "hidden") {
				t.Fatalf("a secret is in the log: %s", log)
			}

			if c.keep != "" {
				var made struct{ ID string }
				if err := json.Unmarshal([]byte(answer), &made); err != nil {
					t.Fatal(err)
				}

				ids[c.keep] = made.ID
			}

			delete(left, c.route)
		}

		for route := range left {
			t.Errorf("%s is not tried here: does it leave a line in the audit log?", route)
		}
	})
}

// waitingTask orders a video that the paused supplier alone can make.
func waitingTask(t *testing.T, url string) string {
	t.Helper()

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/video/generations", strings.NewReader(`{"model":"wan2.6-video-1080p","prompt":"it waits"}`))
	if err != nil {
		t.Fatal(err)
	}

	r.Header.Set("Authorization", "Bearer sk-hidden-laptop-secret")

	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = resp.Body.Close() }()

	var made struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || made.ID == "" {
		t.Fatal(fmt.Errorf("order a video: %d %w", resp.StatusCode, err))
	}

	return made.ID
}
