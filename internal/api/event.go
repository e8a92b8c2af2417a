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
	beatEvery     = 15 * time.Second // a comment that keeps a silent stream alive
	progressEvery = time.Second      // the most often that progress is told
	listenTime    = 10 * time.Second // who does not take a write for so long is gone
	eventPage     = 100              // events read at a time
)

// told is the data of one event. CreatedAt is unix seconds.
type told struct {
	Type      string `json:"type"`
	CreatedAt int64  `json:"created_at"`
	Data      video  `json:"data"`
}

// errDeaf says that a listener does not take what is written, or is gone.
var errDeaf = errors.New("nobody listens")

// stream is a caller who listens to server-sent events.
type stream struct {
	c       *call
	control *http.ResponseController
}

// streaming answers with events: tell tells them until it returns. After the head no
// error can be answered any more: a listener who finds the stream ended comes again
// with the last id. Where it can, the connection is taken from Go's server, whose
// buffers and goroutines would be three quarters of what a listener costs; then
// streaming returns at once.
func (a *API) streaming(c *call, tell func(*stream) error) error {
	h := c.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Connection", "close") // it ends with the stream

	if c.r.Method == http.MethodHead {
		c.WriteHeader(http.StatusOK)
		return nil
	}

	if conn, _, err := http.NewResponseController(c).Hijack(); err == nil {
		a.stream(c, conn, tell)
		return nil
	}

	c.WriteHeader(http.StatusOK)
	a.ended(c, (&stream{c, http.NewResponseController(c)}).tellAll(tell))

	return nil
}

// stream goes on with a call's answer on a connection that is ours now.
func (a *API) stream(c *call, conn net.Conn, tell func(*stream) error) {
	c.status = http.StatusOK
	own := &ownConn{conn: conn, header: c.Header().Clone()}
	ctx, gone := context.WithCancel(context.WithoutCancel(c.ctx()))
	taken := &call{answered: answered{ResponseWriter: own}, r: c.r.WithContext(ctx), id: c.id, key: c.key, openAI: c.openAI}
	taken.r.Body = http.NoBody // the old one holds the server's buffers

	a.streams.Go(func() {
		defer gone()
		defer func() { _ = conn.Close() }()

		go own.watch(gone)

		a.ended(taken, a.safely(func() error { return (&stream{taken, http.NewResponseController(own)}).tellAll(tell) }))
	})
}

// safely makes an error of a panic, as the server would.
func (a *API) safely(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	return do()
}

func (s *stream) tellAll(tell func(*stream) error) error {
	if err := s.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}

	return tell(s)
}

// ownConn is a connection that was taken from Go's server: it writes the answer's head
// by itself, and its body to the connection's end.
type ownConn struct {
	conn   net.Conn
	header http.Header // nil once it was written
}

// Header is the head to come.
func (o *ownConn) Header() http.Header { return o.header }

// WriteHeader is known: 200.
func (o *ownConn) WriteHeader(int) {}

// Write writes at once.
func (o *ownConn) Write(text []byte) (int, error) {
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

// SetWriteDeadline is for http.ResponseController.
func (o *ownConn) SetWriteDeadline(at time.Time) error { return o.conn.SetWriteDeadline(at) }

// Flush has nothing to do.
func (o *ownConn) Flush() {}

// watch waits for the caller to go: there is nothing more that they could say.
func (o *ownConn) watch(gone func()) {
	_ = o.conn.SetReadDeadline(time.Time{})
	_, _ = o.conn.Read(make([]byte, 1))

	gone()
}

// write sends text at once, or fails when the listener does not take it in time.
func (s *stream) write(text []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(listenTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errDeaf, err)
	}

	_, err := s.c.Write(text)
	if err == nil {
		err = s.control.Flush()
	}

	if err != nil {
		return fmt.Errorf("%w: %w", errDeaf, err)
	}

	return nil
}

// tell sends an event; one without an id is not told again after a resume.
func (s *stream) tell(id string, what told) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)

	buffer.Reset()

	if id != "" {
		buffer.WriteString("id: " + id + "\n")
	}

	buffer.WriteString("event: " + what.Type + "\ndata: ")
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(what); err != nil {
		return fmt.Errorf("write event: %w", err)
	}

	buffer.WriteByte('\n')

	return s.write(buffer.Bytes())
}

// beat shows the listener that we are there, and ends with a fault when their key
// was taken back meanwhile.
func (a *API) beat(s *stream) error {
	if err := a.authorize(s.c, account.ScopeRead); err != nil {
		return err
	}

	return s.write([]byte(": ping\n\n"))
}

// resumeText is the last id that the caller saw, "" for none, and what it is
// called. A header is newer than an address that stays the same.
func resumeText(r *http.Request) (text, param string) {
	if text = r.Header.Get("Last-Event-ID"); text != "" {
		return text, "Last-Event-ID"
	}

	return r.URL.Query().Get("after"), "after"
}

func badResume(param string) *fault.Fault {
	return fault.New(fault.CodeInvalidValue, param, "This is no id of an event of this stream: send one as it came, or none to begin with what is now.")
}

