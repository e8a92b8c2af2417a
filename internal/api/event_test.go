package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

// heard is one event as a listener gets it.
type heard struct {
	id, name string
	data     told
}

func (h heard) String() string { return h.name + " " + h.data.Data.ID }

// ear is one open stream. It is closed when the server ends it.
type ear struct {
	t      testing.TB
	status int
	header http.Header
	events chan heard
}

// listen opens a stream; header pairs follow the path.
func (w *world) listen(key, path string, headers ...string) *ear {
	w.t.Helper()

	ctx, stop := context.WithCancel(context.Background())

	r, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}

	r.Header.Set("Authorization", "Bearer "+key)

	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	e := &ear{t: w.t, events: make(chan heard, 1000)}
	answered := make(chan error, 1)

	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(e.events)

		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			answered <- err
			return
		}

		defer func() { _ = response.Body.Close() }()

		e.status = response.StatusCode
		e.header = response.Header

		answered <- nil

		e.read(response.Body)
	}()

	w.t.Cleanup(func() { stop(); <-done })

	if err := <-answered; err != nil {
		w.t.Fatal(err)
	}

	return e
}

// read takes events until the stream ends.
func (e *ear) read(from io.Reader) {
	var now heard

	for lines := bufio.NewScanner(from); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			now.id = value
		case "event":
			now.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &now.data); err != nil {
				e.t.Errorf("data: %v: %s", err, value)
			}

			e.events <- now

			now = heard{}
		}
	}
}

// next is the next event. It fails when the stream ends before one.
func (e *ear) next() heard {
	e.t.Helper()

	select {
	case h, ok := <-e.events:
		if !ok {
			e.t.Fatal("the stream ended")
		}

		return h
	case <-time.After(20 * time.Second):
		e.t.Fatal("no event comes")
	}

	return heard{}
}

// rest is what comes until the stream ends, without progress.
func (e *ear) rest() (list []heard) {
	e.t.Helper()

	for {
		select {
		case h, ok := <-e.events:
			if !ok {
				return list
			}

			if h.name != "video.progress" {
				list = append(list, h)
			}
		case <-time.After(20 * time.Second):
			e.t.Fatalf("the stream does not end after %v", list)
		}
	}
}

func names(list []heard) string {
	var b []string
	for _, h := range list {
		b = append(b, strings.TrimPrefix(h.name, "video."))
	}

	return strings.Join(b, " ")
}

// run begins a claimed task.
func (w *world) run(id string) {
	w.t.Helper()
	w.step(id, func(t *task.Task) {
		t.State = task.Running
		t.Ticket = "T-" + id
		t.StartedAt = w.clock.now().UnixMilli()
	})
}

func TestATasksStreamGoesToItsEnd(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)
		path := "/v1/videos/" + id + "/events"
		e := w.listen(w.alice, path)

		first := e.next()
		if e.status != 200 || e.header.Get("Content-Type") != "text/event-stream" || e.header.Get("Cache-Control") != "no-store" || e.header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%d %v", e.status, e.header)
		}

		if first.name != "video.queued" || first.data.Type != first.name || first.id == "" || first.data.Data.ID != id || first.data.CreatedAt != w.clock.now().Unix() {
			t.Errorf("the first: %+v", first)
		}

		w.clock.move(time.Second)
		w.finish(id, []byte("film"))

		all := append([]heard{first}, e.rest()...)
		if names(all) != "queued in_progress completed" {
			t.Fatalf("%v", all)
		}

		last := all[2].data
		if last.Data.Status != "completed" || last.Data.VideoURL == nil || last.CreatedAt != w.clock.now().Unix() {
			t.Errorf("the last: %+v", last)
		}

		for i, h := range all { // from each, exactly the rest
			if i == len(all)-1 {
				if a := w.ask(w.alice, "GET", path, "", "Last-Event-ID", h.id); a.status != 204 {
					t.Errorf("after the end: %d", a.status)
				}

				break
			}

			for _, e := range []*ear{w.listen(w.alice, path, "Last-Event-ID", h.id), w.listen(w.alice, path+"?after="+h.id)} {
				got := e.rest()
				if names(got) != names(all[i+1:]) || got[0].id != all[i+1].id || got[0].data.CreatedAt != all[i+1].data.CreatedAt {
					t.Errorf("after %v: %v", h, got)
				}
			}
		}

		if got := w.listen(w.alice, path).rest(); names(got) != "completed" || got[0].id != all[2].id {
			t.Errorf("of a final task: %v", got)
		}

		if got := w.listen(w.alice, path+"?after="+all[2].id, "Last-Event-ID", all[0].id).rest(); names(got) != "in_progress completed" {
			t.Errorf("the header is newer than the address: %v", got)
		}

		if a := w.ask(w.alice, "HEAD", path, ""); a.status != 200 {
			t.Errorf("HEAD: %d", a.status)
		}
	})
}

