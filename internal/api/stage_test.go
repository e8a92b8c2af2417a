package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/task"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// checkGolden compares got with a file in testdata, or with -update writes it.
func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()

	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}

		return
	}

	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), go test -update rewrites it:\n%s", name, diff)
	}
}

var signature = regexp.MustCompile(`signature=[\w-]+`)

// TestTaskAtEachStage checks the whole response at each stage of a task, from its creation
// to every final state.
func TestTaskAtEachStage(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		show := func(stage, id string) {
			t.Helper()

			a := env.request(env.alice, "GET", "/v1/videos/"+id, "")

			var out bytes.Buffer
			if err := json.Indent(&out, a.body, "", "  "); err != nil {
				t.Fatal(err)
			}

			text := strings.ReplaceAll(out.String(), env.server.URL, "http://unireel.test")
			checkGolden(t, "testdata/golden/"+stage+".json", []byte(signature.ReplaceAllString(text, "signature=S")))
		}
		a := env.request(env.alice, "POST", "/v1/video/generations", `{"model":"wan2.6-i2v-flash","prompt":"character1 waves","image":"file_sample_otter","size":"1280x720","audio":false,"metadata":{"shot":"7"}}`)
		id := a.json(t)["id"].(string)
		show("1-preparing", id)
		env.clock.advance(1200 * time.Millisecond)
		env.advance(id, func(t *task.Task) {
			t.State = task.Queued
			t.Queue = "queue"
			t.QueuedAt = env.clock.now().UnixMilli()
		})
		env.engine.setLive(id, LiveStatus{Position: 3, ETA: env.clock.now().Unix() + 60})
		show("2-queued", id)
		env.clock.advance(time.Second)
		env.claimTask()
		env.advance(id, func(t *task.Task) {
			t.State = task.Running
			t.RemoteID = "T"
			t.StartedAt = env.clock.now().UnixMilli()
		})
		env.engine.setLive(id, LiveStatus{Progress: 100, Position: 3, ETA: env.clock.now().Unix() + 30})
		env.clock.advance(30_500 * time.Millisecond)
		show("3-running", id)
		env.completeTask(id, []byte("film"))
		show("4-completed", id)
		env.clock.advance(31 * 24 * time.Hour)
		show("5-expired", id)

		failed := env.createTask(env.alice)
		env.advance(failed, func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "reference_unreachable", Message: "The host does not answer.", Param: "videos[0]"}
		})
		show("6-failed", failed)

		cancelled := env.createTask(env.alice)
		env.request(env.alice, "POST", "/v1/videos/"+cancelled+"/cancel", "")
		show("7-cancelled", cancelled)

		running := env.createTask(env.alice)
		env.claimTask()
		env.advance(running, func(t *task.Task) {
			t.State = task.Running
			t.StartedAt = env.clock.now().UnixMilli()
		})
		env.request(env.alice, "POST", "/v1/videos/"+running+"/cancel", "")
		show("8-cancel-requested", running)
		env.checkIntegrity()
	})
}

func TestTaskPathAliases(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)

		want := env.request(env.alice, "GET", "/v1/videos/"+id, "")
		for _, path := range []string{"/v1/video/generations/", "/v1/videos/generations/"} {
			if got := env.request(env.alice, "GET", path+id, ""); got.status != 200 || string(got.body) != string(want.body) {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}

		if a := env.request(env.alice, "POST", "/v1/videos/generations", t2vBody); a.status != 200 {
			t.Errorf("the alias: %d %s", a.status, a.body)
		}
	})
}

// TestPollSeesEveryChange polls between changes: a committed change must be in the next
// response, although the task stays in the cache.
func TestPollSeesEveryChange(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.request(env.alice, "GET", "/v1/videos/"+id, "")
		env.claimTask()

		for i := range int64(90) {
			env.advance(id, func(t *task.Task) {
				if t.State == task.Submitting {
					t.State = task.Running
				}

				t.Progress = i
			})

			if got := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)["progress"]; got != float64(i) {
				t.Fatalf("progress %v after %d was written", got, i)
			}
		}
	})
}
