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

// said is one event as the server writes it.
func said(id, status string) string {
	return fmt.Sprintf("id: %s\nevent: video.%s\ndata: {\"type\":\"video.%s\",\"created_at\":7,\"data\":{\"id\":\"task_1\",\"status\":\"%s\"}}\n\n", id, status, status, status)
}

// streams answers each connection with the next text, which then breaks off with
// an error, ends, or stays silent until the caller leaves.
type streams struct {
	texts []string
	ends  []error // nil: it is silent
	after []string
}

func (s *streams) RoundTrip(r *http.Request) (*http.Response, error) {
	n := len(s.after)

	s.after = append(s.after, r.Header.Get("Last-Event-ID"))
	if s.texts[n] == "" {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
	}

	return &http.Response{StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(io.MultiReader(strings.NewReader(s.texts[n]), tail{r.Context(), s.ends[n]}))}, nil
}

type tail struct {
	ctx context.Context
	err error
}

func (t tail) Read([]byte) (int, error) {
	if t.err == nil {
		<-t.ctx.Done()
		return 0, t.ctx.Err()
	}

	return 0, t.err
}

func listening(t *testing.T, s *streams) *Client {
	t.Helper()

	c, err := New("http://server", "sk-1", WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}

	return c
}

func TestAStreamGoesOnWhereItBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("connection reset")
		s := &streams{
			texts: []string{"retry: 2000\n\n" + said("v1", "queued") + "id: v2\ndata: {", ": ping\n\n" + strings.ReplaceAll(said("v2", "in_progress"), "\n", "\r\n"), "retry: 1\n\n", said("v4", "completed") + said("v5", "failed")},
			ends:  []error{broken, nil, io.EOF, nil},
		}

		var got []string

		for e, err := range listening(t, s).Events(t.Context(), "task_1", "v0") {
			if err != nil {
				t.Fatal(err)
			}

			if e.CreatedAt != 7 || e.Type != EventType("video."+string(e.Task.Status)) || len(e.Task.Raw) == 0 {
				t.Errorf("%+v", e)
			}

			got = append(got, e.ID)
		}

		if all := strings.Join(got, " "); all != "v1 v2 v4" {
			t.Errorf("heard %s", all)
		}

		if asked := strings.Join(s.after, " "); asked != "v0 v1 v2 v2" {
			t.Errorf("asked for what came after %s", asked)
		}
	})
}

// The account's stream says at once where it is: nothing that happens while the
// connection is lost is missed.
func TestAnAccountsStreamGoesOnBeforeItsFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &streams{texts: []string{"retry: 2000\n\nid: a0.4\n\n: ping\n\n", said("a0.5", "completed") + said("a0.6", "queued")}, ends: []error{io.EOF, nil}}

		var got []string

		for e, err := range listening(t, s).AccountEvents(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}

			if got = append(got, e.ID); len(got) == 2 {
				break
			}
		}

		if all, asked := strings.Join(got, " "), strings.Join(s.after, " "); all != "a0.5 a0.6" || asked != " a0.4" {
			t.Errorf("heard %q, asked for what came after %q", all, asked)
		}
	})
}

func TestAStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range listening(t, &streams{texts: []string{""}}).Events(t.Context(), "task_1", "v9") {
			t.Error("something follows the end")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		s := &streams{texts: []string{said("v1", "queued")}, ends: []error{nil}}
		for e, err := range listening(t, s).Events(ctx, "task_1", "") {
			if err == nil {
				cancel()
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("%+v, %v", e, err)
			}
		}

		for _, text := range []string{"data: {}\ndata: x\n\n", "data: {\"type\":\"video.queued\",\"data\":[]}\n\n", "data: {\"data\":{}}\n\n"} {
			var last error
			for _, last = range listening(t, &streams{texts: []string{text}, ends: []error{nil}}).Events(t.Context(), "task_1", "") {
				continue
			}

			if !errors.Is(last, errNoEvent) {
				t.Errorf("%q: %v", text, last)
			}
		}

		c, _ := scripted(t, 404)

		var no *Error
		for _, err := range c.Events(t.Context(), "task_1", "") {
			if !errors.As(err, &no) || no.Status != 404 {
				t.Errorf("%v", err)
			}
		}

		if no == nil {
			t.Error("a task that is not there has a stream")
		}
	})
}

func TestAServerThatStaysAwayIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, errors.New("connection refused"))
		begin := time.Now()

		var last error
		for _, last = range c.Events(t.Context(), "task_1", "") {
			continue
		}

		var gone *Unreachable
		if took := time.Since(begin); !errors.As(last, &gone) || took < patience || took > patience+time.Minute {
			t.Errorf("%v after %v", last, time.Since(begin))
		}
	})
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("retry: 2000\n\n" + said("v1", "queued")))
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

			if err != nil && !errors.Is(err, errNoEvent) {
				t.Fatal(err)
			}

			if strings.ContainsAny(e.ID, "\n") || lines > len(text)+1 {
				t.Fatalf("%+v after %d lines", e, lines)
			}
		}
	})
}
