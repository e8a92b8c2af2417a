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

// receivedEvent is one event as a subscriber receives it.
type receivedEvent struct {
	id, name string
	data     streamEvent
}

func (h receivedEvent) String() string { return h.name + " " + h.data.Data.ID }

// eventSubscriber is one open stream. Its channel is closed when the server ends the
// stream.
type eventSubscriber struct {
	t      testing.TB
	status int
	header http.Header
	events chan receivedEvent
}

// subscribe opens a stream; header pairs follow the path.
func (env *testEnv) subscribe(key, path string, headers ...string) *eventSubscriber {
	env.t.Helper()

	ctx, stop := context.WithCancel(context.Background())

	r, err := http.NewRequestWithContext(ctx, "GET", env.server.URL+path, nil)
	if err != nil {
		env.t.Fatal(err)
	}

	r.Header.Set("Authorization", "Bearer "+key)

	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	s := &eventSubscriber{t: env.t, events: make(chan receivedEvent, 1000)}
	answered := make(chan error, 1)
	done := make(chan struct{})

	go func() {
		defer close(done)
		defer close(s.events)

		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			answered <- err
			return
		}

		defer func() { _ = response.Body.Close() }()

		s.status = response.StatusCode
		s.header = response.Header

		answered <- nil

		s.read(response.Body)
	}()

	env.t.Cleanup(func() { stop(); <-done })

	if err := <-answered; err != nil {
		env.t.Fatal(err)
	}

	return s
}

// read reads events until the stream ends.
func (s *eventSubscriber) read(from io.Reader) {
	var now receivedEvent

	for lines := bufio.NewScanner(from); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			now.id = value
		case "event":
			now.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &now.data); err != nil {
				s.t.Errorf("data: %v: %s", err, value)
			}

			s.events <- now

			now = receivedEvent{}
		}
	}
}

// next returns the next event. It fails the test if the stream ends first.
func (s *eventSubscriber) next() receivedEvent {
	s.t.Helper()

	select {
	case h, ok := <-s.events:
		if !ok {
			s.t.Fatal("the stream ended")
		}

		return h
	case <-time.After(20 * time.Second):
		s.t.Fatal("no event arrived")
	}

	return receivedEvent{}
}

// untilEnd returns all events until the stream ends, except progress.
func (s *eventSubscriber) untilEnd() (list []receivedEvent) {
	s.t.Helper()

	for {
		select {
		case h, ok := <-s.events:
			if !ok {
				return list
			}

			if h.name != "video.progress" {
				list = append(list, h)
			}
		case <-time.After(20 * time.Second):
			s.t.Fatalf("the stream does not end after %v", list)
		}
	}
}

func eventNames(list []receivedEvent) string {
	var b []string
	for _, h := range list {
		b = append(b, strings.TrimPrefix(h.name, "video."))
	}

	return strings.Join(b, " ")
}

// startRunning moves a claimed task to running.
func (env *testEnv) startRunning(id string) {
	env.t.Helper()
	env.advance(id, func(t *task.Task) {
		t.State = task.Running
		t.RemoteID = "T-" + id
		t.StartedAt = env.clock.now().UnixMilli()
	})
}

func TestTaskStreamUntilFinal(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		path := "/v1/videos/" + id + "/events"
		e := env.subscribe(env.alice, path)

		first := e.next()
		if e.status != 200 || e.header.Get("Content-Type") != "text/event-stream" || e.header.Get("Cache-Control") != "no-store" || e.header.Get("X-Accel-Buffering") != "no" {
			t.Errorf("%d %v", e.status, e.header)
		}

		if first.name != "video.queued" || first.data.Type != first.name || first.id == "" || first.data.Data.ID != id || first.data.CreatedAt != env.clock.now().Unix() {
			t.Errorf("the first event: %+v", first)
		}

		env.clock.advance(time.Second)
		env.finishTask(id, []byte("film"))

		all := append([]receivedEvent{first}, e.untilEnd()...)
		if eventNames(all) != "queued in_progress completed" {
			t.Fatalf("%v", all)
		}

		last := all[2].data
		if last.Data.Status != "completed" || last.Data.VideoURL == nil || last.CreatedAt != env.clock.now().Unix() {
			t.Errorf("the last event: %+v", last)
		}

		for i, h := range all { // resuming after each event returns exactly the rest
			if i == len(all)-1 {
				if a := env.request(env.alice, "GET", path, "", "Last-Event-ID", h.id); a.status != 204 {
					t.Errorf("after the end: %d", a.status)
				}

				break
			}

			for _, e := range []*eventSubscriber{env.subscribe(env.alice, path, "Last-Event-ID", h.id), env.subscribe(env.alice, path+"?after="+h.id)} {
				got := e.untilEnd()
				if eventNames(got) != eventNames(all[i+1:]) || got[0].id != all[i+1].id || got[0].data.CreatedAt != all[i+1].data.CreatedAt {
					t.Errorf("after %v: %v", h, got)
				}
			}
		}

		if got := env.subscribe(env.alice, path).untilEnd(); eventNames(got) != "completed" || got[0].id != all[2].id {
			t.Errorf("stream of a final task: %v", got)
		}

		if got := env.subscribe(env.alice, path+"?after="+all[2].id, "Last-Event-ID", all[0].id).untilEnd(); eventNames(got) != "in_progress completed" {
			t.Errorf("with both, the header must win over the query: %v", got)
		}

		if a := env.request(env.alice, "HEAD", path, ""); a.status != 200 {
			t.Errorf("HEAD: %d", a.status)
		}
	})
}

