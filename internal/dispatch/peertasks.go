package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/task"
)

// What customers and operators see must not depend on the replica that answers. Each
// replica estimates the progress and the end of tasks at upstreams that other replicas
// serve by itself, from the same past durations.

// peerReadShare bounds the time that is spent on reading those tasks to one part in so many:
// a large installation may have very many in progress.
const peerReadShare = 20

// refreshPeerTasks returns the tasks in progress at upstreams that other replicas serve, or
// that none serves at the moment, and estimates their progress.
func (d *Dispatch) refreshPeerTasks(ctx context.Context) ([]task.Task, error) {
	list := d.peerTasks()
	switch startedAt := d.Now(); {
	case d.SingleInstance || d.servesAll():
		return nil, nil
	case !startedAt.Before(d.nextPeerRead):
		all, err := d.Store.InProgress(ctx)
		if err != nil {
			return nil, err
		}

		list = slices.DeleteFunc(all, func(t task.Task) bool {
			w := d.coordinator.worker(t.Upstream)
			return w != nil && w.isReady()
		})
		d.nextPeerRead = d.Now().Add(peerReadShare*d.Now().Sub(startedAt) - snapshotInterval)
	}

	for _, t := range list {
		progress := t.Progress
		if t.State == task.Running {
			progress = max(progress, d.durations.estimateProgress(t, d.nowMillis()-t.StartedAt))
		}

		d.live.raiseProgress(t.ID, min(progress, maxEstimatedProgress))
	}

	return list, nil
}

// servesAll reports whether this replica serves every upstream and is the only one alive.
func (d *Dispatch) servesAll() bool {
	for _, up := range d.registry.list() {
		if w := d.coordinator.worker(up.leaseID); w == nil || !w.isReady() {
			return false
		}
	}

	return d.coordinator.replicaCount() <= 1
}

// peerTasks returns the tasks that the latest snapshot read.
func (d *Dispatch) peerTasks() []task.Task {
	if list := d.peerTaskList.Load(); list != nil {
		return *list
	}

	return nil
}

// routeSlots returns how many tasks a route takes at once: the present limit of its
// submitter, else what is configured. The embedded renderer counts once for each replica.
func (d *Dispatch) routeSlots(route task.Route) (slots int64) {
	up := d.upstream(route.Upstream)
	if up == nil || !up.allowsModel(route.Model) {
		return 0
	}

	each := int64(up.Limits.InProgress)
	if up.leaseID != up.Name {
		return each * int64(max(1, d.coordinator.replicaCount()))
	}

	if w := d.coordinator.worker(up.leaseID); w != nil && w.isReady() {
		return int64(w.slots.Limit(route.Model))
	}

	return each
}

// refreshInterval is how often a replica reads the durations that others recorded, and
// forgets the progress of tasks whose end it was not notified of.
const refreshInterval = time.Minute

// runRefresh reads again what other replicas change, until ctx ends.
func (d *Dispatch) runRefresh(ctx context.Context) {
	for !d.SingleInstance && sleep(ctx, refreshInterval) {
		if err := d.durations.refresh(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot read how long renders take", "error", err)
		}

		for _, id := range d.live.ids() {
			if t, err := d.Store.Task(ctx, id); err == nil && t.State.Final() {
				d.live.forget(id)
			}
		}
	}
}

// ids lists the tasks of which something is known.
func (l *liveState) ids() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()

	list := make([]string, 0, len(l.tasks))
	for id := range l.tasks {
		list = append(list, id)
	}

	return list
}
