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

var update = flag.Bool("update", false, "write the golden files anew")

// golden holds got to a file below testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
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
		t.Errorf("%s (-want +got), go test -update writes it anew:\n%s", name, diff)
	}
}

var signature = regexp.MustCompile(`signature=[\w-]+`)

// TestATaskAtEachStage shows the whole answer, key by key, from the create to
// every end.
func TestATaskAtEachStage(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		show := func(stage, id string) {
			t.Helper()

			a := w.ask(w.alice, "GET", "/v1/videos/"+id, "")

			var out bytes.Buffer
			if err := json.Indent(&out, a.body, "", "  "); err != nil {
				t.Fatal(err)
			}

			text := strings.ReplaceAll(out.String(), w.server.URL, "http://unireel.test")
			golden(t, "testdata/golden/"+stage+".json", []byte(signature.ReplaceAllString(text, "signature=S")))
		}
		a := w.ask(w.alice, "POST", "/v1/video/generations", `{"model":"wan2.6-i2v-flash","prompt":"character1 waves","image":"file_sample_otter","size":"1280x720","audio":false,"metadata":{"shot":"7"}}`)
		id := a.json(t)["id"].(string)
		show("1-preparing", id)
		w.clock.move(1200 * time.Millisecond)
		w.step(id, func(t *task.Task) {
			t.State = task.Queued
			t.Lane = "lane"
			t.QueuedAt = w.clock.now().UnixMilli()
		})
		w.engine.set(id, Live{Position: 3, ETA: w.clock.now().Unix() + 60})
		show("2-queued", id)
		w.clock.move(time.Second)
		w.claim()
		w.step(id, func(t *task.Task) {
			t.State = task.Running
			t.Ticket = "T"
			t.StartedAt = w.clock.now().UnixMilli()
		})
		w.engine.set(id, Live{Progress: 100, Position: 3, ETA: w.clock.now().Unix() + 30})
		w.clock.move(30_500 * time.Millisecond)
		show("3-running", id)
		w.complete(id, []byte("film"))
		show("4-completed", id)
		w.clock.move(31 * 24 * time.Hour)
		show("5-expired", id)

		failed := w.create(w.alice)
		w.step(failed, func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "reference_unreachable", Message: "The host does not answer.", Param: "videos[0]"}
		})
		show("6-failed", failed)

		cancelled := w.create(w.alice)
		w.ask(w.alice, "POST", "/v1/videos/"+cancelled+"/cancel", "")
		show("7-cancelled", cancelled)

		running := w.create(w.alice)
		w.claim()
		w.step(running, func(t *task.Task) {
			t.State = task.Running
			t.StartedAt = w.clock.now().UnixMilli()
		})
		w.ask(w.alice, "POST", "/v1/videos/"+running+"/cancel", "")
		show("8-cancel-wished", running)
		w.sound()
	})
}

func TestSeveralNamesForOneTask(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)

		want := w.ask(w.alice, "GET", "/v1/videos/"+id, "")
		for _, path := range []string{"/v1/video/generations/", "/v1/videos/generations/"} {
			if got := w.ask(w.alice, "GET", path+id, ""); got.status != 200 || string(got.body) != string(want.body) {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}

		if a := w.ask(w.alice, "POST", "/v1/videos/generations", t2v); a.status != 200 {
			t.Errorf("the alias: %d %s", a.status, a.body)
		}
	})
}

// TestAPollSeesEveryChange polls between changes: what a commit answered is in
// the next answer, though the task stays in memory.
func TestAPollSeesEveryChange(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)
		w.ask(w.alice, "GET", "/v1/videos/"+id, "")
		w.claim()

		for i := range int64(90) {
			w.step(id, func(t *task.Task) {
				if t.State == task.Submitting {
					t.State = task.Running
				}

				t.Progress = i
			})

			if got := w.ask(w.alice, "GET", "/v1/videos/"+id, "").json(t)["progress"]; got != float64(i) {
				t.Fatalf("progress %v after %d was written", got, i)
			}
		}
	})
}