func TestATasksStreamTellsProgressAndChanges(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)
		w.engine.set(id, Live{Position: 7})

		e := w.listen(w.alice, "/v1/videos/"+id+"/events")
		if h := e.next(); h.name != "video.queued" || position(h.data.Data) != 7 {
			t.Fatalf("%v", h)
		}

		w.engine.set(id, Live{Position: 2})

		if h := e.next(); h.name != "video.progress" || h.id != "" || position(h.data.Data) != 2 {
			t.Fatalf("%v", h)
		}

		w.claim() // still queued for the customer: told nothing
		w.run(id)

		if h := e.next(); h.name != "video.in_progress" {
			t.Fatalf("%v", h)
		}

		w.engine.set(id, Live{Progress: 40})

		if h := e.next(); h.name != "video.progress" || h.data.Data.Progress != 40 {
			t.Fatalf("%v", h)
		}

		w.step(id, func(t *task.Task) {
			t.State = task.Queued
			t.Ticket = ""
			t.Result = ""
			t.StartedAt = 0
			t.Progress = 0
		})

		if h := e.next(); h.name != "video.queued" {
			t.Fatalf("back in its lane: %v", h)
		}

		w.ask(w.alice, "POST", "/v1/videos/"+id+"/cancel", "")

		if got := e.rest(); names(got) != "cancelled" {
			t.Errorf("%v", got)
		}
	})
}

func TestAStreamIsRefusedOrEnds(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)

		path := "/v1/videos/" + id + "/events"
		for _, bad := range []string{"1", "v", "v0", "v-1", "v01", "v+1", "x1", "v99999999999999999999"} {
			a := w.ask(w.alice, "GET", path, "", "Last-Event-ID", bad)
			if code, param := a.code(t); a.status != 400 || code != "invalid_value" || param != "Last-Event-ID" {
				t.Errorf("%q: %d %s", bad, a.status, a.body)
			}
		}

		if _, param := w.ask(w.alice, "GET", path+"?after=x", "").code(t); param != "after" {
			t.Errorf("the address' id is called %q", param)
		}

		if a := w.ask(w.bob, "GET", path, ""); a.status != 404 {
			t.Errorf("another account's: %d", a.status)
		}

		if a := w.ask("", "GET", path, ""); a.status != 401 {
			t.Errorf("without a key: %d", a.status)
		}

		w.claim()
		w.run(id)
		deleted := w.listen(w.alice, path)
		deleted.next()
		w.ask(w.alice, "DELETE", "/v1/videos/"+id, "")

		if got := deleted.rest(); len(got) > 0 {
			t.Errorf("of a deleted task: %v", got)
		}

		drained := w.listen(w.alice, "/v1/videos/"+w.create(w.alice)+"/events", "Last-Event-ID", "v999")
		w.api.Drain()

		if got := drained.rest(); len(got) > 0 {
			t.Errorf("at the server's end: %v", got)
		}
	})
}

func FuzzTaskEventID(f *testing.F) {
	for _, text := range []string{"v1", "v", "v0", "v-1", "v+5", "v007", "v9223372036854775807", "v9223372036854775808", "w1", ""} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		seq, ok := readTaskEventID(text)
		if ok && (seq < 1 || taskEventID(seq) != text) {
			t.Errorf("%q is read as %d", text, seq)
		}
	})
}
