package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// The duration of a lease, how often it is renewed, and how long this process trusts
// it, measured on its own clocks from before the renewal was sent. That is shorter than
// the duration, so that this process stops before another can acquire the lease.
const (
	leaseDuration      = 10 * time.Second
	leaseRenewInterval = 2 * time.Second
	leaseValidFor      = 7 * time.Second
)

// errLeaseExpired says that the lease may have expired in the database.
var errLeaseExpired = errors.New("the lease was not renewed in time")

// lease is the right of this process, and no other, to serve an upstream, to do the
// background work, or to clean up after a dead process. Every decision is made under a lease.
type lease struct {
	d      *Dispatch
	id     string
	fence  int64
	worker *worker         // only for an upstream's lease; else nil
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
func (d *Dispatch) newLease(ctx context.Context, id string, fence int64, sentAt time.Time) *lease {
	l := &lease{d: d, id: id, fence: fence, renewedAt: sentAt}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()

	l.expiryTimer = time.AfterFunc(leaseValidFor-time.Since(sentAt), l.expireIfStale)

	return l
}

// renew extends the lease after the commit of a renewal that was sent at sentAt.
func (l *lease) renew(sentAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if !l.ended {
		l.renewedAt = sentAt
		l.expiryTimer.Reset(leaseValidFor - time.Since(sentAt))
	}
}

// expireIfStale revokes the lease if it was not renewed in time.
func (l *lease) expireIfStale() {
	l.d.FailPoint("expiring-lease")

	if l.checkValid() != nil {
		l.revoke(errLeaseExpired)
	}
}

// checkValid returns an error unless the lease is certainly still held: Submit calls
// it before the first byte goes out. Both clocks count: the monotonic one may stop while
// the machine sleeps, and the wall clock may be set back.
func (l *lease) checkValid() error {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := time.Now()
	if l.ended || now.Sub(l.renewedAt) >= leaseValidFor || now.Round(0).Sub(l.renewedAt.Round(0)) >= leaseValidFor {
		return errLeaseExpired
	}

	return nil
}

// checkHeld checks, inside the transaction of a decision, that this process holds the
// lease and may make the decision.
func (l *lease) checkHeld(ctx context.Context, tx *store.Tx) error {
	return tx.CheckLease(ctx, l.id, l.d.owner, l.fence, l.d.nowMillis())
}

// spawn runs f in a goroutine until the lease ends, unless the lease is closed.
func (l *lease) spawn(f func(context.Context)) {
	if !l.tryAdd(&l.inFlight) {
		return
	}

	l.d.goroutines.Go(func() {
		defer l.inFlight.Done()

		f(l.ctx)
	})
}

// tryAdd adds one to a wait group, unless the lease is closed: then others may be
// waiting for the group to become empty.
func (l *lease) tryAdd(group *sync.WaitGroup) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.closed {
		return false
	}

	group.Add(1)

	return true
}

// close lets nothing new begin under the lease.
func (l *lease) close() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.closed = true
}

// revoke ends at once everything that is done under the lease, which is another
// replica's now, or may be. It returns whether the lease had not ended before.
func (l *lease) revoke(cause error) bool {
	l.mu.Lock()
	first := !l.ended
	l.closed = true
	l.ended = true
	l.expiryTimer.Stop()
	l.mu.Unlock()

	if first {
		l.cancel(cause)
		l.d.coordinator.remove(l)
	}

	return first
}

// release ends everything that is done under the lease, waits for it, and releases the
// lease in the database, so that the next owner can begin at once.
func (l *lease) release(ctx context.Context, cause error) {
	l.close()
	l.cancel(cause)
	l.inFlight.Wait()

	ctx, cancel := context.WithTimeout(ctx, leaseDuration)
	defer cancel()

	err := l.d.writeNow(ctx, func(tx *store.Tx) error { return tx.ReleaseLease(ctx, l.id, l.d.owner, l.fence) })
	if l.revoke(cause) && err != nil {
		l.d.Log.Error("cannot release a lease; it expires by itself", "lease", l.id, "error", err)
	}
}
