package lease

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/store"
)

// Work is what is done under a lease.
type Work interface {
	// Run does the work until ctx ends, which it does with the lease.
	Run(ctx context.Context)
	// HandOver finishes what cannot be interrupted and then releases the lease.
	HandOver(ctx context.Context, cause error)
	// InProgress returns how much would have to be taken over by another replica.
	InProgress() int
	// Movable reports whether the work can be handed over now just for balance.
	Movable() bool
}

// Candidate is a lease that this process can hold.
type Candidate struct {
	ID string
	// Shared says that other replicas can hold it too, so that each should hold its share.
	Shared bool
	Begin  func(*Lease) Work
}

// Engine is what the leases are for.
type Engine interface {
	// Version is taken before the rows of the leases are read, and passed to Observed with
	// them.
	Version() int
	// ReadUnclaimed reads, in the transaction that renews the leases, the ids of the tasks
	// that no live replica prepares.
	ReadUnclaimed(ctx context.Context, tx *store.Tx) ([]string, error)
	// Observed is told what was read, before any lease is acquired.
	Observed(rows []store.Lease, version int, unclaimed []string)
	// Candidates lists the leases that this process can hold, given the rows of all leases.
	Candidates(rows map[string]store.Lease) []Candidate
}

// Options are what a Coordinator needs.
type Options struct {
	record.Writer
	Engine      Engine
	Owner       string // by which the database knows this process: random for each start
	ReplicaName string // by which operators know it
	// SingleInstance says that no other process can hold a lease.
	SingleInstance bool
	Clock          clock.Clock
	Log            *slog.Logger
}

// Coordinator manages the leases of this process: it renews them, observes which
// other replicas are alive, acquires free leases up to this replica's fair share, and
// hands one over when another replica serves too few upstreams. All replicas follow
// the same rules; there is no leader.
type Coordinator struct {
	Options
	actor          clock.Actor
	goroutines     sync.WaitGroup
	wakeup         chan struct{}
	leaveAnnounced chan struct{} // closed when the other replicas can see that this one is leaving

	mu           sync.Mutex
	held         map[string]holding
	liveReplicas int // at the last observation
	shuttingDown bool
	handingOver  bool // one lease at a time

	// Only Run uses these.
	freeSince    map[string]time.Time // since when a lease has been free that a replica with fewer upstreams should acquire
	handedOverAt map[string]time.Time // when this replica handed a lease over
}

// holding is a held lease and what is done under it.
type holding struct {
	lease *Lease
	work  Work
}

// NewCoordinator returns a coordinator without leases; Run acquires them.
func NewCoordinator(o Options) *Coordinator {
	return &Coordinator{
		Options:        o,
		actor:          o.Clock.Actor("leases of " + o.Owner),
		wakeup:         make(chan struct{}, 1),
		leaveAnnounced: make(chan struct{}),
		held:           map[string]holding{},
		freeSince:      map[string]time.Time{},
		handedOverAt:   map[string]time.Time{},
	}
}

// Wake makes the coordinator observe the leases now.
func (c *Coordinator) Wake() {
	select {
	case c.wakeup <- struct{}{}:
	default:
	}
}

// Run observes the leases until ctx ends: every renewInterval, when it is woken,
// and when the lease of another replica expires.
func (c *Coordinator) Run(ctx context.Context) {
	var once sync.Once

	announce := func() { once.Do(func() { close(c.leaveAnnounced) }) }
	defer announce()

	timer := time.NewTimer(c.actor.Delay(0))
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wakeup:
			c.actor.Align(ctx)
		case <-timer.C:
		}

		c.mu.Lock()
		shuttingDown := c.shuttingDown
		c.mu.Unlock()
		timer.Reset(c.actor.Delay(c.observe(ctx, shuttingDown)))

		if shuttingDown {
			announce()
		}
	}
}

// snapshot is what one transaction reads: all of it is from the same moment.
type snapshot struct {
	leases    []store.Lease
	replicas  []store.Replica
	unclaimed []string        // tasks in preparing that no replica has claimed
	lost      map[*Lease]bool // leases that could not be renewed, since this replica no longer holds them
}

