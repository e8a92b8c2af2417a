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
	changeBuffer     = 4096                  // changes that may wait for the tailer
	subscriberBuffer = 64                    // events that may wait for one subscriber
	unsettledDelay   = 50 * time.Millisecond // first delay before unsettled events are read again; it doubles each time
	errorDelay       = time.Second           // delay before the database is read again after an error
)

// accountEvent is an event as all subscribers of its account receive it, with its task as
// it was when the event was read.
type accountEvent struct {
	store.PositionedEvent
	task task.Task
}

// tailer reads the events of the accounts that have subscribers, once for all subscribers
// of an account.
//
// One goroutine does the reading; it runs while there are subscribers. It reads an account
// only when the store signals a change of that account, so changes of other accounts cost
// nothing.
type tailer struct {
	store    *store.Store
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	mu       sync.Mutex
	accounts map[string]*accountTail // by account
	wake     chan struct{}           // signals that a subscriber came or left
	running  bool                    // whether the goroutine runs
	wg       sync.WaitGroup
}

// accountTail is the tailer's position in one account's events.
type accountTail struct {
	position       store.EventPosition // of the last event read
	due            bool                // there may be new events
	unsettledReads int                 // consecutive reads that found unsettled events
	subscribers    map[chan *accountEvent]struct{}
}

func newTailer(s *store.Store, log *slog.Logger) *tailer {
	t := &tailer{store: s, log: log, accounts: map[string]*accountTail{}, wake: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())

	return t
}

// subscribe returns a channel with the account's events after a position, and possibly
// some before it, which the subscriber must skip. The channel is closed when the
// subscriber is more than subscriberBuffer events behind. unsubscribe ends the
// subscription.
//
// If the account already has subscribers, the channel begins at their common position,
// which may be later than at; accountStream.listen reads the events between the two from
// the database.
func (t *tailer) subscribe(account string, at store.EventPosition) (events <-chan *accountEvent, unsubscribe func()) {
	ch := make(chan *accountEvent, subscriberBuffer)

	t.mu.Lock()
	defer t.mu.Unlock()

	f := t.accounts[account]
	if f == nil {
		f = &accountTail{position: at, due: true, subscribers: map[chan *accountEvent]struct{}{}}
		t.accounts[account] = f
	}

	f.subscribers[ch] = struct{}{}

	if !t.running && t.ctx.Err() == nil {
		t.running = true
		t.wg.Go(t.run)
	}

	t.signal()

	return ch, func() { t.unsubscribe(account, f, ch) }
}

func (t *tailer) unsubscribe(account string, f *accountTail, ch chan *accountEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()

	delete(f.subscribers, ch)

	if len(f.subscribers) == 0 && t.accounts[account] == f {
		delete(t.accounts, account)
	}

	t.signal()
}

func (t *tailer) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// close stops the goroutine; subscribers receive nothing more.
func (t *tailer) close() {
	t.mu.Lock()
	t.cancel()
	t.mu.Unlock()
	t.wg.Wait()
}

// run reads the accounts that are due until there are no subscribers.
func (t *tailer) run() {
	changes, stop := t.store.WatchAll(changeBuffer)
	defer stop()

	t.markAll() // changes from before the watch were not signalled

	again := time.NewTimer(0)
	defer again.Stop()

	for {
		if wait := t.readDue(); wait > 0 {
			again.Reset(wait)
		}

		if t.stopIfIdle() {
			return
		}

		select {
		case c := <-changes:
			t.markChanged(c, changes)
		case <-t.wake:
		case <-again.C:
		case <-t.ctx.Done():
		}
	}
}

// stopIfIdle reports whether the goroutine is no longer needed. It clears running under
// the same lock, so that the next subscriber starts another goroutine.
func (t *tailer) stopIfIdle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	if len(t.accounts) > 0 && t.ctx.Err() == nil {
		return false
	}

	t.running = false

	return true
}

// markChanged marks the account of a change as due, and those of all changes that wait
// behind it.
func (t *tailer) markChanged(c store.Change, changes <-chan store.Change) {
	for {
		if c.Task == "" && c.Released == "" || len(changes) >= cap(changes)-1 {
			t.markAll() // changes were dropped, or may have been
		}

		t.mu.Lock()
		if f := t.accounts[c.Account]; f != nil {
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

// markAll marks every account as due.
func (t *tailer) markAll() {
	t.mu.Lock()
	defer t.mu.Unlock()

	for _, f := range t.accounts {
		f.due = true
	}
}

// readDue reads the accounts that are due. wait says when to call it again without a
// signal; 0 means never.
//
// An account's mark is cleared before the read, so a change during the read marks it
// again. After an error, or when the store held back unsettled events, the account is
// marked again here, and wait is set.
func (t *tailer) readDue() (wait time.Duration) {
	t.mu.Lock()

	due := map[string]*accountTail{}
	for account, f := range t.accounts {
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

			wait = max(wait, errorDelay)
		case unsettled:
			wait = max(wait, min(errorDelay, unsettledDelay<<min(f.unsettledReads, 10)))
			f.unsettledReads++
		default:
			f.unsettledReads = 0
			continue
		}

		t.mu.Lock()
		f.due = true
		t.mu.Unlock()
	}

	return wait
}

// read publishes an account's new events. unsettled means that the store held some back,
// because a transaction with a smaller position may still commit.
func (t *tailer) read(account string, f *accountTail) (unsettled bool, err error) {
	for {
		list, unsettled, err := t.store.EventsOfAccount(t.ctx, account, f.position, eventPageSize)
		if err != nil {
			return false, err
		}

		if len(list) > 0 {
			f.unsettledReads = 0
		}

		for _, event := range list {
			loaded, shown, err := loadEventTask(t.ctx, t.store, event)
			if err != nil {
				return false, err
			}

			f.position = event.Position
			if shown {
				t.publish(f, loaded)
			}
		}

		if len(list) < eventPageSize {
			return unsettled, nil
		}
	}
}

// publish never blocks: a subscriber whose buffer is full is dropped, and reconnects with
// its last id.
func (t *tailer) publish(f *accountTail, event *accountEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()

	for ch := range f.subscribers {
		select {
		case ch <- event:
		default:
			close(ch)
			delete(f.subscribers, ch)
		}
	}
}

// loadEventTask reads the task of an event. shown is false for an event that customers do
// not see, or whose task they deleted.
func loadEventTask(ctx context.Context, s *store.Store, event store.PositionedEvent) (loaded *accountEvent, shown bool, err error) {
	if !statusChanged(event) {
		return nil, false, nil
	}

	t, err := s.TaskOf(ctx, event.Account, event.Task)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}

	return &accountEvent{event, t}, err == nil, err
}
