package dispatch

import (
	"context"
	"maps"
	"slices"

	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/dispatch/result"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/dispatch/worker"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// fleet is the engine as its collaborators see it: all upstreams, and the workers of those
// that are served here.
type fleet struct{ e *Engine }

// worker returns the worker that serves the upstream with this lease here, or nil.
func (f fleet) worker(leaseID string) *worker.Worker {
	w, _ := f.e.leases.Work(leaseID).(*worker.Worker)
	return w
}

// workers returns the workers of all upstreams that are served here.
func (f fleet) workers() []*worker.Worker {
	var list []*worker.Worker

	for _, work := range f.e.leases.Works() {
		if w, ok := work.(*worker.Worker); ok {
			list = append(list, w)
		}
	}

	return list
}

// Serves reports whether this replica polls the tasks of the upstream with this id.
func (f fleet) Serves(upstreamID string) bool {
	w := f.worker(upstreamID)
	return w != nil && w.Ready()
}

// ServesAll reports whether this replica serves every upstream and is the only one alive.
func (f fleet) ServesAll() bool {
	if f.e.SingleInstance {
		return true
	}

	for _, up := range f.e.upstreams.List() {
		if !f.Serves(up.LeaseID) {
			return false
		}
	}

	return f.e.leases.Replicas() <= 1
}

// EachTracked calls visit for each task that this replica polls.
func (f fleet) EachTracked(visit func(t task.Task, noProgress bool)) {
	for _, w := range f.workers() {
		w.EachTracked(visit)
	}
}

// PreviewFallbackActive reports whether previews serve requests for real videos.
func (f fleet) PreviewFallbackActive() bool { return f.e.PreviewFallbackActive() }

// Slots returns how many tasks a route takes at once: the present limit of its submitter,
// else what is configured. The embedded renderer counts once for each replica.
func (f fleet) Slots(route task.Route) int64 {
	up := f.e.upstreams.Find(route.Upstream)
	if up == nil || !up.AllowsModel(route.Model) {
		return 0
	}

	each := int64(up.Limits.InProgress)
	if !up.Shared() {
		return each * int64(max(1, f.e.leases.Replicas()))
	}

	if w := f.worker(up.LeaseID); w != nil && w.Ready() {
		return int64(w.Slots(route.Model))
	}

	return each
}

// bestRoute returns the route that the first task of a queue should take. The caller, who
// asks for its own route, has room for it.
func (f fleet) bestRoute(queue, id string, own task.Route) task.Route {
	return f.e.upstreams.Best(f.e.queues.RoutesOf(queue), id, func(up *upstream.Upstream, route task.Route) bool {
		return route == own || f.hasRoom(up, route)
	})
}

// hasRoom reports whether a route could take a task at once. For a route that another
// replica serves, only what the database says is known.
func (f fleet) hasRoom(up *upstream.Upstream, route task.Route) bool {
	state := up.State()
	if state.Desired != store.DesiredServing || state.SuspendedUntil.After(f.e.Clock.Now()) || !up.AllowsModel(route.Model) {
		return false
	}

	if w := f.worker(up.LeaseID); w != nil {
		return w.HasRoom(route.Model)
	}

	inProgress := int64(0)

	for _, t := range f.e.snapshots.PeerTasks() {
		if task.ParseUpstreamID(t.Upstream).Name == up.Name {
			inProgress++
		}
	}

	return inProgress < f.Slots(route)
}

// ResultUpstream returns the upstream of a rendered task, and false when it is no longer
// configured.
func (f fleet) ResultUpstream(id string) (result.Upstream, bool) {
	up := f.e.upstreams.Find(id)
	if up == nil {
		return result.Upstream{}, false
	}

	return result.Upstream{Provider: up.Provider, Capabilities: up.Driver.Capabilities}, true
}

// ResultWorker returns the worker that serves the upstream of a rendered task here, and
// false if none does.
func (f fleet) ResultWorker(id string) (result.Worker, bool) {
	w := f.worker(id)
	return w, w != nil
}

// leaseEngine is the engine as the leases see it.
type leaseEngine struct{ e *Engine }

// Version is taken before the rows of the leases are read.
func (l leaseEngine) Version() int { return l.e.upstreams.Version() }

// ReadUnclaimed reads the ids of the tasks that no live replica prepares.
func (l leaseEngine) ReadUnclaimed(ctx context.Context, tx *store.Tx) ([]string, error) {
	return tx.UnclaimedPreparing(ctx, "", l.e.Clock.Millis(), resyncBatch)
}

// Observed applies what the rows of the upstreams say, and prepares what nobody prepares.
func (l leaseEngine) Observed(rows []store.Lease, version int, unclaimed []string) {
	var upstreams []store.Upstream

	for _, row := range rows {
		if row.ID != store.BackgroundLease {
			upstreams = append(upstreams, row.Upstream)
		}
	}

	l.e.upstreams.SyncRows(upstreams, version)

	for _, id := range unclaimed {
		l.e.references.Add(id)
	}
}

// Candidates lists the leases that this process can hold: of its upstreams, of the
// background work, and of renderers whose process is gone.
func (l leaseEngine) Candidates(rows map[string]store.Lease) []lease.Candidate {
	var list []lease.Candidate

	for _, up := range l.e.upstreams.List() {
		list = append(list, lease.Candidate{
			ID:     up.LeaseID,
			Shared: up.Shared(),
			Begin:  func(held *lease.Lease) lease.Work { return l.e.workers.New(held, up) },
		})
	}

	list = append(list, lease.Candidate{
		ID:    store.BackgroundLease,
		Begin: func(held *lease.Lease) lease.Work { return chore{held, l.e.runBackground} },
	})

	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if task.ParseUpstreamID(id).Process == "" || l.e.upstreams.ByLease(id) != nil || rows[id].Remaining > 0 {
			continue
		}

		list = append(list, lease.Candidate{
			ID: id,
			Begin: func(held *lease.Lease) lease.Work {
				return chore{held, func(ctx context.Context) { l.e.requeueDeadRenderer(ctx, held) }}
			},
		})
	}

	return list
}

// chore is work that can end at any moment, and that nobody needs to balance.
type chore struct {
	*lease.Lease
	run func(context.Context)
}

// Run does the work.
func (c chore) Run(ctx context.Context) { c.run(ctx) }

// HandOver releases the lease.
func (c chore) HandOver(ctx context.Context, cause error) { c.Release(ctx, cause) }

// InProgress returns 0: nothing would have to be taken over.
func (chore) InProgress() int { return 0 }

// Movable returns false.
func (chore) Movable() bool { return false }
