package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	heartbeatInterval  = 15 * time.Second // between comments that keep an idle stream alive
	progressInterval   = time.Second      // at most one progress event in this time
	streamWriteTimeout = 10 * time.Second // a subscriber who does not accept a write for so long is considered gone
	eventPageSize      = 100              // events per read from the store
)

// streamEvent is the data of one server-sent event. CreatedAt is unix seconds.
type streamEvent struct {
	Type      string `json:"type"`
	CreatedAt int64  `json:"created_at"`
	Data      video  `json:"data"`
}

// errSubscriberGone says that the subscriber does not accept what is written, or has
// disconnected.
var errSubscriberGone = errors.New("the subscriber is gone")

// stream is the connection of one subscriber to server-sent events.
type stream struct {
	c       *requestContext
	control *http.ResponseController
}

// serveEvents responds with server-sent events: run sends them until it returns.
//
// Once the response's head is written, an error cannot be sent any more: a subscriber
// whose stream ends reconnects with the last id. Where possible, the connection is
// hijacked from Go's server, because the server's buffers and goroutines would be three
// quarters of what a subscriber costs; serveEvents then returns at once.
func (a *API) serveEvents(c *requestContext, run func(*stream) error) error {
	h := c.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Connection", "close") // the connection ends with the stream

	if c.req.Method == http.MethodHead {
		c.WriteHeader(http.StatusOK)
		return nil
	}

	if conn, _, err := http.NewResponseController(c).Hijack(); err == nil {
		a.serveHijacked(c, conn, run)
		return nil
	}

	c.WriteHeader(http.StatusOK)
	a.logStreamEnd(c, (&stream{c, http.NewResponseController(c)}).start(run))

	return nil
}

// serveHijacked continues a response on the hijacked connection, in a goroutine of its own
// that a.streams counts.
//
// The server cancels a request's context when the handler returns, which it does at once
// here. So the stream has a context of its own, which watchClose cancels when the caller
// disconnects.
func (a *API) serveHijacked(c *requestContext, conn net.Conn, run func(*stream) error) {
	c.status = http.StatusOK
	response := &hijackedConn{conn: conn, header: c.Header().Clone()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	detached := &requestContext{
		responseRecorder: responseRecorder{ResponseWriter: response},
		req:              c.req.WithContext(ctx),
		id:               c.id,
		key:              c.key,
		openAI:           c.openAI,
	}
	detached.req.Body = http.NoBody // the original body holds the server's buffers

	a.streams.Go(func() {
		defer cancel()
		defer func() { _ = conn.Close() }()

		go response.watchClose(cancel)

		s := &stream{detached, http.NewResponseController(response)}
		err := a.recoverPanic(func() error { return s.start(run) })
		a.logStreamEnd(detached, err)
	})
}

// recoverPanic runs do and turns a panic into an error: no server recovers it on a
// hijacked connection.
func (a *API) recoverPanic(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	return do()
}

// start tells the client when to reconnect, then runs the stream.
func (s *stream) start(run func(*stream) error) error {
	if err := s.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}

	return run(s)
}

// hijackedConn is the http.ResponseWriter of a hijacked connection. It writes the
// response's head itself; the body ends with the connection.
type hijackedConn struct {
	conn   net.Conn
	header http.Header // nil once it has been written
}

// Header returns the header that the first Write sends.
func (o *hijackedConn) Header() http.Header { return o.header }

// WriteHeader does nothing: the status is always 200.
func (o *hijackedConn) WriteHeader(int) {}

// Write writes to the connection without a buffer, before the first text the head.
func (o *hijackedConn) Write(text []byte) (int, error) {
	if o.header != nil {
		var head bytes.Buffer
		head.WriteString("HTTP/1.1 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\n")
		_ = o.header.Write(&head)
		head.WriteString("\r\n")

		o.header = nil
		if _, err := o.conn.Write(head.Bytes()); err != nil {
			return 0, err
		}
	}

	return o.conn.Write(text)
}

