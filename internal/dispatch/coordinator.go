package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Causes of the end of a lease; errLeaseExpired is another one.
var (
	errShutdown        = errors.New("this replica is shutting down")
	errHandedOver      = errors.New("handed over to a replica that serves fewer upstreams")
	errLeaseLost       = errors.New("another replica holds the lease, or may acquire it")
	errUpstreamRemoved = errors.New("the upstream was removed")
)

// coordinator manages the leases of this process: it renews them, observes which
// other replicas are alive, acquires free leases up to this replica's fair share, and
// hands one over when another replica serves too few upstreams. All replicas follow
// the same rules; there is no leader.
type coordinator struct {
	d              *Dispatch
	wakeup         chan struct{}
	leaveAnnounced chan struct{} // closed when the other replicas can see that this one is leaving

	mu           sync.Mutex
	held         map[string]*lease
	liveReplicas int // at the last observation
	shuttingDown bool
	handingOver  bool // one lease at a time

	// Only run uses these.
	freeSince    map[string]time.Time // since when a lease has been free that a replica with fewer upstreams should acquire
	handedOverAt map[string]time.Time // when this replica handed a lease over
}

func newCoordinator(d *Dispatch) *coordinator {
	return &coordinator{
		d:              d,
		wakeup:         make(chan struct{}, 1),
		leaveAnnounced: make(chan struct{}),
		held:           map[string]*lease{},
		freeSince:      map[string]time.Time{},
		handedOverAt:   map[string]time.Time{},
	}
}

// wake makes the coordinator observe the leases now.
func (c *coordinator) wake() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// run observes the leases until ctx ends: every leaseRenewInterval, when it is woken,
// and when the lease of another replica expires.
func (c *coordinator) run(ctx context.Context) {
	var once sync.Once

	announce := func() { once.Do(func() { close(c.leaveAnnounced) }) }
	defer announce()

	timer := time.NewTimer(0)
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wakeup:
		case <-timer.C:
		}

		c.mu.Lock()
		shuttingDown := c.shuttingDown
		c.mu.Unlock()
		timer.Reset(c.observe(ctx, shuttingDown))

		if shuttingDown {
			announce()
		}
	}
}

// leaseSnapshot is what one transaction reads: all of it is from the same moment.
type leaseSnapshot struct {
	leases     []store.Lease
	replicas   []store.Replica
	unprepared []string        // tasks in preparing that no replica has claimed
	lost       map[*lease]bool // leases that could not be renewed, since this replica no longer holds them
}

// observe renews the held leases, reads all leases and replicas in the same
// transaction, and acts on what it read. It returns when to observe again.
//
// Two replicas do not serve one upstream at the same time. A renewed lease lasts
// leaseDuration in the database, by the database's clock; this process trusts it for
// the shorter leaseValidFor, measured on its own clocks from before the transaction was
// sent. However long the commit and its answer take, this process therefore stops
// before another replica can acquire the lease. A failed or lost renewal needs no
// handling: the lease keeps its earlier end, and its expiry timer revokes it.
// Decisions check the lease once more, in their own transactions.
func (c *coordinator) observe(ctx context.Context, shuttingDown bool) time.Duration {
	d := c.d
	held := c.leases()
	version := d.registry.version() // before the rows are read: see syncRows
	sentAt := time.Now()

	txCtx, cancel := context.WithTimeout(ctx, leaseValidFor-leaseRenewInterval)
	defer cancel()

	var snapshot leaseSnapshot

	err := d.writeNow(txCtx, func(tx *store.Tx) (err error) {
		snapshot, err = c.renewAndRead(ctx, tx, held, shuttingDown)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Error("cannot renew the leases", "error", err)
		}

		return minRetryDelay
	}

	// A lease that could not be renewed is another replica's by now, or may be:
	// everything that is done under it stops before anything else is decided.
	for _, l := range held {
		if snapshot.lost[l] {
			l.revoke(errLeaseLost)
			continue
		}

		l.renew(sentAt)
	}

	var rows []store.Upstream

	for _, row := range snapshot.leases {
		if row.ID != store.BackgroundLease {
			rows = append(rows, row.Upstream)
		}
	}

	d.syncRows(rows, version)

	c.mu.Lock()
	c.liveReplicas = len(snapshot.replicas)
	c.mu.Unlock()

	if !shuttingDown {
		for _, id := range snapshot.unprepared {
			d.prepareQueue.add(id)
		}

		c.acquireOrRebalance(ctx, snapshot)
	}

	// When another replica dies, its lease is acquired as soon as it expires.
	next := leaseRenewInterval

	for _, row := range snapshot.leases {
		if remaining := time.Duration(row.Remaining+1) * time.Millisecond; row.Owner != d.owner && row.Remaining > 0 {
			next = min(next, remaining)
		}
	}

	return next
}

