package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	tailBuffer    = 4096                  // changes that may wait for the tailer
	listenerMost  = 64                    // events that may wait for one listener
	unsettledTime = 50 * time.Millisecond // until what was held back is looked at again, and twice that the next time
	brokenTime    = time.Second           // until the database is asked again
)

// happened is an event as all listeners of its account get it, with its task as it
// was when it was read.
type happened struct {
	store.Happened
	now task.Task
}

// tailer reads the events of the accounts that somebody listens to, once for all
// their listeners: one goroutine while there is any. It reads an account when the
// store tells of a change of its, so that others' changes cost nothing.
type tailer struct {
	store  *store.Store
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	feeds  map[string]*feed // by account
	bell   chan struct{}    // somebody came or went
	busy   bool             // the goroutine is there
	runs   sync.WaitGroup
}

// feed is one account's events.
type feed struct {
	at        store.Place // told so far
	due       bool        // there may be more
	held      int         // how often in a row something was held back
	listeners map[chan *happened]struct{}
}

func newTailer(s *store.Store, log *slog.Logger) *tailer {
	t := &tailer{store: s, log: log, feeds: map[string]*feed{}, bell: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())

	return t
}

// join gives an account's events behind a place, and maybe some before it. The
// channel is closed when the listener is behind by more than it holds. leave ends
// it.
func (t *tailer) join(account string, at store.Place) (events <-chan *happened, leave func()) {
	ch := make(chan *happened, listenerMost)

	t.mu.Lock()
	defer t.mu.Unlock()

	f := t.feeds[account]
	if f == nil {
		f = &feed{at: at, due: true, listeners: map[chan *happened]struct{}{}}
		t.feeds[account] = f
	}

	f.listeners[ch] = struct{}{}

	if !t.busy && t.ctx.Err() == nil {
		t.busy = true
		t.runs.Go(t.run)
	}

	t.ring()

	return ch, func() { t.leave(account, f, ch) }
}

func (t *tailer) leave(account string, f *feed, ch chan *happened) {
	t.mu.Lock()
	defer t.mu.Unlock()

	delete(f.listeners, ch)

	if len(f.listeners) == 0 && t.feeds[account] == f {
		delete(t.feeds, account)
	}

	t.ring()
}

func (t *tailer) ring() {
	select {
	case t.bell <- struct{}{}:
	default:
	}
}

// close ends the goroutine; who still listens hears nothing more.
func (t *tailer) close() {
	t.mu.Lock()
	t.cancel()
	t.mu.Unlock()
	t.runs.Wait()
}

// run reads what is due until nobody listens.
func (t *tailer) run() {
	changes, stop := t.store.WatchAll(tailBuffer)
	defer stop()

	t.markAll() // what came before the watch

	again := time.NewTimer(0)
	defer again.Stop()

	for {
		if wait := t.readDue(); wait > 0 {
			again.Reset(wait)
		}

		if t.idle() {
			return
		}

		select {
		case c := <-changes:
			t.mark(c, changes)
		case <-t.bell:
		case <-again.C:
		case <-t.ctx.Done():
		}
	}
}

// idle says whether the goroutine is needed no more, and lets the next listener
// start another.
func (t *tailer) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	if len(t.feeds) > 0 && t.ctx.Err() == nil {
		return false
	}

	t.busy = false

	return true
}

// mark notes whose events changed: of this change, and of all that wait behind it.
func (t *tailer) mark(c store.Change, changes <-chan store.Change) {
	for {
		if c.Task == "" && c.Freed == "" || len(changes) >= cap(changes)-1 {
			t.markAll() // some were missed, or may have been
		}

		t.mu.Lock()
		if f := t.feeds[c.Account]; f != nil {
			f.due = true
		}
		t.mu.Unlock()

		select {
		case c = <-changes:
		default:
			return
		}
	}
}

func (t *tailer) markAll() {
	t.mu.Lock()
	defer t.mu.Unlock()

	for _, f := range t.feeds {
		f.due = true
	}
}

// readDue reads the feeds that are due; wait says when to come again by itself, 0
// is never.
func (t *tailer) readDue() (wait time.Duration) {
	t.mu.Lock()

	due := map[string]*feed{}
	for account, f := range t.feeds {
		if f.due {
			due[account] = f
			f.due = false
		}
	}
	t.mu.Unlock()

	for account, f := range due {
		unsettled, err := t.read(account, f)
		switch {
		case t.ctx.Err() != nil:
			return 0
		case err != nil:
			t.log.Warn("cannot read an account's events; trying again", "account", account, "error", err)

			wait = max(wait, brokenTime)
		case unsettled:
			wait = max(wait, min(brokenTime, unsettledTime<<min(f.held, 10)))
			f.held++
		default:
			f.held = 0
			continue
		}

		t.mu.Lock()
		f.due = true
		t.mu.Unlock()
	}

	return wait
}

// read gives a feed's listeners what is new.
func (t *tailer) read(account string, f *feed) (unsettled bool, err error) {
	for {
		list, unsettled, err := t.store.HappeningsOf(t.ctx, account, f.at, eventPage)
		if err != nil {
			return false, err
		}

		if len(list) > 0 {
			f.held = 0
		}

		for _, h := range list {
			now, shown, err := withTask(t.ctx, t.store, h)
			if err != nil {
				return false, err
			}

			f.at = h.Place
			if shown {
				t.give(f, now)
			}
		}

		if len(list) < eventPage {
			return unsettled, nil
		}
	}
}

// give never waits: who is full is dropped, and comes again with its last id.
func (t *tailer) give(f *feed, h *happened) {
	t.mu.Lock()
	defer t.mu.Unlock()

	for ch := range f.listeners {
		select {
		case ch <- h:
		default:
			close(ch)
			delete(f.listeners, ch)
		}
	}
}

// withTask reads the task of an event; shown is false for what customers do not
// see, or see no more.
func withTask(ctx context.Context, s *store.Store, h store.Happened) (all *happened, shown bool, err error) {
	if !changes(h) {
		return nil, false, nil
	}

	now, err := s.TaskOf(ctx, h.Account, h.Task)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}

	return &happened{h, now}, err == nil, err
}