// SetWriteDeadline implements what http.ResponseController needs.
func (o *hijackedConn) SetWriteDeadline(at time.Time) error { return o.conn.SetWriteDeadline(at) }

// Flush does nothing: Write has no buffer.
func (o *hijackedConn) Flush() {}

// watchClose waits until the caller disconnects, then calls closed. The caller has nothing
// more to send, so any read that returns ends the stream.
func (o *hijackedConn) watchClose(closed func()) {
	_ = o.conn.SetReadDeadline(time.Time{})
	_, _ = o.conn.Read(make([]byte, 1))

	closed()
}

// write sends text at once. It fails when the subscriber does not accept it in time.
func (s *stream) write(text []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errSubscriberGone, err)
	}

	_, err := s.c.Write(text)
	if err == nil {
		err = s.control.Flush()
	}

	if err != nil {
		return fmt.Errorf("%w: %w", errSubscriberGone, err)
	}

	return nil
}

// send sends an event. An event without an id is not repeated after a resume.
func (s *stream) send(id string, event streamEvent) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)

	buffer.Reset()

	if id != "" {
		buffer.WriteString("id: " + id + "\n")
	}

	buffer.WriteString("event: " + event.Type + "\ndata: ")
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(event); err != nil {
		return fmt.Errorf("write event: %w", err)
	}

	buffer.WriteByte('\n')

	return s.write(buffer.Bytes())
}

// heartbeat sends a comment that keeps the stream alive. It fails with a fault when the
// subscriber's key was revoked in the meantime.
func (a *API) heartbeat(s *stream) error {
	if err := a.authorize(s.c, account.ScopeRead); err != nil {
		return err
	}

	return s.write([]byte(": ping\n\n"))
}

// lastEventID returns the last event id that the caller saw, "" for none, and the name of
// the parameter. The header takes precedence: a browser that reconnects updates it, while
// the URL stays the same.
func lastEventID(r *http.Request) (text, param string) {
	if text = r.Header.Get("Last-Event-ID"); text != "" {
		return text, "Last-Event-ID"
	}

	return r.URL.Query().Get("after"), "after"
}

func invalidEventID(param string) *fault.Fault {
	return fault.New(fault.CodeInvalidValue, param, "This is not an event id of this stream: send an id exactly as it was received, or none to start from now.")
}

// taskEventID returns an event's id within its task's stream.
func taskEventID(seq int64) string { return "v" + strconv.FormatInt(seq, 10) }

// parseTaskEventID parses what taskEventID wrote; it returns false for anything else.
func parseTaskEventID(text string) (int64, bool) {
	seq, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	return seq, err == nil && seq > 0 && text == taskEventID(seq)
}

// taskStream is one subscriber's stream of one task. seq is the version of the last event
// sent; progress and position are the last values sent.
type taskStream struct {
	a                  *API
	s                  *stream
	task               task.Task
	seq                int64
	progress, position int64
}

// taskEvents is GET /v1/videos/{id}/events.
func (a *API) taskEvents(c *requestContext) error {
	id := c.req.PathValue("id")
	text, param := lastEventID(c.req)

	seq, ok := parseTaskEventID(text)
	if text != "" && !ok {
		return invalidEventID(param)
	}

	t, err := a.Store.TaskOf(c.ctx(), c.key.Account, id)
	if err != nil {
		return taskError(err)
	}

	if ok && t.State.Final() && seq >= t.Version {
		c.WriteHeader(http.StatusNoContent) // 204 is the only end after which browsers do not reconnect
		return nil
	}

	return a.serveEvents(c, func(s *stream) error { return a.streamTask(s, t, seq) })
}

