package checkout

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Cancel cancels a task. A task that was not submitted to a supplier is cancelled at once
// and its hold released; for a later state only the request to cancel is stored, and
// dispatch passes it on to the supplier. A final task is returned unchanged.
func (c *Checkout) Cancel(ctx context.Context, account, id string) (task.Task, error) {
	return c.changeTask(ctx, id, taskChange{account: account, edit: requestCancel})
}

// CancelAsAdmin is Cancel for a task of any account, including a deleted one. It writes an
// audit entry.
func (c *Checkout) CancelAsAdmin(ctx context.Context, id string) (task.Task, error) {
	line := c.newAuditLine("task.cancel", id, nil)
	return c.changeTask(ctx, id, taskChange{edit: requestCancel, auditLine: &line})
}

// CancelIfNotSubmitted cancels a task that was not submitted to a supplier, as Cancel does,
// and leaves any other task unchanged, without storing a request to cancel. cancelled
// reports whether it cancelled the task.
func (c *Checkout) CancelIfNotSubmitted(ctx context.Context, account, id string) (cancelled bool, err error) {
	_, err = c.changeTask(ctx, id, taskChange{account: account, edit: func(t *task.Task, now int64) {
		cancelled = !t.State.Submitted() && !t.State.Final()
		if cancelled {
			requestCancel(t, now)
		}
	}})

	return cancelled && err == nil, err
}

// Delete cancels the task and hides it from its account permanently. Its files are deleted
// by the next sweep, or, if the task is not final yet, after it has become final.
func (c *Checkout) Delete(ctx context.Context, account, id string) error {
	_, err := c.changeTask(ctx, id, taskChange{account: account, edit: func(t *task.Task, now int64) {
		requestCancel(t, now)

		t.HiddenAt = now
		if t.State.Final() && t.SweptAt == 0 {
			t.ExpiresAt = now
		}
	}})

	return err
}

// requestCancel applies a cancellation to a task at time now.
func requestCancel(t *task.Task, now int64) {
	if t.State.Final() {
		return
	}

	if t.CancelRequestedAt == 0 {
		t.CancelRequestedAt = now
	}

	if !t.State.Submitted() {
		t.State = task.Cancelled
	}
}

// taskChange is a change of a task, requested by the task's account or by an operator. An
// operator's change is recorded in the audit log.
type taskChange struct {
	account   string
	auditLine *store.AuditEntry // nil: the account requested the change
	edit      func(t *task.Task, now int64)
}

// load reads the task. An account can only read its own tasks.
func (change taskChange) load(ctx context.Context, tx *store.Tx, id string) (task.Task, error) {
	if change.auditLine != nil {
		return tx.Task(ctx, id)
	}

	return tx.TaskOf(ctx, change.account, id)
}

// advance applies the step with task.Advance and writes the audit entry.
func (change taskChange) advance(ctx context.Context, tx *store.Tx, t task.Task, step task.Step) (task.Task, error) {
	if change.auditLine == nil {
		step.Note = "cancelled by the customer"
		return task.Advance(ctx, tx, t, step)
	}

	step.Note = "cancelled by the operator"

	updated, err := task.Advance(ctx, tx, t, step)
	if err != nil {
		return updated, err
	}

	line := *change.auditLine
	line.Detail = map[string]any{"account": t.Account, "state": t.State}

	return updated, tx.InsertAuditEntry(ctx, line)
}

// changeTask applies a change to a task. If the task was changed concurrently
// (task.ErrStale), it reads the task again and repeats. An edit that changes nothing
// writes nothing.
func (c *Checkout) changeTask(ctx context.Context, id string, change taskChange) (task.Task, error) {
	entries := [2]string{c.NewID("entry"), c.NewID("entry")}
	for {
		now := c.millis()

		var updated task.Task

		err := c.Store.Write(ctx, func(tx *store.Tx) error {
			t, err := change.load(ctx, tx, id)
			if err != nil {
				return err
			}

			// The edit is tried on a copy first: if the result is the same, there is nothing
			// to write, and task.Advance is not called.
			updated = t
			next := t
			change.edit(&next, now)

			if next.State == t.State && next.CancelRequestedAt == t.CancelRequestedAt && next.HiddenAt == t.HiddenAt {
				return nil
			}

			updated, err = change.advance(ctx, tx, t, task.Step{At: now, EntryIDs: entries, Edit: func(t *task.Task) { change.edit(t, now) }})

			return err
		})
		switch {
		case errors.Is(err, task.ErrStale):
			continue
		case errors.Is(err, store.ErrNotFound) && change.auditLine != nil:
			return task.Task{}, AdminTaskNotFound()
		case errors.Is(err, store.ErrNotFound):
			return task.Task{}, TaskNotFound()
		case err != nil:
			return task.Task{}, toFault(fmt.Errorf("change %s: %w", id, err))
		}

		return updated, nil
	}
}

// TaskNotFound is the fault for a task that does not exist or belongs to another account.
// The two cases are indistinguishable for the caller.
func TaskNotFound() *fault.Fault {
	return fault.New(fault.CodeVideoNotFound, "id", "This account has no video with this id. GET /v1/videos lists those it has.")
}

// AdminTaskNotFound is the fault for a task that does not exist, as an operator sees it.
func AdminTaskNotFound() *fault.Fault {
	return fault.New(fault.CodeVideoNotFound, "id", "There is no task with this id. GET /admin/v1/tasks lists them.")
}
