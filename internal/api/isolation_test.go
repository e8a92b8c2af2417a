package api

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"strings"
	"testing"
)

// form is a multipart body with one file, other fields around it.
func form(t testing.TB, name string, content []byte, fields ...string) (body, contentType string) {
	t.Helper()

	var b bytes.Buffer

	m := multipart.NewWriter(&b)

	for i, field := range fields {
		if i%2 == 1 {
			continue
		}

		if err := m.WriteField(field, fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}

	if content != nil {
		p, err := m.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}

		_, _ = p.Write(content)
	}

	_ = m.WriteField("purpose", "user_data")
	_ = m.Close()

	return b.String(), m.FormDataContentType()
}

func (w *world) upload(key string, content []byte) string {
	w.t.Helper()
	body, contentType := form(w.t, "a.png", content)

	a := w.ask(key, "POST", "/v1/files", body, "Content-Type", contentType)
	if a.status != 200 {
		w.t.Fatalf("upload: %d %s", a.status, a.body)
	}

	return a.json(w.t)["id"].(string)
}

// TestAnotherAccountsThingsDoNotExist asks for Alice's things as Bob, on every
// route that names one.
func TestAnotherAccountsThingsDoNotExist(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		video := w.create(w.alice)
		w.finish(video, []byte("film"))
		file := w.upload(w.alice, png1)
		w.ask(w.alice, "GET", "/v1/videos/"+video, "") // it is in memory now

		tried := 0

		for _, e := range w.api.routes() {
			if !strings.Contains(e.path, "{id}") || strings.HasPrefix(e.path, "/v1/models") {
				continue
			}

			id := video
			if strings.HasPrefix(e.path, "/v1/files") {
				id = file
			}

			path := strings.ReplaceAll(e.path, "{id}", id)

			want := map[string]bool{"404 video_not_found": true, "404 file_not_found": true, "404 webhook_not_found": true, "404 delivery_not_found": true}
			if strings.HasPrefix(path, dashScopeRoot) {
				want = map[string]bool{"200 ": e.method == "GET", "400 UnsupportedOperation": e.method == "POST"}
			}

			for _, query := range []string{"", "?wait=1"} {
				tried++
				a := w.ask(w.bob, e.method, path+query, "")

				code, _ := a.code(t)
				if !want[fmt.Sprintf("%d %s", a.status, code)] || a.status == 200 && !strings.Contains(string(a.body), dashScopeUnknown) {
					t.Errorf("%s %s%s as another account: %d %s", e.method, path, query, a.status, a.body)
				}

				nobody := w.ask(w.bob, e.method, strings.ReplaceAll(e.path, "{id}", "task_nobody")+query, "")
				if nobody.status != a.status {
					t.Errorf("%s: a thing of nobody: %d", e.path, nobody.status)
				}
			}
		}

		if tried < 16 {
			t.Errorf("only %d routes were tried", tried)
		}

		r2v := fmt.Sprintf(`{"model":"wan2.6-r2v-720p","prompt":"x","images":[%q]}`, file)
		if a := w.ask(w.bob, "POST", "/v1/video/generations", r2v); a.status != 400 {
			t.Errorf("Bob's task uses Alice's file: %d %s", a.status, a.body)
		}

		if a := w.ask(w.alice, "POST", "/v1/video/generations", r2v); a.status != 200 {
			t.Errorf("Alice's task cannot use her file: %d %s", a.status, a.body)
		}

		for _, path := range []string{"/v1/videos", "/v1/files"} {
			if m := w.ask(w.bob, "GET", path, "").json(t); len(m["data"].([]any)) != 0 || m["first_id"] != nil {
				t.Errorf("%s shows Bob %v", path, m)
			}
		}

		if a := w.ask(w.alice, "GET", "/v1/videos/"+video, ""); a.status != 200 {
			t.Errorf("Alice's task is gone: %d", a.status)
		}
	})
}

// TestEveryRouteAsksForItsKey holds the table of routes to what a request
// without a key, with a wrong one, and with too small a one gets.
func TestEveryRouteAsksForItsKey(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		a := w.operate("POST", "/admin/v1/accounts/alice/keys", `{"scopes":["read"]}`)
		reader := a.json(t)["secret"].(string)

		for _, e := range w.api.routes() {
			path := strings.NewReplacer("{id}", "x", "{$}", "", "{file}", "docs.js", "{language}", "zh", "{page}", "index.md").Replace(e.path)
			if path == "/v1/events" {
				path += "?after=x" // a stream would not end
			}

			none := w.ask("", e.method, path, "")
			bad := w.ask("sk-wrong", e.method, path, "")
			small := w.ask(reader, e.method, path, "")
			missing := "missing_api_key"
			wrong := "invalid_api_key"
			lacking := "insufficient_scope"

			if strings.HasPrefix(path, dashScopeRoot) {
				missing = "InvalidApiKey"
				wrong = "InvalidApiKey"
				lacking = "AccessDenied"
			}

			if e.needs == open {
				if none.status != 200 && e.path != "/api/v1/uploads" || none.status == 401 { // what is uploaded there is signed for
					t.Errorf("%s asks for a key: %d", path, none.status)
				}

				continue
			}

			if code, _ := none.code(t); none.status != 401 || code != missing || none.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s without a key: %d %s", e.method, path, none.status, none.body)
			}

			if code, _ := bad.code(t); bad.status != 401 || code != wrong {
				t.Errorf("%s %s with a wrong key: %d %s", e.method, path, bad.status, bad.body)
			}

			if code, _ := small.code(t); (small.status == 403 && code == lacking && strings.Contains(string(small.body), "scope")) != (e.needs.scope() == write.scope()) {
				t.Errorf("%s %s with a reading key: %d %s", e.method, path, small.status, small.body)
			}
		}
	})
}
