// Package animatic is the embedded provider: it renders a real, playable preview
// of a task with ffmpeg, on this machine, without a key, a GPU or a network.
// dispatch hands it an Order; pictures are moved by the camera, videos are cut
// in, the prompt is set in type, and a film of exactly the asked size, length and
// sound comes out. The same order with the same seed is the same file.
//
// Frames are composed here and encoded by ffmpeg; references are decoded by
// ffmpeg too, in bounded processes of their own, since they are untrusted. It
// never reaches the network, never pretends to be a model (its films are marked),
// and keeps nothing beyond its folder and its process.
package animatic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Bounds of the waiting room.
const (
	mostWaiting = 64
	keepFor     = time.Hour // how long a ticket and its film are kept after their end
	renderTime  = 10 * time.Minute
)

// Kind is the provider as a value.
//
// Settings: "parallel" (films rendered at once; default half the processors),
// "timeout" (of one render, "10m"), "font" (a file with Chinese characters),
// "ffmpeg" and "ffprobe" (paths).
func Kind() provider.Kind {
	return provider.Kind{
		Name:   "animatic",
		Traits: provider.Traits{Resubmit: true, Preview: true, PollEvery: [2]time.Duration{200 * time.Millisecond, time.Second}},
		New:    open,
	}
}

// studio is the provider: a waiting room and the workers that render.
type studio struct {
	tools   *tools
	letters *letters
	folder  string
	now     func() time.Time
	log     *slog.Logger
	timeout time.Duration

	ctx     context.Context
	end     context.CancelCauseFunc
	workers sync.WaitGroup
	waiting chan *render

	mu      sync.Mutex
	renders map[provider.Ticket]*render
	closed  bool
}

// render is one ticket. Its fields below ctx are guarded by the studio's mu.
type render struct {
	ticket provider.Ticket
	order  provider.Order
	folder string
	ctx    context.Context
	cancel context.CancelCauseFunc

	report provider.Report
	film   string
	ended  time.Time // zero until it has
}

// Causes that end a render.
var (
	errCancelled = errors.New("cancelled")
	errClosed    = errors.New("the provider is closed")
)

func open(o provider.Options) (provider.Provider, error) {
	parallel, timeout, err := readSettings(o.Settings)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(context.Background(), 2*checkTime)
	defer cancel()

	t, err := findTools(o.Settings)
	if err != nil {
		return nil, err
	}

	if err := empty(o.Folder); err != nil {
		return nil, err
	}

	l, err := findLetters(ctx, o.Settings)
	if err != nil {
		return nil, err
	}

	s := &studio{
		tools: t, letters: l, folder: o.Folder, now: o.Now, log: o.Log, timeout: timeout,
		waiting: make(chan *render, mostWaiting), renders: map[provider.Ticket]*render{},
	}
	if s.now == nil {
		s.now = time.Now
	}

	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}

	s.ctx, s.end = context.WithCancelCause(context.Background())
	for range parallel {
		s.workers.Go(s.work)
	}

	return s, nil
}

func readSettings(settings map[string]string) (parallel int, timeout time.Duration, err error) {
	parallel = max(1, runtime.NumCPU()/2)
	timeout = renderTime

	if v := settings["parallel"]; v != "" {
		if parallel, err = strconv.Atoi(v); err != nil || parallel < 1 || parallel > 256 {
			return 0, 0, fmt.Errorf("animatic's setting parallel is %q: give a number from 1 to 256", v)
		}
	}

	if v := settings["timeout"]; v != "" {
		if timeout, err = time.ParseDuration(v); err != nil || timeout <= 0 {
			return 0, 0, fmt.Errorf("animatic's setting timeout is %q: give a time such as 10m", v)
		}
	}

	return parallel, timeout, nil
}

// empty makes the folder, with nothing in it.
func empty(folder string) error {
	if folder == "" {
		return errors.New("animatic was given no folder to write to")
	}

	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}

	list, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("empty folder: %w", err)
	}

	for _, e := range list {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return fmt.Errorf("empty folder: %w", err)
		}
	}

	return nil
}

