// Package lease gives this process the right to do something that only one replica may do
// at a time: to serve an upstream, or to do the background work. A Coordinator keeps the
// leases of this process. It knows ids only; what is done under a lease is the engine's.
package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/store"
)

// The duration of a lease, how often it is renewed, and how long this process trusts
// it, measured on its own clocks from before the renewal was sent. That is shorter than
// the duration, so that this process stops before another can acquire the lease.
const (
	Duration      = 10 * time.Second
	renewInterval = 2 * time.Second
	validFor      = 7 * time.Second
)

// Causes of the end of a lease.
var (
	ErrExpired    = errors.New("the lease was not renewed in time")
	ErrLost       = errors.New("another replica holds the lease, or may acquire it")
	ErrHandedOver = errors.New("handed over to a replica that serves fewer upstreams")
	ErrShutdown   = errors.New("this replica is shutting down")
)

// Lease is the right of this process, and no other, to do what its id names. Every
// decision is made under a lease.
type Lease struct {
	ID     string
	Fence  int64 // higher than that of every earlier owner
	c      *Coordinator
	actor  clock.Actor
	ctx    context.Context // ends with the lease, and with it everything that is done under the lease
	cancel context.CancelCauseFunc

	mu          sync.Mutex
	renewedAt   time.Time // taken before the last successful renewal was sent
	expiryTimer *time.Timer
	closed      bool // nothing new may begin under the lease
	ended       bool
	inFlight    sync.WaitGroup
}

// newLease returns the lease that a write sent at sentAt acquired.
func (c *Coordinator) newLease(ctx context.Context, id string, fence int64, sentAt time.Time) *Lease {
	l := &Lease{c: c, actor: c.Clock.Actor("expiry of " + id + " at " + c.Owner), ID: id, Fence: fence, renewedAt: sentAt}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()

	l.expiryTimer = l.actor.AfterFunc(validFor-time.Since(sentAt), l.expireIfStale)

	return l
}

// Context returns a context that ends with the lease.
func (l *Lease) Context() context.Context { return l.ctx }

// renew extends the lease after the commit of a renewal that was sent at sentAt.
func (l *Lease) renew(sentAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if !l.ended {
		l.renewedAt = sentAt
		l.expiryTimer.Reset(l.actor.Delay(validFor - time.Since(sentAt)))
	}
}

// expireIfStale revokes the lease if it was not renewed in time.
func (l *Lease) expireIfStale() {
	l.c.FailPoint("expiring-lease")

	if l.CheckValid() != nil {
		l.Revoke(ErrExpired)
	}
}

// CheckValid returns an error unless the lease is certainly still held: Submit calls
// it before the first byte goes out. Both clocks count: the monotonic one may stop while
// the machine sleeps, and the wall clock may be set back.
func (l *Lease) CheckValid() error {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := time.Now()
	if l.ended || now.Sub(l.renewedAt) >= validFor || now.Round(0).Sub(l.renewedAt.Round(0)) >= validFor {
		return ErrExpired
	}

	return nil
}

// CheckHeld checks, inside the transaction of a decision, that this process holds the
// lease and may make the decision; else it returns store.ErrNotOwner.
func (l *Lease) CheckHeld(ctx context.Context, tx *store.Tx) error {
	return tx.CheckLease(ctx, l.ID, l.c.Owner, l.Fence, l.c.Clock.Millis())
}

// Spawn runs f in a goroutine until the lease ends, unless the lease is closed. Release
// waits for it.
func (l *Lease) Spawn(f func(context.Context)) {
	ctx, release, ok := l.Hold()
	if !ok {
		return
	}

	l.c.goroutines.Go(func() {
		defer release()

		f(ctx)
	})
}

// Hold keeps Release waiting until release is called. ctx ends with the lease. ok is false
// if the lease is closed.
func (l *Lease) Hold() (ctx context.Context, release func(), ok bool) {
	if !l.join(&l.inFlight) {
		return nil, nil, false
	}

	return l.ctx, l.inFlight.Done, true
}

// SpawnIn runs f in a goroutine that the group counts, unless the lease is closed. f must
// end by itself: Release does not wait for it.
func (l *Lease) SpawnIn(group *sync.WaitGroup, f func()) {
	if !l.join(group) {
		return
	}

	l.c.goroutines.Go(func() {
		defer group.Done()

		f()
	})
}

// join adds one to a wait group, unless the lease is closed: then others may be waiting for
// the group to become empty.
func (l *Lease) join(group *sync.WaitGroup) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.closed {
		return false
	}

	group.Add(1)

	return true
}

// close lets nothing new begin under the lease.
func (l *Lease) close() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.closed = true
}

// Revoke ends at once everything that is done under the lease, which is another
// replica's now, or may be. It returns whether the lease had not ended before.
func (l *Lease) Revoke(cause error) bool {
	l.mu.Lock()
	first := !l.ended
	l.closed = true
	l.ended = true
	l.expiryTimer.Stop()
	l.mu.Unlock()

	if first {
		l.cancel(cause)
		l.c.remove(l)
	}

	return first
}

// Release ends everything that is done under the lease, waits for it, and releases the
// lease in the database, so that the next owner can begin at once.
func (l *Lease) Release(ctx context.Context, cause error) {
	l.close()
	l.cancel(cause)
	l.inFlight.Wait()

	ctx, cancel := context.WithTimeout(ctx, Duration)
	defer cancel()

	err := l.c.WriteNow(ctx, func(tx *store.Tx) error { return tx.ReleaseLease(ctx, l.ID, l.c.Owner, l.Fence) })
	if l.Revoke(cause) && err != nil {
		l.c.Log.Error("cannot release a lease; it expires by itself", "lease", l.ID, "error", err)
	}
}
