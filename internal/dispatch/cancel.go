package dispatch

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// requestCancel asks the supplier to cancel a task, if it can. It returns whether that
// ended the task.
func (p *poller) requestCancel(ctx context.Context, r *trackedTask) bool {
	d := p.d
	canceler, ok := p.up.Provider.(provider.Canceler)
	agreed := false

	if ok {
		callCtx, cancel := context.WithTimeout(ctx, pollTimeout)

		var err error

		agreed, err = canceler.Cancel(callCtx, provider.RemoteID(r.task.RemoteID))

		cancel()

		if err != nil { // no valid answer: the request stays, and the next poll repeats it
			p.up.recordFailure(provider.FailureOf(err))
			return false
		}
	}

	p.mu.Lock()
	r.cancelRequested = false
	r.cancelAnswered = true
	p.mu.Unlock()

	if agreed {
		if err := d.retryUntilDurable(ctx, "cancel", r.task.ID, func() error { return p.markCancelled(ctx, r) }); errors.Is(err, errStateChanged) {
			p.untrack(r)
		}

		return true
	}

	_, err := d.advance(ctx, r.task.ID, step{from: task.Running, attempt: r.task.Attempt, note: "cancel refused", edit: func(t *task.Task) {
		t.CancelRefusedAt = d.nowMillis()
		addWarning(t, fault.CodeCancelRefused, "", "The supplier has started this task and cannot stop it; it continues and is charged.")
	}})
	if err != nil && !errors.Is(err, errStateChanged) {
		d.Log.Error("cannot record that the supplier refused to cancel", "task", r.task.ID, "error", err)
	}

	return false
}

// addWarning adds a warning to a task unless the task has it already.
func addWarning(t *task.Task, code fault.Code, param, message string) {
	for _, w := range t.Warnings {
		if w.Code == string(code) && w.Message == message {
			return
		}
	}

	t.Warnings = append(t.Warnings[:len(t.Warnings):len(t.Warnings)], task.Warning{Code: string(code), Param: param, Message: message})
}

// forwardCancel makes the poller of a running task cancel it, if its customer cancelled it.
func (d *Dispatch) forwardCancel(ctx context.Context, id string) {
	for _, w := range d.coordinator.workers() {
		if !w.poller.tracks(id) {
			continue
		}

		if fresh, err := d.Store.Task(ctx, id); err == nil && fresh.CancelRequestedAt > 0 && fresh.CancelRefusedAt == 0 {
			w.poller.pollNow(id)
		}
	}
}

func (p *poller) tracks(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.tasks[id] != nil
}