// taskEventID names an event within its task's stream.
func taskEventID(seq int64) string { return "v" + strconv.FormatInt(seq, 10) }

// readTaskEventID is what taskEventID wrote; false for anything else.
func readTaskEventID(text string) (int64, bool) {
	seq, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64)
	return seq, err == nil && seq > 0 && text == taskEventID(seq)
}

// following is one caller's look at one task. seq is the version told last;
// progress and position are what was shown last.
type following struct {
	a                  *API
	s                  *stream
	task               task.Task
	seq                int64
	progress, position int64
}

// taskEvents is GET /v1/videos/{id}/events.
func (a *API) taskEvents(c *call) error {
	id := c.r.PathValue("id")
	text, param := resumeText(c.r)

	seq, ok := readTaskEventID(text)
	if text != "" && !ok {
		return badResume(param)
	}

	t, err := a.Store.TaskOf(c.ctx(), c.key.Account, id)
	if err != nil {
		return noTask(err)
	}

	if ok && t.State.Final() && seq >= t.Version {
		c.WriteHeader(http.StatusNoContent) // browsers come again after every end but this
		return nil
	}

	return a.streaming(c, func(s *stream) error { return a.followTask(s, t, seq) })
}

// followTask tells a task's events behind a version, 0 for what is now, to its end. It
// watches first, then reads, so that no change is missed.
func (a *API) followTask(s *stream, t task.Task, seq int64) error {
	changed, stop := a.Store.WatchTask(t.ID)
	defer stop()

	f := &following{a: a, s: s, task: t, seq: min(seq, t.Version)}
	if seq == 0 {
		f.seq = t.Version
		if err := f.tell("video."+t.State.Status(), taskEventID(t.Version), since(t)); err != nil || t.State.Final() {
			return err
		}
	}

	return f.follow(changed)
}

// follow tells the task's changes to its end, the server's or the listener's.
func (f *following) follow(changed <-chan struct{}) error {
	look := time.NewTicker(progressEvery)
	beat := time.NewTicker(beatEvery)

	defer look.Stop()
	defer beat.Stop()

	for {
		over, err := f.catchUp()
		if over || err != nil {
			return err
		}

		for again := false; !again; {
			select {
			case <-changed:
				again = true
			case <-look.C:
				err = f.showProgress()
			case <-beat.C:
				err = f.a.beat(f.s)
			case <-f.a.draining:
				return nil
			case <-f.s.c.ctx().Done():
				return nil
			}

			if err != nil {
				return err
			}
		}
	}
}

// catchUp tells what happened since the last look. over says that nothing can
// follow, or that the task was deleted.
func (f *following) catchUp() (over bool, err error) {
	ctx := f.s.c.ctx()

	a := f.a
	for {
		list, err := a.Store.Happenings(ctx, f.task.ID, f.seq, eventPage)
		if err != nil {
			return false, fmt.Errorf("read events: %w", err)
		}

		t, err := a.Store.TaskOf(ctx, f.s.c.key.Account, f.task.ID) // after them: never older than they are
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}

		if err != nil {
			return false, fmt.Errorf("read task: %w", err)
		}

		f.task = t
		for _, e := range list {
			f.seq = e.Seq
			if changes(e) {
				if err := f.tell("video."+e.State.Status(), taskEventID(e.Seq), e.At); err != nil {
					return false, err
				}
			}

			if e.State.Final() {
				return true, nil
			}
		}

		if len(list) < eventPage {
			return false, nil
		}
	}
}

// changes says whether customers see another status after an event.
func changes(e store.Happened) bool { return e.Before == "" || e.Before.Status() != e.State.Status() }

// tell tells the task as it is now. at is unix milliseconds.
func (f *following) tell(what, id string, at int64) error {
	v := f.a.video(f.s.c, f.task)
	f.progress = v.Progress
	f.position = position(v)

	return f.s.tell(id, told{Type: what, CreatedAt: at / 1000, Data: v})
}

// showProgress tells how far it is when that is further than was told.
func (f *following) showProgress() error {
	if v := f.a.video(f.s.c, f.task); v.Progress == f.progress && position(v) == f.position {
		return nil
	}

	return f.tell("video.progress", "", f.a.Now().UnixMilli())
}

func position(v video) int64 {
	if v.QueuePosition == nil {
		return 0
	}

	return *v.QueuePosition
}

// since is when a task came to its status, in unix milliseconds.
func since(t task.Task) int64 {
	switch {
	case t.State.Final():
		return t.CompletedAt
	case t.State.Status() == "in_progress":
		return t.StartedAt
	}

	return t.CreatedAt
}

// ended notes why a stream ended, where the listener did not end it.
func (a *API) ended(c *call, err error) {
	if err != nil && !errors.Is(err, errDeaf) && c.ctx().Err() == nil {
		a.Log.Info("a stream of events ended early", "id", c.id, "path", c.r.URL.Path, "cause", err)
	}
}