func (c *coordinator) renewAndRead(ctx context.Context, tx *store.Tx, held []*lease, shuttingDown bool) (snapshot leaseSnapshot, err error) {
	d := c.d
	now := d.nowMillis()
	expires := now + leaseDuration.Milliseconds()
	snapshot.lost = map[*lease]bool{}

	for _, l := range held { // in the order of their ids, in which rows are locked everywhere: no deadlock
		err := tx.RenewLease(ctx, store.Lease{Upstream: store.Upstream{ID: l.id, Owner: d.owner, Fence: l.fence}}, now, expires)
		if snapshot.lost[l] = errors.Is(err, store.ErrNotOwner); err != nil && !snapshot.lost[l] {
			return snapshot, err
		}
	}

	switch {
	case d.SingleInstance:
	case shuttingDown:
		err = tx.RemoveReplica(ctx, d.owner)
	default:
		err = tx.Heartbeat(ctx, d.replicaRow(), now, leaseDuration.Milliseconds())
	}

	if err != nil {
		return snapshot, err
	}

	if snapshot.leases, err = tx.Leases(ctx, now); err != nil || d.SingleInstance {
		return snapshot, err
	}

	if snapshot.replicas, err = tx.Replicas(ctx, now); err != nil || shuttingDown {
		return snapshot, err
	}

	snapshot.unprepared, err = tx.UnclaimedPreparing(ctx, "", now, sweepBatch)

	return snapshot, err
}

// acquireOrRebalance acquires the free leases that this replica should have. When all
// upstreams were held already, it may hand one over to another replica.
func (c *coordinator) acquireOrRebalance(ctx context.Context, snapshot leaseSnapshot) {
	d := c.d

	rows := map[string]store.Lease{}
	for _, row := range snapshot.leases {
		rows[row.ID] = row
	}

	dist := c.distribution(snapshot)
	allHeld := true

	for _, up := range d.registry.list() {
		row := rows[up.leaseID]
		if c.holds(up.leaseID) || row.Remaining > 0 && row.Owner != d.owner {
			delete(c.freeSince, up.leaseID)
			continue
		}

		if up.leaseID == up.Name {
			allHeld = false

			if c.deferToPeer(up, dist) {
				continue
			}
		}

		if c.acquire(ctx, up.leaseID, row, func(l *lease) func(context.Context) { return newWorker(l, up).run }) && up.leaseID == up.Name {
			dist.own++
		}
	}

	if row := rows[store.BackgroundLease]; !c.holds(store.BackgroundLease) && (row.Remaining == 0 || row.Owner == d.owner) {
		c.acquire(ctx, store.BackgroundLease, row, func(*lease) func(context.Context) { return d.runBackground })
	}

	for id, row := range rows {
		if task.ParseUpstreamID(id).Process != "" && d.upstreamByLease(id) == nil && row.Remaining == 0 && !c.holds(id) {
			c.acquire(ctx, id, row, func(l *lease) func(context.Context) {
				return func(ctx context.Context) { d.requeueDeadRenderer(ctx, l) }
			})
		}
	}

	if allHeld {
		c.rebalance(ctx, dist)
	}
}

