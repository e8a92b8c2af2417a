package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// rerouteClosed handles the tasks that wait for upstreams that accept no new ones. Queued
// tasks whose queue has no other route move to a queue that has one. If there is none,
// they wait for a draining upstream to be resumed, and fail, free of charge, when it was
// removed. A removed upstream is forgotten when nothing is in progress there.
func (d *Dispatch) rerouteClosed(ctx context.Context) error {
	rows, err := d.Store.Upstreams(ctx)
	if err != nil {
		return err
	}

	closing := map[string]bool{}
	removed := map[string]bool{}

	for _, row := range rows {
		closing[row.ID] = row.DesiredState == store.DesiredDraining || row.DesiredState == store.DesiredRemoved
		removed[row.ID] = row.DesiredState == store.DesiredRemoved
	}

	queues, err := d.Store.Queues(ctx)
	if err != nil {
		return err
	}

	for _, queue := range queues {
		if queue.Queued == 0 || !onlyVia(queue.ID, closing) {
			continue
		}

		if err := d.rerouteQueue(ctx, queue.ID, onlyVia(queue.ID, removed)); err != nil {
			return err
		}
	}

	for id := range removed {
		if err := d.finishRemoval(ctx, id, removed[id]); err != nil {
			return err
		}
	}

	return nil
}

// onlyVia reports whether every route of a queue belongs to one of these upstreams.
func onlyVia(queue string, upstreams map[string]bool) bool {
	return !slices.ContainsFunc(task.ParseRouteSet(queue), func(r task.Route) bool { return !upstreams[r.Upstream] })
}

// rerouteQueue moves the tasks out of a queue of closed routes. failUnroutable says that
// those that cannot move never will be served.
func (d *Dispatch) rerouteQueue(ctx context.Context, queue string, failUnroutable bool) error {
	for last := (task.Task{}); ; {
		list, err := d.Store.QueuedTasks(ctx, queue, last, sweepBatch)
		if err != nil {
			return err
		}

		for _, t := range list {
			last = t
			if err := d.rerouteTask(ctx, t, failUnroutable); err != nil && !errors.Is(err, errStateChanged) {
				return err
			}
		}

		if len(list) < sweepBatch {
			return nil
		}
	}
}

func (d *Dispatch) rerouteTask(ctx context.Context, t task.Task, failUnroutable bool) error {
	r, _, err := d.loadRequest(ctx, t.ID)
	if err != nil {
		return err
	}

	queue, unroutable := d.QueueFor(r)
	switch {
	case unroutable == nil && queue != t.Queue:
		_, err = d.advance(ctx, t.ID, step{
			from: task.Queued,
			note: "its upstream accepts no new tasks; moved to the queue " + queue,
			edit: func(t *task.Task) { t.Queue = queue },
		})
	case unroutable != nil && failUnroutable:
		noRoute := fault.New(fault.CodeNoRoute, "", "The supplier that this task waited for was removed, and no other supplier can serve it. Nothing was charged.")
		err = d.fail(ctx, t, noRoute, step{note: "its upstream was removed"})
	}

	return err
}

// finishRemoval removes an upstream that nothing is in progress at any more.
func (d *Dispatch) finishRemoval(ctx context.Context, id string, removed bool) error {
	up := d.upstream(id)
	if !removed || up == nil || up.setup == "" {
		return nil
	}

	deleted := false

	err := d.write(ctx, func(tx *store.Tx) (err error) {
		deleted, err = tx.RemoveSetup(ctx, id)
		return err
	})
	if err == nil && deleted {
		d.coordinator.wake()
	}

	return err
}
