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

// background is the lease of the work that one replica does for all.
const background = "~background"

// Why a lease ended; errLeaseOld is the fourth.
var (
	errStopped   = errors.New("this replica ends")
	errGivenUp   = errors.New("given to a replica that serves fewer")
	errLeaseLost = errors.New("another replica has the lease, or may take it")
	errRemoved   = errors.New("the upstream was removed")
)

// keeper keeps the leases of this process: it renews them, sees who else lives,
// takes what is free up to its fair share, and gives one up when another replica
// has too few. All replicas do the same by the same rules; none is the first.
type keeper struct {
	d    *Dispatch
	bell chan struct{}
	left chan struct{} // closed when the others know that we leave

	mu      sync.Mutex
	held    map[string]*lease
	alive   int // replicas, by the last look
	leaving bool
	giving  bool // one at a time

	// Only run uses these.
	free  map[string]time.Time // since when a lease is free that a replica with fewer should take
	given map[string]time.Time // what we gave up, and when
}

func newKeeper(d *Dispatch) *keeper {
	return &keeper{
		d: d, bell: make(chan struct{}, 1), left: make(chan struct{}), held: map[string]*lease{},
		free: map[string]time.Time{}, given: map[string]time.Time{},
	}
}

// wake has the keeper look around now.
func (k *keeper) wake() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

// run looks around until ctx ends: every two seconds, when something was freed,
// and when somebody's lease runs out.
func (k *keeper) run(ctx context.Context) {
	var once sync.Once

	left := func() { once.Do(func() { close(k.left) }) }
	defer left()

	timer := time.NewTimer(0)
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-k.bell:
		case <-timer.C:
		}

		k.mu.Lock()
		leaving := k.leaving
		k.mu.Unlock()
		timer.Reset(k.look(ctx, leaving))

		if leaving {
			left()
		}
	}
}

// sight is what one look sees: all of it at one moment.
type sight struct {
	leases   []store.Lease
	replicas []store.Replica
	tasks    []string // that nobody prepares
	lost     map[*lease]bool
}

// look renews and sees in one transaction, then acts. It says when to look again.
func (k *keeper) look(ctx context.Context, leaving bool) time.Duration {
	d := k.d
	held := k.all()
	mark := d.roster.mark()
	sent := time.Now()

	asking, cancel := context.WithTimeout(ctx, leaseTrust-leaseRenew)
	defer cancel()

	var seen sight

	err := d.writeNow(asking, func(tx *store.Tx) (err error) {
		seen, err = k.see(ctx, tx, held, leaving)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Error("cannot renew the leases", "error", err)
		}

		return retryFirst
	}

	for _, l := range held {
		if seen.lost[l] {
			l.lose(errLeaseLost)
			continue
		}

		l.renew(sent)
	}

	var rows []store.Upstream

	for _, row := range seen.leases {
		if !strings.HasPrefix(row.ID, "~") {
			rows = append(rows, row.Upstream)
		}
	}

	d.meetAll(rows, mark)
	k.mu.Lock()
	k.alive = len(seen.replicas)
	k.mu.Unlock()

	if !leaving {
		for _, id := range seen.tasks {
			d.prepares.add(id)
		}

		k.act(ctx, seen)
	}

	next := leaseRenew

	for _, row := range seen.leases {
		if left := time.Duration(row.Left+1) * time.Millisecond; row.Owner != d.owner && row.Left > 0 {
			next = min(next, left)
		}
	}

	return next
}

func (k *keeper) see(ctx context.Context, tx *store.Tx, held []*lease, leaving bool) (seen sight, err error) {
	d := k.d
	now := d.millis()
	expires := now + leaseTime.Milliseconds()
	seen.lost = map[*lease]bool{}

	for _, l := range held { // in the order of their ids, as rows are locked everywhere
		err := tx.RenewLease(ctx, store.Lease{Upstream: store.Upstream{ID: l.id, Owner: d.owner, Fence: l.fence}}, now, expires)
		if seen.lost[l] = errors.Is(err, store.ErrNotOwner); err != nil && !seen.lost[l] {
			return seen, err
		}
	}

	switch {
	case d.Alone:
	case leaving:
		err = tx.Leave(ctx, d.owner)
	default:
		err = tx.Beat(ctx, d.self(), now, leaseTime.Milliseconds())
	}

	if err != nil {
		return seen, err
	}

	if seen.leases, err = tx.Leases(ctx, now); err != nil || d.Alone {
		return seen, err
	}

	if seen.replicas, err = tx.Replicas(ctx, now); err != nil || leaving {
		return seen, err
	}

	seen.tasks, err = tx.Unprepared(ctx, "", now, sweepAtOnce)

	return seen, err
}

