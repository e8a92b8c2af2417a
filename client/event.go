package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// EventType says what happened.
type EventType string

// The types. EventProgress comes only in a task's own stream, and never again
// after a lost connection.
const (
	EventQueued     EventType = "video.queued"
	EventInProgress EventType = "video.in_progress"
	EventCompleted  EventType = "video.completed"
	EventFailed     EventType = "video.failed"
	EventCancelled  EventType = "video.cancelled"
	EventProgress   EventType = "video.progress"
)

// Event is something that happened to a task.
type Event struct {
	ID        string // for going on after it; "" for EventProgress
	Type      EventType
	CreatedAt int64 // unix seconds
	Task      Task  // as it was when the event was sent, which may be later
}

// quiet is how long a stream may be silent before it counts as lost: the server
// sends something every 15 seconds.
const quiet = 50 * time.Second

// Events follows one task to its end: first its present status, or what came
// after the event with the id after ("" for none), last its final event. A lost
// connection, or a server that is away for less than five minutes, is made up for
// where it broke off. It ends at the first other error, and with ctx, whose error
// it then gives.
func (c *Client) Events(ctx context.Context, id, after string) iter.Seq2[Event, error] {
	return c.listen(ctx, pathVideos+"/"+url.PathEscape(id)+"/events", after, true)
}

// AccountEvents follows all tasks of the key's account: from now on, or from after
// the event with the id after. It does not end by itself; else it is as Events.
func (c *Client) AccountEvents(ctx context.Context, after string) iter.Seq2[Event, error] {
	return c.listen(ctx, "/v1/events", after, false)
}

// listen gives a stream's events over as many connections as it takes.
func (c *Client) listen(ctx context.Context, path, after string, ends bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		heard := time.Now()
		failures := 0

		for {
			over := false

			err := c.hear(ctx, path, after, func(e Event) bool {
				heard = time.Now()
				failures = 0

				if e.ID != "" {
					after = e.ID
				}

				if e.Type == "" {
					return true
				}

				over = ends && e.Task.Status.Final() && e.Type != EventProgress

				return yield(e, nil) && !over
			})
			switch {
			case over || errors.Is(err, errEnough):
				return
			case ctx.Err() != nil:
				yield(Event{}, ctx.Err())
				return
			case err == nil:
				heard = time.Now() // the server ended it: it is going down
			case !passing(err) || time.Since(heard) > patience:
				yield(Event{}, err)
				return
			}

			failures++
			_ = wait(ctx, backoff(failures)) // its end is seen above, at the next try
		}
	}
}

// errEnough says that nothing more is wanted, or nothing will follow.
var errEnough = errors.New("enough")

// hear gives the events of one connection until take says no (errEnough), the
// server ends it (nil), or it breaks.
func (c *Client) hear(ctx context.Context, path, after string, take func(Event) bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	call := call{method: http.MethodGet, path: path, header: http.Header{"Accept": {"text/event-stream"}}, safe: true}
	if after != "" {
		call.header.Set("Last-Event-ID", after)
	}

	answer, err := c.send(ctx, call)
	if err != nil {
		return err
	}
	defer answer.Body.Close()

	if answer.StatusCode == http.StatusNoContent {
		return errEnough
	}

	silence := time.AfterFunc(quiet, stop)
	defer silence.Stop()

	in := newEventReader(answer.Body, func() { silence.Reset(quiet) })
	for {
		e, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errNoEvent):
			return err
		case err != nil:
			return &Unreachable{Server: c.server.String(), Err: err}
		case !take(e):
			return errEnough
		}
	}
}

// errNoEvent says that the server sent what is no event of ours.
var errNoEvent = errors.New("not an event of a video")

// eventReader reads text/event-stream.
type eventReader struct {
	lines *bufio.Scanner
	heard func() // called for each line, comments too
}

func newEventReader(from io.Reader, heard func()) *eventReader {
	r := &eventReader{bufio.NewScanner(from), heard}
	r.lines.Buffer(nil, maxAnswer)

	return r
}

// next is the next whole event; one that breaks off is not given. One without a
// type is only an id to go on from. io.EOF says that the stream was ended.
func (r *eventReader) next() (Event, error) {
	var id, data string

	for r.lines.Scan() {
		r.heard()
		name, value, _ := strings.Cut(r.lines.Text(), ":")

		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "" && value == "" && data != "":
			return readEvent(id, data)
		case name == "" && value == "" && id != "":
			return Event{ID: id}, nil
		case name == "id":
			id = value
		case name == "data":
			data += value + "\n"
		}

		if len(data) > maxAnswer {
			return Event{}, fmt.Errorf("%w: more than %d bytes", errNoEvent, maxAnswer)
		}
	}

	if errors.Is(r.lines.Err(), bufio.ErrTooLong) {
		return Event{}, fmt.Errorf("%w: more than %d bytes", errNoEvent, maxAnswer)
	}

	if err := r.lines.Err(); err != nil {
		return Event{}, err
	}

	return Event{}, io.EOF
}

// readEvent decodes an event's data.
func readEvent(id, data string) (Event, error) {
	var body struct {
		Type      EventType       `json:"type"`
		CreatedAt int64           `json:"created_at"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(data), &body); err != nil {
		return Event{}, fmt.Errorf("%w: %w", errNoEvent, err)
	}

	if body.Type == "" {
		return Event{}, fmt.Errorf("%w: it has no type", errNoEvent)
	}

	t, err := readTask(bytes.Clone(body.Data))
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", errNoEvent, err)
	}

	return Event{ID: id, Type: body.Type, CreatedAt: body.CreatedAt, Task: t}, nil
}