// Submit takes an order into the waiting room. A full one is Throttled.
func (s *studio) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return "", busy(provider.Passing, err)
	}

	if f := refuse(o); f != nil {
		return "", f
	}

	if err := provider.May(ctx); err != nil { // nobody would ask for the film
		return "", busy(provider.Passing, err)
	}

	id := rand.Text()
	r := &render{ticket: provider.Ticket(fmt.Sprintf("%s.%d.%s", o.Task, o.Attempt, id)), order: o, folder: filepath.Join(s.folder, id)}
	r.ctx, r.cancel = context.WithCancelCause(s.ctx)
	r.report = provider.Report{Phase: provider.Waiting, Progress: 0}

	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return "", busy(provider.Passing, errClosed)
	}

	select {
	case s.waiting <- r:
		s.renders[r.ticket] = r
		return r.ticket, nil
	default:
		return "", busy(provider.Throttled, errors.New("the waiting room is full"))
	}
}

func busy(class provider.Class, err error) *provider.Failure {
	return &provider.Failure{
		Taken: provider.NotTaken, Class: class, After: time.Second, Err: err,
		Fault: fault.New(fault.CodeSupplier, "", "The preview renderer has no room at this moment. Nothing was charged; create the task again later.").Because(err),
	}
}

// Poll says how a ticket stands.
func (s *studio) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	if err := ctx.Err(); err != nil {
		return provider.Report{}, busy(provider.Passing, err)
	}

	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()

	r := s.renders[t]
	if r == nil {
		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	return r.report, nil
}

// scheme begins a result's URL; the ticket follows.
const scheme = "animatic:"

// Open reads a film. It can be opened again for an hour.
func (s *studio) Open(ctx context.Context, result provider.Result) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, busy(provider.Passing, err)
	}

	s.mu.Lock()

	path := ""
	if ticket, ours := strings.CutPrefix(result.URL, scheme); ours && s.renders[provider.Ticket(ticket)] != nil {
		path = s.renders[provider.Ticket(ticket)].film
	}
	s.mu.Unlock()

	f, err := os.Open(path)
	if err != nil {
		return nil, &provider.Failure{
			Class: provider.Gone, Err: err,
			Fault: fault.New(fault.CodeResultLost, "", "The preview's file is not there any more. Create the task again.").Because(err),
		}
	}

	return f, nil
}

// Cancel stops a ticket: its processes are killed and its files removed. It is
// too late for one that has ended.
func (s *studio) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, busy(provider.Passing, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	r := s.renders[t]
	if r == nil || !r.ended.IsZero() {
		return r != nil && r.report.Phase == provider.Stopped, nil
	}

	r.cancel(errCancelled)
	r.ended = s.now()
	r.report = provider.Report{Phase: provider.Stopped, Progress: -1}

	return true, nil
}

// Close ends every render, waits for them and empties the folder.
func (s *studio) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}

	s.closed = true
	clear(s.renders)
	s.mu.Unlock()
	s.end(errClosed)
	s.workers.Wait()

	return errors.Join(s.letters.close(), empty(s.folder))
}

// sweep forgets what ended over an hour ago.
func (s *studio) sweep() {
	now := s.now()
	s.mu.Lock()

	var old []string

	for t, r := range s.renders {
		if !r.ended.IsZero() && now.Sub(r.ended) > keepFor {
			delete(s.renders, t)

			old = append(old, r.folder)
		}
	}
	s.mu.Unlock()

	for _, folder := range old {
		_ = os.RemoveAll(folder)
	}
}

// seedOf is the film's seed: the order's, or one of the task's own.
func seedOf(o provider.Order) uint64 {
	if o.Seed >= 0 {
		return uint64(o.Seed)
	}

	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s.%d", o.Task, o.Attempt)

	return h.Sum64()
}