// act takes what is free and ours to take, or gives one up.
func (k *keeper) act(ctx context.Context, seen sight) {
	d := k.d

	rows := map[string]store.Lease{}
	for _, row := range seen.leases {
		rows[row.ID] = row
	}

	p := k.spread(seen)
	allHeld := true

	for _, up := range d.roster.list() {
		row := rows[up.lease]
		if k.has(up.lease) || row.Left > 0 && row.Owner != d.owner {
			delete(k.free, up.lease)
			continue
		}

		if up.lease == up.Name {
			allHeld = false

			if k.leaves(up, p) {
				continue
			}
		}

		if k.take(ctx, up.lease, row, func(l *lease) func(context.Context) { return newTenure(l, up).serve }) && up.lease == up.Name {
			p.mine++
		}
	}

	if row := rows[background]; !k.has(background) && (row.Left == 0 || row.Owner == d.owner) {
		k.take(ctx, background, row, func(*lease) func(context.Context) { return d.background })
	}

	for id, row := range rows {
		if strings.Contains(id, "@") && d.upstreamOf(id) == nil && row.Left == 0 && !k.has(id) {
			k.take(ctx, id, row, func(l *lease) func(context.Context) {
				return func(ctx context.Context) { d.bury(ctx, l) }
			})
		}
	}

	if allHeld {
		k.give(ctx, p)
	}
}

// take makes a free lease ours, and does by its right what work makes of it.
func (k *keeper) take(ctx context.Context, id string, row store.Lease, work func(*lease) func(context.Context)) bool {
	d := k.d
	now := d.millis()
	sent := time.Now()

	var fence int64

	err := d.writeNow(ctx, func(tx *store.Tx) (err error) {
		// What is ours by the row and not by our own clocks begins anew: a past
		// tenure's decisions must not count for the next one.
		if row.Left > 0 {
			if err := tx.DropLease(ctx, id, d.owner, row.Fence); err != nil {
				return err
			}
		}

		fence, err = tx.TakeLease(ctx, id, d.owner, now, now+leaseTime.Milliseconds())

		return err
	})
	if err != nil {
		if !errors.Is(err, store.ErrNotOwner) && ctx.Err() == nil {
			d.Log.Error("cannot take a lease", "lease", id, "error", err)
		}

		return false
	}

	delete(k.free, id)
	l := d.newLease(ctx, id, fence, sent)
	f := work(l)

	k.mu.Lock()
	leaving := k.leaving
	k.held[id] = l
	k.mu.Unlock()

	if leaving { // we were asked to end meanwhile, and what we held then is being handed over
		l.drop(ctx, errStopped)
		return false
	}

	l.do(f)

	return true
}

// leave hands over all that is held, upstream by upstream, once the others know
// that they need not leave anything to us.
func (k *keeper) leave(ctx context.Context) {
	k.mu.Lock()
	k.leaving = true
	k.mu.Unlock()
	k.wake()
	<-k.left

	var all sync.WaitGroup
	for _, l := range k.all() {
		all.Go(func() {
			if l.tenure != nil {
				l.tenure.handOver(ctx, errStopped)
				return
			}

			l.drop(ctx, errStopped)
		})
	}

	all.Wait()
}

// forget takes an ended lease off the list.
func (k *keeper) forget(l *lease) {
	k.mu.Lock()
	if k.held[l.id] == l {
		delete(k.held, l.id)
	}
	k.mu.Unlock()
	k.wake()
}

// living is how many replicas there are.
func (k *keeper) living() int {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.alive
}

func (k *keeper) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.held[id] != nil
}

// all gives the held leases, by id.
func (k *keeper) all() []*lease {
	k.mu.Lock()
	defer k.mu.Unlock()

	var list []*lease
	for _, l := range k.held {
		list = append(list, l)
	}

	slices.SortFunc(list, func(a, b *lease) int { return strings.Compare(a.id, b.id) })

	return list
}

// tenure is the one in which an upstream's lease is served here, or nil.
func (k *keeper) tenure(id string) *tenure {
	k.mu.Lock()
	defer k.mu.Unlock()

	if l := k.held[id]; l != nil {
		return l.tenure
	}

	return nil
}

// tenures lists all that are served here.
func (k *keeper) tenures() []*tenure {
	var list []*tenure

	for _, l := range k.all() {
		if l.tenure != nil {
			list = append(list, l.tenure)
		}
	}

	return list
}

// bury puts the tasks of a renderer whose process is gone back into their lanes,
// where others make them again, and forgets it.
func (d *Dispatch) bury(ctx context.Context, l *lease) {
	d.Log.Info("a replica is gone: its renderer's tasks are made again", "renderer", l.id)

	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		err := d.buryTasks(ctx, l)
		if err == nil {
			break
		}

		if !wait(ctx, pause) {
			return
		}

		d.Log.Error("cannot put a renderer's tasks back, trying again", "renderer", l.id, "error", err)
	}

	err := d.write(ctx, func(tx *store.Tx) error { return tx.DeleteLease(ctx, l.id, d.owner, l.fence) })
	if err != nil && ctx.Err() == nil {
		d.Log.Error("cannot forget a renderer", "renderer", l.id, "error", err)
	}

	l.lose(errGivenUp)
}

func (d *Dispatch) buryTasks(ctx context.Context, l *lease) error {
	for _, s := range stages {
		if !s.owned {
			continue
		}

		err := d.eachAt(ctx, l.id, s.state, func(t task.Task) error {
			if err := d.remake(ctx, t, l); !errors.Is(err, errDecided) {
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