// acquire acquires a free lease and runs the work for it while it is held.
func (c *coordinator) acquire(ctx context.Context, id string, row store.Lease, newWork func(*lease) func(context.Context)) bool {
	d := c.d
	now := d.nowMillis()
	sentAt := time.Now()

	var fence int64

	err := d.writeNow(ctx, func(tx *store.Tx) (err error) {
		// The row says that this process holds the lease, but the process gave it up: its
		// own clocks ran out first. Released and acquired again, the lease has a new
		// fence, so that decisions still under way under the old one are refused.
		if row.Remaining > 0 {
			if err := tx.ReleaseLease(ctx, id, d.owner, row.Fence); err != nil {
				return err
			}
		}

		fence, err = tx.AcquireLease(ctx, id, d.owner, now, now+leaseDuration.Milliseconds())

		return err
	})
	if err != nil {
		if !errors.Is(err, store.ErrNotOwner) && ctx.Err() == nil {
			d.Log.Error("cannot acquire a lease", "lease", id, "error", err)
		}

		return false
	}

	delete(c.freeSince, id)
	l := d.newLease(ctx, id, fence, sentAt)
	work := newWork(l)

	c.mu.Lock()
	shuttingDown := c.shuttingDown
	c.held[id] = l
	c.mu.Unlock()

	if shuttingDown { // shutdown began meanwhile and may have listed the held leases already
		l.release(ctx, errShutdown)
		return false
	}

	l.spawn(work)

	return true
}

// shutdown hands over every held lease, all at the same time, once the other replicas
// can see that this one is leaving: before that they might leave the freed leases to it.
func (c *coordinator) shutdown(ctx context.Context) {
	c.mu.Lock()
	c.shuttingDown = true
	c.mu.Unlock()
	c.wake()
	<-c.leaveAnnounced

	var wg sync.WaitGroup
	for _, l := range c.leases() {
		wg.Go(func() {
			if l.worker != nil {
				l.worker.handOver(ctx, errShutdown)
				return
			}

			l.release(ctx, errShutdown)
		})
	}

	wg.Wait()
}

// remove removes an ended lease from the held ones.
func (c *coordinator) remove(l *lease) {
	c.mu.Lock()
	if c.held[l.id] == l {
		delete(c.held, l.id)
	}
	c.mu.Unlock()
	c.wake()
}

// replicaCount returns how many replicas are alive.
func (c *coordinator) replicaCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.liveReplicas
}

func (c *coordinator) holds(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.held[id] != nil
}

// leases returns the held leases, sorted by id.
func (c *coordinator) leases() []*lease {
	c.mu.Lock()
	defer c.mu.Unlock()

	var list []*lease
	for _, l := range c.held {
		list = append(list, l)
	}

	slices.SortFunc(list, func(a, b *lease) int { return strings.Compare(a.id, b.id) })

	return list
}

// worker returns the worker that serves the upstream with this lease here, or nil.
func (c *coordinator) worker(id string) *worker {
	c.mu.Lock()
	defer c.mu.Unlock()

	if l := c.held[id]; l != nil {
		return l.worker
	}

	return nil
}

// workers returns the workers of all upstreams that are served here.
func (c *coordinator) workers() []*worker {
	var list []*worker

	for _, l := range c.leases() {
		if l.worker != nil {
			list = append(list, l.worker)
		}
	}

	return list
}

// requeueDeadRenderer returns the tasks of a renderer whose process is gone to their
// queues, where another renderer claims them, and deletes the renderer's row.
func (d *Dispatch) requeueDeadRenderer(ctx context.Context, l *lease) {
	d.Log.Info("a replica is gone; the tasks of its renderer are queued again", "renderer", l.id)

	for delay := minRetryDelay; ; delay = min(2*delay, maxRetryDelay) {
		err := d.requeueRendererTasks(ctx, l)
		if err == nil {
			break
		}

		if !sleep(ctx, delay) {
			return
		}

		d.Log.Error("cannot requeue the tasks of a renderer, trying again", "renderer", l.id, "error", err)
	}

	err := d.write(ctx, func(tx *store.Tx) error { return tx.DeleteLease(ctx, l.id, d.owner, l.fence) })
	if err != nil && ctx.Err() == nil {
		d.Log.Error("cannot delete the row of a renderer", "renderer", l.id, "error", err)
	}

	l.revoke(errHandedOver)
}

func (d *Dispatch) requeueRendererTasks(ctx context.Context, l *lease) error {
	for _, s := range stages {
		if !s.owned {
			continue
		}

		err := d.eachUnfinished(ctx, l.id, s.state, func(t task.Task) error {
			if err := d.requeueAfterRestart(ctx, t, l); !errors.Is(err, errStateChanged) {
				return err
			}

			return nil
		})
		if err != nil {
			return err
		}
	}

	return nil
}
