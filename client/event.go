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

// EventType is the type of an event.
type EventType string

// The types of events. EventProgress is sent only in the stream of a single task, and
// is not repeated after a lost connection.
const (
	EventQueued     EventType = "video.queued"
	EventInProgress EventType = "video.in_progress"
	EventCompleted  EventType = "video.completed"
	EventFailed     EventType = "video.failed"
	EventCancelled  EventType = "video.cancelled"
	EventProgress   EventType = "video.progress"
)

// Event is a change of a task.
type Event struct {
	ID        string // to resume the stream after this event; "" for EventProgress
	Type      EventType
	CreatedAt int64 // unix seconds
	Task      Task  // the task when the event was sent, which may be later than CreatedAt
}

// streamIdleTimeout is how long a stream may be silent before the client reconnects. The
// server sends something every 15 seconds.
const streamIdleTimeout = 50 * time.Second

// Events yields the events of one task until the task is final. It starts with the
// current status or, if after is not "", with the event that follows the one with that
// id; the last event is the final one. After a lost connection, or when the server is
// down for less than five minutes, the stream resumes where it stopped. Any other error
// is yielded and ends the iteration; so does the error of ctx when ctx ends.
func (c *Client) Events(ctx context.Context, id, after string) iter.Seq2[Event, error] {
	return c.streamEvents(ctx, pathVideos+"/"+url.PathEscape(id)+"/events", after, true)
}

// AccountEvents yields the events of all tasks of the key's account, from now on or, if
// after is not "", from the event that follows the one with that id. It does not end by
// itself. Otherwise it behaves like Events.
func (c *Client) AccountEvents(ctx context.Context, after string) iter.Seq2[Event, error] {
	return c.streamEvents(ctx, "/v1/events", after, false)
}

// streamEvents yields the events of a stream and reconnects as often as necessary.
func (c *Client) streamEvents(ctx context.Context, path, after string, untilFinal bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lastEvent := time.Now()
		failures := 0

		for {
			done := false

			err := c.readStream(ctx, path, after, func(e Event) bool {
				lastEvent = time.Now()
				failures = 0

				if e.ID != "" {
					after = e.ID
				}

				if e.Type == "" {
					return true
				}

				done = untilFinal && e.Task.Status.Final() && e.Type != EventProgress

				return yield(e, nil) && !done
			})
			switch {
			case done || errors.Is(err, errStreamDone):
				return
			case ctx.Err() != nil:
				yield(Event{}, ctx.Err())
				return
			case err == nil:
				lastEvent = time.Now() // the server closed the stream because it shuts down
			case !isTransient(err) || time.Since(lastEvent) > outageTimeout:
				yield(Event{}, err)
				return
			}

			failures++
			_ = sleep(ctx, backoff(failures)) // the end of ctx is noticed at the next attempt
		}
	}
}

// errStreamDone reports that the caller wants no more events, or that none will follow.
var errStreamDone = errors.New("the stream is done")

// readStream passes the events of one connection to handle until handle returns false
// (errStreamDone), the server closes the stream (nil), or the connection fails.
func (c *Client) readStream(ctx context.Context, path, after string, handle func(Event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	req := apiRequest{method: http.MethodGet, path: path, header: http.Header{"Accept": {"text/event-stream"}}, idempotent: true}
	if after != "" {
		req.header.Set("Last-Event-ID", after)
	}

	resp, err := c.send(ctx, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()

	if resp.StatusCode == http.StatusNoContent {
		return errStreamDone
	}

	idleTimer := time.AfterFunc(streamIdleTimeout, cancel)
	defer idleTimer.Stop()

	reader := newEventReader(resp.Body, func() { idleTimer.Reset(streamIdleTimeout) })
	for {
		e, err := reader.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errInvalidEvent):
			return err
		case err != nil:
			return &UnreachableError{Server: c.server.String(), Err: err}
		case !handle(e):
			return errStreamDone
		}
	}
}

// errInvalidEvent reports that the server sent something that is not an event of a task.
var errInvalidEvent = errors.New("not a video event")

// eventReader parses text/event-stream.
type eventReader struct {
	lines  *bufio.Scanner
	onLine func() // called for each line, including comments
}

func newEventReader(source io.Reader, onLine func()) *eventReader {
	r := &eventReader{bufio.NewScanner(source), onLine}
	r.lines.Buffer(nil, maxResponseBytes)

	return r
}

// next returns the next complete event. An event without a type only carries an id from
// which to resume. io.EOF means that the server closed the stream; an event that was cut
// off there is dropped.
func (r *eventReader) next() (Event, error) {
	var id, data string

	for r.lines.Scan() {
		r.onLine()
		field, value, _ := strings.Cut(r.lines.Text(), ":")

		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "" && value == "" && data != "":
			return readEvent(id, data)
		case field == "" && value == "" && id != "":
			return Event{ID: id}, nil
		case field == "id":
			id = value
		case field == "data":
			data += value + "\n"
		}

		if len(data) > maxResponseBytes {
			return Event{}, fmt.Errorf("%w: more than %d bytes", errInvalidEvent, maxResponseBytes)
		}
	}

	if errors.Is(r.lines.Err(), bufio.ErrTooLong) {
		return Event{}, fmt.Errorf("%w: more than %d bytes", errInvalidEvent, maxResponseBytes)
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
		return Event{}, fmt.Errorf("%w: %w", errInvalidEvent, err)
	}

	if body.Type == "" {
		return Event{}, fmt.Errorf("%w: it has no type", errInvalidEvent)
	}

	t, err := readTask(bytes.Clone(body.Data))
	if err != nil {
		return Event{}, fmt.Errorf("%w: %w", errInvalidEvent, err)
	}

	return Event{ID: id, Type: body.Type, CreatedAt: body.CreatedAt, Task: t}, nil
}
