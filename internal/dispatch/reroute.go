package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// rerouteClosed handles the tasks that wait for upstreams that accept no new ones. Queued
// tasks whose queue has no other route move to a queue that has one. If there is none,
// they wait for a draining upstream to be resumed, and fail, free of charge, when it was
// removed. A removed upstream is forgotten when nothing is in progress there.
func (e *Engine) rerouteClosed(ctx context.Context) error {
	rows, err := e.Store.Upstreams(ctx)
	if err != nil {
		return err
	}

	closing := map[string]bool{}
	removed := map[string]bool{}

	for _, row := range rows {
		closing[row.ID] = row.DesiredState == store.DesiredDraining || row.DesiredState == store.DesiredRemoved
		removed[row.ID] = row.DesiredState == store.DesiredRemoved
	}

	queues, err := e.Store.Queues(ctx)
	if err != nil {
		return err
	}

	for _, queue := range queues {
		if queue.Queued == 0 || !onlyVia(queue.ID, closing) {
			continue
		}

		if err := e.rerouteQueue(ctx, queue.ID, onlyVia(queue.ID, removed)); err != nil {
			return err
		}
	}

	for id := range removed {
		if err := e.finishRemoval(ctx, id, removed[id]); err != nil {
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
func (e *Engine) rerouteQueue(ctx context.Context, queue string, failUnroutable bool) error {
	for last := (task.Task{}); ; {
		list, err := e.Store.QueuedTasks(ctx, queue, last, resyncBatch)
		if err != nil {
			return err
		}

		for _, t := range list {
			last = t
			if err := e.rerouteTask(ctx, t, failUnroutable); err != nil && !errors.Is(err, record.ErrStateChanged) {
				return err
			}
		}

		if len(list) < resyncBatch {
			return nil
		}
	}
}

func (e *Engine) rerouteTask(ctx context.Context, t task.Task, failUnroutable bool) error {
	r, err := e.tasks.Request(ctx, t.ID)
	if err != nil {
		return err
	}

	queue, unroutable := e.QueueFor(r.Request)
	switch {
	case unroutable == nil && queue != t.Queue:
		_, err = e.tasks.Advance(ctx, t.ID, record.Step{
			From: task.Queued,
			Note: "its upstream accepts no new tasks; moved to the queue " + queue,
			Edit: func(t *task.Task) { t.Queue = queue },
		})
	case unroutable != nil && failUnroutable:
		noRoute := fault.New(fault.CodeNoRoute, "", "The supplier that this task waited for was removed, and no other supplier can serve it. Nothing was charged.")
		err = e.tasks.Fail(ctx, t, noRoute, record.Step{Note: "its upstream was removed"})
	}

	return err
}

// finishRemoval removes an upstream that nothing is in progress at any more.
func (e *Engine) finishRemoval(ctx context.Context, id string, removed bool) error {
	up := e.upstreams.Find(id)
	if !removed || up == nil || !up.Added() {
		return nil
	}

	deleted := false

	err := e.tasks.Write(ctx, func(tx *store.Tx) (err error) {
		deleted, err = tx.RemoveSetup(ctx, id)
		return err
	})
	if err == nil && deleted {
		e.leases.Wake()
	}

	return err
}