func TestTaskStreamProgressAndChanges(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.engine.setLive(id, LiveStatus{Position: 7})

		e := env.subscribe(env.alice, "/v1/videos/"+id+"/events")
		if h := e.next(); h.name != "video.queued" || queuePosition(h.data.Data) != 7 {
			t.Fatalf("%v", h)
		}

		env.engine.setLive(id, LiveStatus{Position: 2})

		if h := e.next(); h.name != "video.progress" || h.id != "" || queuePosition(h.data.Data) != 2 {
			t.Fatalf("%v", h)
		}

		env.claimTask() // still queued for the customer: no event
		env.startRunning(id)

		if h := e.next(); h.name != "video.in_progress" {
			t.Fatalf("%v", h)
		}

		env.engine.setLive(id, LiveStatus{Progress: 40})

		if h := e.next(); h.name != "video.progress" || h.data.Data.Progress != 40 {
			t.Fatalf("%v", h)
		}

		env.advance(id, func(t *task.Task) {
			t.State = task.Queued
			t.RemoteID = ""
			t.Result = ""
			t.StartedAt = 0
			t.Progress = 0
		})

		if h := e.next(); h.name != "video.queued" {
			t.Fatalf("back in its queue: %v", h)
		}

		env.request(env.alice, "POST", "/v1/videos/"+id+"/cancel", "")

		if got := e.untilEnd(); eventNames(got) != "cancelled" {
			t.Errorf("%v", got)
		}
	})
}

func TestTaskStreamErrorsAndEnds(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)

		path := "/v1/videos/" + id + "/events"
		for _, bad := range []string{"1", "v", "v0", "v-1", "v01", "v+1", "x1", "v99999999999999999999"} {
			a := env.request(env.alice, "GET", path, "", "Last-Event-ID", bad)
			if code, param := a.errorCode(t); a.status != 400 || code != "invalid_value" || param != "Last-Event-ID" {
				t.Errorf("%q: %d %s", bad, a.status, a.body)
			}
		}

		if _, param := env.request(env.alice, "GET", path+"?after=x", "").errorCode(t); param != "after" {
			t.Errorf("the query's ID is reported as %q", param)
		}

		if a := env.request(env.bob, "GET", path, ""); a.status != 404 {
			t.Errorf("another account's task: %d", a.status)
		}

		if a := env.request("", "GET", path, ""); a.status != 401 {
			t.Errorf("without a key: %d", a.status)
		}

		env.claimTask()
		env.startRunning(id)
		deleted := env.subscribe(env.alice, path)
		deleted.next()
		env.request(env.alice, "DELETE", "/v1/videos/"+id, "")

		if got := deleted.untilEnd(); len(got) > 0 {
			t.Errorf("stream of a deleted task: %v", got)
		}

		drained := env.subscribe(env.alice, "/v1/videos/"+env.createTask(env.alice)+"/events", "Last-Event-ID", "v999")
		env.api.Drain()

		if got := drained.untilEnd(); len(got) > 0 {
			t.Errorf("at the server's shutdown: %v", got)
		}
	})
}

func FuzzTaskEventID(f *testing.F) {
	for _, text := range []string{"v1", "v", "v0", "v-1", "v+5", "v007", "v9223372036854775807", "v9223372036854775808", "w1", ""} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		seq, ok := parseTaskEventID(text)
		if ok && (seq < 1 || taskEventID(seq) != text) {
			t.Errorf("%q is parsed as %d", text, seq)
		}
	})
}