// streamTask sends a task's events after the version seq, or its current state if seq is
// 0, until the task ends.
//
// The watch begins before the first read of the events, so a change between the two still
// signals the watch and is read in the next round.
func (a *API) streamTask(s *stream, t task.Task, seq int64) error {
	changed, stop := a.Store.WatchTask(t.ID)
	defer stop()

	f := &taskStream{a: a, s: s, task: t, seq: min(seq, t.Version)}
	if seq == 0 {
		f.seq = t.Version
		if err := f.send("video."+t.State.Status(), taskEventID(t.Version), statusSince(t)); err != nil || t.State.Final() {
			return err
		}
	}

	return f.follow(changed)
}

// follow sends the task's changes until the task ends, the server drains or the subscriber
// leaves.
func (s *taskStream) follow(changed <-chan struct{}) error {
	progress := time.NewTicker(progressInterval)
	heartbeat := time.NewTicker(heartbeatInterval)

	defer progress.Stop()
	defer heartbeat.Stop()

	for {
		done, err := s.catchUp()
		if done || err != nil {
			return err
		}

		for again := false; !again; {
			select {
			case <-changed:
				again = true
			case <-progress.C:
				err = s.sendProgress()
			case <-heartbeat.C:
				err = s.a.heartbeat(s.s)
			case <-s.a.draining:
				return nil
			case <-s.s.c.ctx().Done():
				return nil
			}

			if err != nil {
				return err
			}
		}
	}
}

// catchUp sends the events since the last call. over means that no event can follow, or
// that the task was deleted.
func (s *taskStream) catchUp() (done bool, err error) {
	ctx := s.s.c.ctx()

	a := s.a
	for {
		list, err := a.Store.EventsOfTask(ctx, s.task.ID, s.seq, eventPageSize)
		if err != nil {
			return false, fmt.Errorf("read events: %w", err)
		}

		t, err := a.Store.TaskOf(ctx, s.s.c.key.Account, s.task.ID) // read after the events, so never older than they are
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}

		if err != nil {
			return false, fmt.Errorf("read task: %w", err)
		}

		s.task = t
		for _, e := range list {
			s.seq = e.Seq
			if statusChanged(e) {
				if err := s.send("video."+e.State.Status(), taskEventID(e.Seq), e.At); err != nil {
					return false, err
				}
			}

			if e.State.Final() {
				return true, nil
			}
		}

		if len(list) < eventPageSize {
			return false, nil
		}
	}
}

// statusChanged reports whether an event changed the status that customers see.
func statusChanged(e store.PositionedEvent) bool {
	return e.PreviousState == "" || e.PreviousState.Status() != e.State.Status()
}

// send sends the task as it is now. at is unix milliseconds.
func (s *taskStream) send(event, id string, at int64) error {
	v := s.a.video(s.s.c, s.task)
	s.progress = v.Progress
	s.position = queuePosition(v)

	return s.s.send(id, streamEvent{Type: event, CreatedAt: at / 1000, Data: v})
}

// sendProgress sends progress and queue position if they changed since the last event.
func (s *taskStream) sendProgress() error {
	if v := s.a.video(s.s.c, s.task); v.Progress == s.progress && queuePosition(v) == s.position {
		return nil
	}

	return s.send("video.progress", "", s.a.Now().UnixMilli())
}

func queuePosition(v video) int64 {
	if v.QueuePosition == nil {
		return 0
	}

	return *v.QueuePosition
}

// statusSince returns when a task reached its status, in unix milliseconds.
func statusSince(t task.Task) int64 {
	switch {
	case t.State.Final():
		return t.CompletedAt
	case t.State.Status() == "in_progress":
		return t.StartedAt
	}

	return t.CreatedAt
}

// logStreamEnd logs why a stream ended, unless the subscriber ended it.
func (a *API) logStreamEnd(c *requestContext, err error) {
	if err != nil && !errors.Is(err, errSubscriberGone) && c.ctx().Err() == nil {
		a.Log.Info("event stream ended early", "id", c.id, "path", c.req.URL.Path, "cause", err)
	}
}
