package dispatch

import (
	"context"
	"time"

	"github.com/unireel/unireel/internal/dispatch/worker"
)

const (
	resyncInterval = 15 * time.Second
	resyncBatch    = 200 // tasks that are read at once
	// refreshInterval is how often a replica reads the durations that others recorded, and
	// forgets the progress of tasks whose end it was not notified of.
	refreshInterval = time.Minute
)

// runResync carries on, every resyncInterval, the tasks whose changes this replica missed.
func (e *Engine) runResync(ctx context.Context) {
	actor := e.Clock.Actor("resync at " + e.owner)

	for {
		if err := e.resyncMissed(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("cannot look for missed changes", "error", err)
		}

		if !actor.Sleep(ctx, resyncInterval) {
			return
		}
	}
}

// resyncMissed carries on the tasks whose changes were missed: a slow listener may lose some.
func (e *Engine) resyncMissed(ctx context.Context) (err error) {
	preparing, err := e.Store.UnclaimedPreparing(ctx, e.owner, e.Clock.Millis(), resyncBatch)
	if err != nil {
		return err
	}

	for _, id := range preparing {
		e.references.Add(id)
	}

	e.eachWorker(func(w *worker.Worker) {
		if err == nil {
			err = w.Resync(ctx)
		}
	})

	return err
}

// runRefresh reads again what other replicas change, until ctx ends.
func (e *Engine) runRefresh(ctx context.Context) {
	actor := e.Clock.Actor("refresh at " + e.owner)

	for !e.SingleInstance && actor.Sleep(ctx, refreshInterval) {
		if err := e.history.Refresh(ctx); err != nil && ctx.Err() == nil {
			e.Log.Warn("cannot read how long renders take", "error", err)
		}

		for _, id := range e.board.IDs() {
			if t, err := e.Store.Task(ctx, id); err == nil && t.State.Final() {
				e.forget(id)
			}
		}
	}
}
