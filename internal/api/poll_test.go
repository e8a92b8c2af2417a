package api

import (
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

func TestWaitEndsOnTaskChange(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		waits := map[string]chan testResponse{}

		for _, query := range []string{"?wait=60", "?wait=60&status=queued", "?wait=60&status=in_progress"} {
			ch := make(chan testResponse, 1)

			waits[query] = ch
			go func() { ch <- env.request(env.alice, "GET", "/v1/videos/"+id+query, "") }()
		}

		if got := (<-waits["?wait=60&status=in_progress"]).json(t)["status"]; got != "queued" {
			t.Errorf("a wait for a past status returns %v", got)
		}

		env.claimTask()
		env.advance(id, func(t *task.Task) {
			t.State = task.Running
			t.StartedAt = 1
		})

		if got := (<-waits["?wait=60&status=queued"]).json(t)["status"]; got != "in_progress" {
			t.Errorf("the wait for leaving queued returns %v", got)
		}

		env.completeTask(id, []byte("film"))

		if got := (<-waits["?wait=60"]).json(t)["status"]; got != "completed" {
			t.Errorf("the wait for the end returns %v", got)
		}
	})
}

func TestWaitEndsOnTimeoutAndShutdown(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)

		begin := time.Now()
		if got := env.request(env.alice, "GET", "/v1/videos/"+id+"?wait=1", "").json(t)["status"]; got != "queued" || time.Since(begin) < time.Second {
			t.Errorf("%v after %v", got, time.Since(begin))
		}

		ch := make(chan testResponse, 1)
		go func() { ch <- env.request(env.alice, "GET", "/v1/videos/"+id+"?wait=60", "") }()

		env.api.Drain()

		if got := (<-ch).json(t)["status"]; got != "queued" {
			t.Errorf("at the server's shutdown: %v", got)
		}

		if a := env.request("", "GET", "/readyz", ""); a.status != 503 {
			t.Errorf("ready while shutting down: %d", a.status)
		}
	})
}

func TestInvalidQueryParameters(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		for query, param := range map[string]string{
			"/v1/videos/" + id + "?wait=61": "wait", "/v1/videos/" + id + "?wait=x": "wait", "/v1/videos/" + id + "?wait=": "wait",
			"/v1/videos/" + id + "?wait=5&status=done": "status",
			"/v1/videos?limit=0":                       "limit", "/v1/videos?limit=101": "limit", "/v1/videos?order=up": "order", "/v1/videos?status=done": "status",
			"/v1/files?limit=-1": "limit",
			// PostgreSQL rejects such text, so it must not reach the database.
			"/v1/videos?model=%00": "model", "/v1/videos?after=%ff": "after", "/v1/videos?key=a%00b": "key", "/v1/videos?model=%ed%a0%80": "model",
			"/v1/files?after=%00": "after", "/v1/videos/" + id + "?wait=1&status=%00": "status", "/v1/videos?model=\xff": "model",
			"/v1/videos/" + id + "/content?signature=%ff": "signature", "/v1/videos?limit=1&%00=%00": "\x00",
		} {
			a := env.request(env.alice, "GET", query, "")
			if code, got := a.errorCode(t); a.status != 400 || code != "invalid_value" || got != param {
				t.Errorf("%s: %d %s %s", query, a.status, code, got)
			}
		}
	})
}

func TestInvalidUTF8Path(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for _, id := range []string{"%00", "%ff", "task_%ed%a0%80", "a%00b"} {
			for _, e := range env.api.routes() {
				path := strings.ReplaceAll(e.path, "{id}", id)
				if path == e.path {
					continue
				}

				if a := env.request(env.alice, e.method, path, ""); a.status != 404 {
					t.Errorf("%s %s: %d %s", e.method, path, a.status, a.body)
				} else if code, _ := a.errorCode(t); code != "unknown_path" && (code != "NotFound" || !strings.HasPrefix(path, dashScopeRoot)) {
					t.Errorf("%s %s: %s", e.method, path, code)
				}
			}

			if a := env.adminRequest("DELETE", "/admin/v1/keys/"+id, ""); a.status != 404 {
				t.Errorf("revoke %s: %d %s", id, a.status, a.body)
			}
		}

		if a := env.request("", "GET", "/v1/videos/%00", ""); a.status != 401 {
			t.Errorf("without a key: %d %s", a.status, a.body)
		}
	})
}

func TestListVideos(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		var taskIDs []string
		for range 5 {
			taskIDs = append(taskIDs, env.createTask(env.alice))
		}

		env.request(env.alice, "POST", "/v1/videos/"+taskIDs[2]+"/cancel", "")
		env.request(env.alice, "DELETE", "/v1/videos/"+taskIDs[4], "")

		list := func(query string) (ids []string, m map[string]any) {
			t.Helper()

			m = env.request(env.alice, "GET", "/v1/videos"+query, "").json(t)
			for _, v := range m["data"].([]any) {
				ids = append(ids, v.(map[string]any)["id"].(string))
			}

			return ids, m
		}
		want := func(query string, order ...int) {
			t.Helper()

			var ids []string
			for _, i := range order {
				ids = append(ids, taskIDs[i])
			}

			if got, _ := list(query); strings.Join(got, " ") != strings.Join(ids, " ") {
				t.Errorf("%s: %v, want %v", query, got, ids)
			}
		}
		want("", 3, 2, 1, 0)
		want("?order=asc", 0, 1, 2, 3)
		want("?status=cancelled", 2)
		want("?status=queued", 3, 1, 0)
		want("?model=wan2.6-video-1080p")
		want("?model=wan2.6-video-720p&limit=2", 3, 2)
		want("?after="+taskIDs[2], 1, 0)
		want("?after="+taskIDs[1]+"&order=asc", 2, 3)
		want("?key=key_other")

		if _, m := list("?limit=2"); m["has_more"] != true || m["first_id"] != taskIDs[3] || m["last_id"] != taskIDs[2] {
			t.Errorf("%v", m)
		}

		if _, m := list("?limit=4"); m["has_more"] != false {
			t.Errorf("%v", m)
		}
	})
}

func TestDeleteVideo(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("film"))
		link := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)["video_url"].(string)[len(env.server.URL):]

		a := env.request(env.alice, "DELETE", "/v1/videos/"+id, "")
		if m := a.json(t); a.status != 200 || m["id"] != id || m["object"] != "video.deleted" || m["deleted"] != true {
			t.Fatalf("%d %s", a.status, a.body)
		}

		for _, path := range []string{"/v1/videos/" + id, "/v1/videos/" + id + "/content"} {
			if a := env.request(env.alice, "GET", path, ""); a.status != 404 {
				t.Errorf("%s: %d", path, a.status)
			}
		}

		if a := env.request("", "GET", link, ""); a.status != 404 {
			t.Errorf("the signed link: %d", a.status)
		}

		if a := env.request(env.alice, "DELETE", "/v1/videos/"+id, ""); a.status != 404 {
			t.Errorf("deleted again: %d", a.status)
		}

		if b := env.balance("alice"); b.Spent == 0 || b.Held != 0 {
			t.Errorf("the ledger lost its entries: %+v", b)
		}

		env.checkIntegrity()
	})
}
