package dispatch

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/worker"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// stage is who carries on the tasks in one state.
type stage string

// The stages.
const (
	byPreparer stage = "package reference, on the replica that claimed the task"
	byQueue    stage = "the queue, from which submitters claim"
	byWorker   stage = "package worker, on the replica that serves the task's upstream"
)

// stages has an entry for every state that is not final: no task is without a way on.
func stages() map[task.State]stage {
	all := map[task.State]stage{task.Preparing: byPreparer, task.Queued: byQueue}
	for _, state := range worker.OwnedStates {
		all[state] = byWorker
	}

	return all
}

// watchChanges passes every committed change to onChange until ctx ends.
func (e *Engine) watchChanges(ctx context.Context, changes <-chan store.Change) {
	for {
		select {
		case <-ctx.Done():
			return
		case change := <-changes:
			e.onChange(ctx, change)
		}
	}
}

// onChange passes a committed change, of this replica or another, to whom it concerns.
func (e *Engine) onChange(ctx context.Context, change store.Change) {
	switch {
	case change.Released != "":
		e.leases.Wake()
	case change.Task == "": // some changes were missed
		e.leases.Wake()
		e.startSubmitters()
	case change.State == task.Preparing:
		e.references.Add(change.Task)
	case change.State == task.Queued:
		e.startSubmitters() // its queue may be new
	case change.State == task.Submitting:
		e.eachWorker((*worker.Worker).WakeDeferred)
	case change.State == task.Running:
		e.eachWorker(func(w *worker.Worker) {
			w.ForwardCancel(ctx, change.Task)
			w.WakeUncertain(change.Task)
		})
	case change.State.Final():
		e.forget(change.Task)
		e.eachWorker((*worker.Worker).WakeAll)
	}
}

// forget forgets what is in memory of a task that has ended.
func (e *Engine) forget(id string) {
	e.board.Forget(id)
	e.results.Forget(id)
}

func (e *Engine) eachWorker(visit func(*worker.Worker)) {
	for _, w := range (fleet{e}).workers() {
		visit(w)
	}
}

// startSubmitters starts and wakes the submitters of all known queues' routes.
func (e *Engine) startSubmitters() {
	routes := e.queues.Routes()
	e.eachWorker(func(w *worker.Worker) { w.StartSubmitters(routes) })
}

// runBackground does the work that one replica does for all.
func (e *Engine) runBackground(ctx context.Context) {
	if err := e.handleUnconfigured(ctx); err != nil && ctx.Err() == nil {
		e.Log.Warn("cannot look for tasks of upstreams that are no longer configured", "error", err)
	}

	e.cleanup.Run(ctx)
}

// handleUnconfigured handles the tasks of upstreams that are no longer configured: it
// alerts the operator, and collects what was rendered there while that is possible.
func (e *Engine) handleUnconfigured(ctx context.Context) error {
	for _, state := range worker.OwnedStates {
		for after := ""; ; {
			list, err := e.Store.Unfinished(ctx, state, after, resyncBatch)
			if err != nil {
				return err
			}

			for _, t := range list {
				after = t.ID
				switch {
				case e.upstreams.Find(t.Upstream) != nil:
				case state == task.Collecting:
					e.results.Add(t.ID)
				default:
					e.Log.Error("ALERT: the upstream of a task in progress is no longer configured; the task waits for it", "task", t.ID, "state", state, "upstream", t.Upstream)
				}
			}

			if len(list) < resyncBatch {
				break
			}
		}
	}

	return nil
}

// requeueDeadRenderer returns the tasks of a renderer whose process is gone to their
// queues, where another renderer claims them, and deletes the renderer's row.
func (e *Engine) requeueDeadRenderer(ctx context.Context, held *lease.Lease) {
	e.Log.Info("a replica is gone; the tasks of its renderer are queued again", "renderer", held.ID)

	actor := e.Clock.Actor("requeue of " + held.ID + " at " + e.owner)

	for delay := record.MinRetryDelay; ; delay = min(2*delay, record.MaxRetryDelay) {
		err := e.requeueRendererTasks(ctx, held)
		if err == nil {
			break
		}

		if !actor.Sleep(ctx, delay) {
			return
		}

		e.Log.Error("cannot requeue the tasks of a renderer, trying again", "renderer", held.ID, "error", err)
	}

	err := e.tasks.Write(ctx, func(tx *store.Tx) error { return tx.DeleteLease(ctx, held.ID, e.owner, held.Fence) })
	if err != nil && ctx.Err() == nil {
		e.Log.Error("cannot delete the row of a renderer", "renderer", held.ID, "error", err)
	}

	held.Revoke(lease.ErrHandedOver)
}

func (e *Engine) requeueRendererTasks(ctx context.Context, held *lease.Lease) error {
	for _, state := range worker.OwnedStates {
		err := worker.EachUnfinished(ctx, e.Store, held.ID, state, func(t task.Task) error {
			if err := e.tasks.RequeueAfterRestart(ctx, t, held); !errors.Is(err, record.ErrStateChanged) {
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
