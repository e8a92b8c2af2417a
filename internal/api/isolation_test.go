package api

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"strings"
	"testing"
)

// fileForm returns a multipart body with one file between other fields.
func fileForm(t testing.TB, name string, content []byte, fields ...string) (body, contentType string) {
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

func (env *testEnv) upload(key string, content []byte) string {
	env.t.Helper()
	body, contentType := fileForm(env.t, "a.png", content)

	a := env.request(key, "POST", "/v1/files", body, "Content-Type", contentType)
	if a.status != 200 {
		env.t.Fatalf("upload: %d %s", a.status, a.body)
	}

	return a.json(env.t)["id"].(string)
}

// TestAccountIsolation requests Alice's objects with Bob's key, on every route that has
// an object's ID.
func TestAccountIsolation(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		video := env.createTask(env.alice)
		env.finishTask(video, []byte("film"))
		file := env.upload(env.alice, png1)
		env.request(env.alice, "GET", "/v1/videos/"+video, "") // it is in the task cache now

		tried := 0

		for _, e := range env.api.routes() {
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
				a := env.request(env.bob, e.method, path+query, "")

				code, _ := a.errorCode(t)
				if !want[fmt.Sprintf("%d %s", a.status, code)] || a.status == 200 && !strings.Contains(string(a.body), dashScopeUnknown) {
					t.Errorf("%s %s%s as another account: %d %s", e.method, path, query, a.status, a.body)
				}

				nobody := env.request(env.bob, e.method, strings.ReplaceAll(e.path, "{id}", "task_nobody")+query, "")
				if nobody.status != a.status {
					t.Errorf("%s: an object that does not exist: %d", e.path, nobody.status)
				}
			}
		}

		if tried < 16 {
			t.Errorf("only %d routes were tried", tried)
		}

		r2v := fmt.Sprintf(`{"model":"wan2.6-r2v-720p","prompt":"x","images":[%q]}`, file)
		if a := env.request(env.bob, "POST", "/v1/video/generations", r2v); a.status != 400 {
			t.Errorf("Bob's task can use Alice's file: %d %s", a.status, a.body)
		}

		if a := env.request(env.alice, "POST", "/v1/video/generations", r2v); a.status != 200 {
			t.Errorf("Alice's task cannot use her file: %d %s", a.status, a.body)
		}

		for _, path := range []string{"/v1/videos", "/v1/files"} {
			if m := env.request(env.bob, "GET", path, "").json(t); len(m["data"].([]any)) != 0 || m["first_id"] != nil {
				t.Errorf("%s shows Bob %v", path, m)
			}
		}

		if a := env.request(env.alice, "GET", "/v1/videos/"+video, ""); a.status != 200 {
			t.Errorf("Alice's task is gone: %d", a.status)
		}
	})
}

// TestRoutesRequireKey calls every route without a key, with an invalid key, and with a
// key that lacks the scope.
func TestRoutesRequireKey(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		a := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"scopes":["read"]}`)
		reader := a.json(t)["secret"].(string)

		for _, e := range env.api.routes() {
			path := strings.NewReplacer("{id}", "x", "{$}", "", "{file}", "docs.js", "{language}", "zh", "{page}", "index.md").Replace(e.path)
			if path == "/v1/events" {
				path += "?after=x" // a stream would not end
			}

			none := env.request("", e.method, path, "")
			bad := env.request("sk-wrong", e.method, path, "")
			small := env.request(reader, e.method, path, "")
			missing := "missing_api_key"
			wrong := "invalid_api_key"
			lacking := "insufficient_scope"

			if strings.HasPrefix(path, dashScopeRoot) {
				missing = "InvalidApiKey"
				wrong = "InvalidApiKey"
				lacking = "AccessDenied"
			}

			if e.access == accessPublic {
				if none.status != 200 && e.path != "/api/v1/uploads" || none.status == 401 { // authorized by the policy's signature
					t.Errorf("%s requires a key: %d", path, none.status)
				}

				continue
			}

			if code, _ := none.errorCode(t); none.status != 401 || code != missing || none.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s without a key: %d %s", e.method, path, none.status, none.body)
			}

			if code, _ := bad.errorCode(t); bad.status != 401 || code != wrong {
				t.Errorf("%s %s with an invalid key: %d %s", e.method, path, bad.status, bad.body)
			}

			if code, _ := small.errorCode(t); (small.status == 403 && code == lacking && strings.Contains(string(small.body), "scope")) != (e.access.requiredScope() == accessWrite.requiredScope()) {
				t.Errorf("%s %s with a read-only key: %d %s", e.method, path, small.status, small.body)
			}
		}
	})
}
