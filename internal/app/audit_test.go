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

// adminClient sends requests to the operator's API of a running server.
type adminClient struct {
	t    *testing.T
	http *http.Client
}

func (o adminClient) do(method, path, body string) (int, string) {
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

// auditActions returns the actions in the audit log, newest first, and the whole log.
func (o adminClient) auditActions() (actions []string, whole string) {
	o.t.Helper()
	_, body := o.do("GET", "/admin/v1/audit?limit=100", "")

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

// mutatingRoutes returns the operator's routes that change something, from openapi.yaml. A
// test of package api checks that openapi.yaml lists every route.
func mutatingRoutes(t *testing.T, url string) map[string]bool {
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

// TestEveryAdminChangeIsAudited makes each change that an operator can make, on the whole
// program, and expects one entry in the audit log for it. A new route that changes
// something fails this test until it is added here.
func TestEveryAdminChangeIsAudited(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, cfg config.Config) {
		t.Setenv("FAR_KEY", "sk-hidden-supplier-key")

		url, stop := startApp(t, cfg, &syncBuffer{})
		defer stop()
		defer http.DefaultClient.CloseIdleConnections()

		rt, done, err := AdminTransport(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}

		defer func() { _ = done() }()

		o := adminClient{t, &http.Client{Transport: rt}}
		untested := mutatingRoutes(t, url)
		ids := map[string]string{}

		for _, c := range []struct{ route, body, action, keep string }{
			{"POST /admin/v1/upstreams", `{"name":"far","provider":"openai","base_url":"http://127.0.0.1:9","api_key_env":"FAR_KEY","settings":{"field.token":"hidden"},
				"routes":[{"models":["wan2.6-video-1080p"],"supplier_model":"far-model"}]}`, "upstream.add", ""},
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
				ids["task"] = createQueuedTask(t, url)
			}

			method, path, _ := strings.Cut(c.route, " ")

			name := "far"
			if c.action == "upstream.test" {
				name = previewUpstream // far does not respond, and testing it changes nothing
			}

			for kind, id := range ids {
				path = strings.Replace(path, kind+"s/{id}", kind+"s/"+id, 1)
			}

			path = strings.ReplaceAll(path, "{name}", name)
			before, _ := o.auditActions()
			status, answer := o.do(method, path, c.body)
			after, log := o.auditActions()

			if status != http.StatusOK {
				t.Fatalf("%s: %d %s", c.route, status, answer)
			}

			if len(after) != len(before)+1 || after[0] != c.action {
				t.Errorf("after %s the log has the actions %v, before %v", c.route, after, before)
			}

			if strings.Contains(log, "hidden") {
				t.Fatalf("a secret is in the log: %s", log)
			}

			if c.keep != "" {
				var created struct{ ID string }
				if err := json.Unmarshal([]byte(answer), &created); err != nil {
					t.Fatal(err)
				}

				ids[c.keep] = created.ID
			}

			delete(untested, c.route)
		}

		for route := range untested {
			t.Errorf("%s is not tested here: does the audit log record it?", route)
		}
	})
}

// createQueuedTask creates a task that only the paused supplier can serve.
func createQueuedTask(t *testing.T, url string) string {
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

	var created struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&created); err != nil || created.ID == "" {
		t.Fatal(fmt.Errorf("create a task: %d %w", resp.StatusCode, err))
	}

	return created.ID
}