// observe renews the held leases, reads all leases and replicas in the same
// transaction, and acts on what it read. It returns when to observe again.
//
// Two replicas do not serve one upstream at the same time. A renewed lease lasts
// Duration in the database, by the database's clock; this process trusts it for
// the shorter validFor, measured on its own clocks from before the transaction was
// sent. However long the commit and its answer take, this process therefore stops
// before another replica can acquire the lease. A failed or lost renewal needs no
// handling: the lease keeps its earlier end, and its expiry timer revokes it.
// Decisions check the lease once more, in their own transactions.
func (c *Coordinator) observe(ctx context.Context, shuttingDown bool) time.Duration {
	held := c.leases()
	version := c.Engine.Version()
	sentAt := time.Now()

	txCtx, cancel := context.WithTimeout(ctx, validFor-renewInterval)
	defer cancel()

	var read snapshot

	err := c.WriteNow(txCtx, func(tx *store.Tx) (err error) {
		read, err = c.renewAndRead(ctx, tx, held, shuttingDown)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Error("cannot renew the leases", "error", err)
		}

		return record.MinRetryDelay
	}

	// A lease that could not be renewed is another replica's by now, or may be:
	// everything that is done under it stops before anything else is decided.
	for _, l := range held {
		if read.lost[l] {
			l.Revoke(ErrLost)
			continue
		}

		l.renew(sentAt)
	}

	c.Engine.Observed(read.leases, version, read.unclaimed)

	c.mu.Lock()
	c.liveReplicas = len(read.replicas)
	c.mu.Unlock()

	if !shuttingDown {
		c.acquireOrRebalance(ctx, read)
	}

	// When another replica dies, its lease is acquired as soon as it expires.
	next := renewInterval

	for _, row := range read.leases {
		if remaining := time.Duration(row.Remaining+1) * time.Millisecond; row.Owner != c.Owner && row.Remaining > 0 {
			next = min(next, remaining)
		}
	}

	return next
}

// renewAndRead is observe's transaction.
func (c *Coordinator) renewAndRead(ctx context.Context, tx *store.Tx, held []*Lease, shuttingDown bool) (read snapshot, err error) {
	now := c.Clock.Millis()
	expires := now + Duration.Milliseconds()
	read.lost = map[*Lease]bool{}

	for _, l := range held { // in the order of their ids, in which rows are locked everywhere: no deadlock
		err := tx.RenewLease(ctx, store.Lease{Upstream: store.Upstream{ID: l.ID, Owner: c.Owner, Fence: l.Fence}}, now, expires)
		if read.lost[l] = errors.Is(err, store.ErrNotOwner); err != nil && !read.lost[l] {
			return read, err
		}
	}

	switch {
	case c.SingleInstance:
	case shuttingDown:
		err = tx.RemoveReplica(ctx, c.Owner)
	default:
		err = tx.Heartbeat(ctx, c.replicaRow(), now, Duration.Milliseconds())
	}

	if err != nil {
		return read, err
	}

	if read.leases, err = tx.Leases(ctx, now); err != nil || c.SingleInstance {
		return read, err
	}

	if read.replicas, err = tx.Replicas(ctx, now); err != nil || shuttingDown {
		return read, err
	}

	read.unclaimed, err = c.Engine.ReadUnclaimed(ctx, tx)

	return read, err
}

// acquireOrRebalance acquires the free leases that this replica should have. When all
// shared ones were held already, it may hand one over to another replica.
func (c *Coordinator) acquireOrRebalance(ctx context.Context, read snapshot) {
	rows := map[string]store.Lease{}
	for _, row := range read.leases {
		rows[row.ID] = row
	}

	dist := c.distribution(read)
	allHeld := true

	for _, candidate := range c.Engine.Candidates(rows) {
		row := rows[candidate.ID]
		if c.holds(candidate.ID) || row.Remaining > 0 && row.Owner != c.Owner {
			delete(c.freeSince, candidate.ID)
			continue
		}

		if candidate.Shared {
			allHeld = false

			if c.deferToPeer(candidate.ID, dist) {
				continue
			}
		}

		if c.acquire(ctx, candidate, row) && candidate.Shared {
			dist.own++
		}
	}

	if allHeld {
		c.rebalance(ctx, dist)
	}
}

