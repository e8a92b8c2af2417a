package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// How long a lease lasts and how often it is renewed (rules.md, leases).
const (
	leaseTime  = 10 * time.Second
	leaseRenew = 2 * time.Second
	leaseTrust = 7 * time.Second // from before the renewal was sent, by our own clocks
)

// errLeaseOld says that our lease may have run out while we looked away.
var errLeaseOld = errors.New("the lease was not renewed in time")

// lease is a row that this process alone holds: an upstream that it serves, work
// that it does for all, or what a dead process left. Decisions are made with it.
type lease struct {
	d      *Dispatch
	id     string
	fence  int64
	tenure *tenure         // of an upstream's lease; else nil
	ctx    context.Context // ends with the lease; what is done by its right ends with it
	end    context.CancelCauseFunc

	mu      sync.Mutex
	renewed time.Time // before the last renewal was sent
	watch   *time.Timer
	closed  bool // nothing new begins by its right
	over    bool
	doing   sync.WaitGroup
}

// newLease is a lease that was taken by a write sent at sent.
func (d *Dispatch) newLease(ctx context.Context, id string, fence int64, sent time.Time) *lease {
	l := &lease{d: d, id: id, fence: fence, renewed: sent}
	l.ctx, l.end = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()

	l.watch = time.AfterFunc(leaseTrust-time.Since(sent), l.doubt)

	return l
}

// renew notes that a renewal sent at sent was written.
func (l *lease) renew(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if !l.over {
		l.renewed = sent
		l.watch.Reset(leaseTrust - time.Since(sent))
	}
}

// doubt ends a lease that was not renewed while it could be trusted.
func (l *lease) doubt() {
	l.d.Point("doubting")

	if l.trusted() != nil {
		l.lose(errLeaseOld)
	}
}

// trusted says whether the lease certainly is still ours: Submit asks it before
// the first byte goes out.
func (l *lease) trusted() error {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := time.Now()
	if l.over || now.Sub(l.renewed) >= leaseTrust || now.Round(0).Sub(l.renewed.Round(0)) >= leaseTrust {
		return errLeaseOld
	}

	return nil
}

// holds checks, inside the transaction of a decision, that it is ours to make.
func (l *lease) holds(ctx context.Context, tx *store.Tx) error {
	return tx.Holds(ctx, l.id, l.d.owner, l.fence, l.d.millis())
}

// do runs f until the lease ends, unless that has begun.
func (l *lease) do(f func(context.Context)) {
	if !l.begin(&l.doing) {
		return
	}

	l.d.ended.Go(func() {
		defer l.doing.Done()

		f(l.ctx)
	})
}

// begin counts one more in a group, unless the lease is closed: then nobody new
// may come in while the others are waited for.
func (l *lease) begin(group *sync.WaitGroup) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.closed {
		return false
	}

	group.Add(1)

	return true
}

// close lets nothing new begin.
func (l *lease) close() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.closed = true
}

// lose ends at once what is done by the lease's right: it is somebody else's now,
// or may be.
func (l *lease) lose(why error) bool {
	l.mu.Lock()
	first := !l.over
	l.closed = true
	l.over = true
	l.watch.Stop()
	l.mu.Unlock()

	if first {
		l.end(why)
		l.d.keeper.forget(l)
	}

	return first
}

// drop ends what is done by the lease's right, waits for it, and lets the next
// owner begin.
func (l *lease) drop(ctx context.Context, why error) {
	l.close()
	l.end(why)
	l.doing.Wait()

	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()

	err := l.d.writeNow(ctx, func(tx *store.Tx) error { return tx.DropLease(ctx, l.id, l.d.owner, l.fence) })
	if l.lose(why) && err != nil {
		l.d.Log.Error("cannot drop a lease; it runs out by itself", "lease", l.id, "error", err)
	}
}
