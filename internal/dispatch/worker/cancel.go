package worker

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// requestCancel asks the supplier to cancel a task, if it can. It returns whether that
// ended the task.
func (p *poller) requestCancel(ctx context.Context, r *trackedTask) bool {
	env := p.env
	canceler, ok := p.up.Provider.(provider.Canceler)
	agreed := false

	if ok {
		callCtx, cancel := context.WithTimeout(ctx, pollTimeout)

		var err error

		agreed, err = canceler.Cancel(callCtx, provider.RemoteID(r.task.RemoteID))

		cancel()

		if err != nil { // no valid answer: the request stays, and the next poll repeats it
			p.up.RecordFailure(provider.FailureOf(err))
			return false
		}
	}

	p.mu.Lock()
	r.cancelRequested = false
	r.cancelAnswered = true
	p.mu.Unlock()

	if agreed {
		if err := env.Tasks.UntilDurable(ctx, "cancel", r.task.ID, func() error { return p.markCancelled(ctx, r) }); errors.Is(err, record.ErrStateChanged) {
			p.untrack(r)
		}

		return true
	}

	_, err := env.Tasks.Advance(ctx, r.task.ID, record.Step{From: task.Running, Attempt: r.task.Attempt, Note: "cancel refused", Edit: func(t *task.Task) {
		t.CancelRefusedAt = env.Tasks.Clock.Millis()
		record.AddWarning(t, fault.CodeCancelRefused, "The supplier has started this task and cannot stop it; it continues and is charged.")
	}})
	if err != nil && !errors.Is(err, record.ErrStateChanged) {
		env.Tasks.Log.Error("cannot record that the supplier refused to cancel", "task", r.task.ID, "error", err)
	}

	return false
}

// ForwardCancel makes the poller of a running task cancel it, if its customer cancelled it.
func (w *Worker) ForwardCancel(ctx context.Context, id string) {
	if !w.poller.tracks(id) {
		return
	}

	if fresh, err := w.env.store.Task(ctx, id); err == nil && fresh.CancelRequestedAt > 0 && fresh.CancelRefusedAt == 0 {
		w.poller.pollNow(id)
	}
}

func (p *poller) tracks(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.tasks[id] != nil
}