// acquire acquires a free lease and runs the work for it while it is held.
func (c *Coordinator) acquire(ctx context.Context, candidate Candidate, row store.Lease) bool {
	id := candidate.ID
	now := c.Clock.Millis()
	sentAt := time.Now()

	var fence int64

	err := c.WriteNow(ctx, func(tx *store.Tx) (err error) {
		// The row says that this process holds the lease, but the process gave it up: its
		// own clocks ran out first. Released and acquired again, the lease has a new
		// fence, so that decisions still under way under the old one are refused.
		if row.Remaining > 0 {
			if err := tx.ReleaseLease(ctx, id, c.Owner, row.Fence); err != nil {
				return err
			}
		}

		fence, err = tx.AcquireLease(ctx, id, c.Owner, now, now+Duration.Milliseconds())

		return err
	})
	if err != nil {
		if !errors.Is(err, store.ErrNotOwner) && ctx.Err() == nil {
			c.Log.Error("cannot acquire a lease", "lease", id, "error", err)
		}

		return false
	}

	delete(c.freeSince, id)
	l := c.newLease(ctx, id, fence, sentAt)
	work := candidate.Begin(l)

	c.mu.Lock()
	shuttingDown := c.shuttingDown
	c.held[id] = holding{l, work}
	c.mu.Unlock()

	if shuttingDown { // shutdown began meanwhile and may have listed the held leases already
		l.Release(ctx, ErrShutdown)
		return false
	}

	l.Spawn(work.Run)

	return true
}

// Shutdown hands over every held lease, all at the same time, once the other replicas
// can see that this one is leaving: before that they might leave the freed leases to it.
func (c *Coordinator) Shutdown(ctx context.Context) {
	c.mu.Lock()
	c.shuttingDown = true
	c.mu.Unlock()
	c.Wake()
	<-c.leaveAnnounced

	var wg sync.WaitGroup
	for _, work := range c.Works() {
		wg.Go(func() { work.HandOver(ctx, ErrShutdown) })
	}

	wg.Wait()
}

// Wait waits for everything that was done under leases, after Shutdown.
func (c *Coordinator) Wait() { c.goroutines.Wait() }

// remove removes an ended lease from the held ones.
func (c *Coordinator) remove(l *Lease) {
	c.mu.Lock()
	if c.held[l.ID].lease == l {
		delete(c.held, l.ID)
	}
	c.mu.Unlock()
	c.Wake()
}

// Replicas returns how many replicas are alive.
func (c *Coordinator) Replicas() int {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.liveReplicas
}

// Revoke ends at once everything that this process does under the lease with this id.
func (c *Coordinator) Revoke(id string, cause error) {
	c.mu.Lock()
	held, ok := c.held[id]
	c.mu.Unlock()

	if ok {
		held.lease.Revoke(cause)
	}
}

func (c *Coordinator) holds(id string) bool { return c.Work(id) != nil }

// Work returns what this process does under the lease with this id, or nil.
func (c *Coordinator) Work(id string) Work {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.held[id].work
}

// Works returns what this process does under leases, in the order of their ids.
func (c *Coordinator) Works() []Work {
	var list []Work
	for _, h := range c.holdings() {
		list = append(list, h.work)
	}

	return list
}

// leases returns the held leases, in the order of their ids.
func (c *Coordinator) leases() []*Lease {
	var list []*Lease
	for _, h := range c.holdings() {
		list = append(list, h.lease)
	}

	return list
}

func (c *Coordinator) holdings() []holding {
	c.mu.Lock()
	defer c.mu.Unlock()

	return slices.SortedFunc(maps.Values(c.held), func(a, b holding) int { return strings.Compare(a.lease.ID, b.lease.ID) })
}
