package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// eventText returns an event as the server writes it.
func eventText(id, status string) string {
	return fmt.Sprintf("id: %s\nevent: video.%s\ndata: {\"type\":\"video.%s\",\"created_at\":7,\"data\":{\"id\":\"task_1\",\"status\":\"%s\"}}\n\n", id, status, status, status)
}

// streamTransport answers each connection with the next of its texts. After the text the
// connection fails, ends, or stays silent until the client closes it.
type streamTransport struct {
	texts        []string
	errs         []error // nil means that the connection stays silent
	lastEventIDs []string
}

func (s *streamTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	n := len(s.lastEventIDs)

	s.lastEventIDs = append(s.lastEventIDs, r.Header.Get("Last-Event-ID"))
	if s.texts[n] == "" {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	}

	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(io.MultiReader(strings.NewReader(s.texts[n]), errorReader{r.Context(), s.errs[n]}))}, nil
}

type errorReader struct {
	ctx context.Context
	err error
}

func (t errorReader) Read([]byte) (int, error) {
	if t.err == nil {
		<-t.ctx.Done()
		return 0, t.ctx.Err()
	}

	return 0, t.err
}

func newStreamClient(t *testing.T, s *streamTransport) *Client {
	t.Helper()

	c, err := New("http://server", "sk-1", WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}

	return c
}

func TestEventsResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection reset")
		s := &streamTransport{
			texts: []string{"retry: 2000\n\n" + eventText("v1", "queued") + "id: v2\ndata: {", ": ping\n\n" + strings.ReplaceAll(eventText("v2", "in_progress"), "\n", "\r\n"), "retry: 1\n\n", eventText("v4", "completed") + eventText("v5", "failed")},
			errs:  []error{broken, nil, io.EOF, nil},
		}

		var got []string

		for e, err := range newStreamClient(t, s).Events(t.Context(), "task_1", "v0") {
			if err != nil {
				t.Fatal(err)
			}

			if e.CreatedAt != 7 || e.Type != EventType("video."+string(e.Task.Status)) || len(e.Task.Raw) == 0 {
				t.Errorf("%+v", e)
			}

			got = append(got, e.ID)
		}

		if all := strings.Join(got, " "); all != "v1 v2 v4" {
			t.Errorf("received %s", all)
		}

		if asked := strings.Join(s.lastEventIDs, " "); asked != "v0 v1 v2 v2" {
			t.Errorf("resumed after %s", asked)
		}
	})
}

// The account's stream starts with an event that only carries an id, so that no event is
// missed if the connection is lost before the first real event.
func TestAccountEventsResumeBeforeFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &streamTransport{texts: []string{"retry: 2000\n\nid: a0.4\n\n: ping\n\n", eventText("a0.5", "completed") + eventText("a0.6", "queued")}, errs: []error{io.EOF, nil}}

		var got []string

		for e, err := range newStreamClient(t, s).AccountEvents(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}

			if got = append(got, e.ID); len(got) == 2 {
				break
			}
		}

		if all, asked := strings.Join(got, " "), strings.Join(s.lastEventIDs, " "); all != "a0.5 a0.6" || asked != " a0.4" {
			t.Errorf("received %q, resumed after %q", all, asked)
		}
	})
}

func TestEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range newStreamClient(t, &streamTransport{texts: []string{""}}).Events(t.Context(), "task_1", "v9") {
			t.Error("an event follows the final one")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		s := &streamTransport{texts: []string{eventText("v1", "queued")}, errs: []error{nil}}
		for e, err := range newStreamClient(t, s).Events(ctx, "task_1", "") {
			if err == nil {
				cancel()
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("%+v, %v", e, err)
			}
		}

		for _, text := range []string{"data: {}\ndata: x\n\n", "data: {\"type\":\"video.queued\",\"data\":[]}\n\n", "data: {\"data\":{}}\n\n"} {
			var last error
			for _, last = range newStreamClient(t, &streamTransport{texts: []string{text}, errs: []error{nil}}).Events(t.Context(), "task_1", "") {
				continue
			}

			if !errors.Is(last, errInvalidEvent) {
				t.Errorf("%q: %v", text, last)
			}
		}

		c, _ := newScriptedClient(t, 404)

		var apiErr *Error
		for _, err := range c.Events(t.Context(), "task_1", "") {
			if !errors.As(err, &apiErr) || apiErr.Status != 404 {
				t.Errorf("%v", err)
			}
		}

		if apiErr == nil {
			t.Error("an unknown task has a stream")
		}
	})
}

func TestEventsGiveUpAfterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newScriptedClient(t, errors.New("connection refused"))
		begin := time.Now()

		var last error
		for _, last = range c.Events(t.Context(), "task_1", "") {
			continue
		}

		var unreachable *UnreachableError
		if took := time.Since(begin); !errors.As(last, &unreachable) || took < outageTimeout || took > outageTimeout+time.Minute {
			t.Errorf("%v after %v", last, time.Since(begin))
		}
	})
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("retry: 2000\n\n" + eventText("v1", "queued")))
	f.Add([]byte(": ping\n\ndata: {\r\ndata: }\r\n\r\nid\n\nid:\ndata\n\n"))
	f.Add([]byte("\n\n\ndata:1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := 0

		r := newEventReader(strings.NewReader(string(text)), func() { lines++ })
		for {
			e, err := r.next()
			if errors.Is(err, io.EOF) {
				return
			}

			if err != nil && !errors.Is(err, errInvalidEvent) {
				t.Fatal(err)
			}

			if strings.ContainsAny(e.ID, "\n") || lines > len(text)+1 {
				t.Fatalf("%+v after %d lines", e, lines)
			}
		}
	})
}
