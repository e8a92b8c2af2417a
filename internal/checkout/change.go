package checkout

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Cancel wishes a task's end. What no supplier has is cancelled at once and its
// hold released; of anything later the wish is kept, and dispatch asks the
// supplier. A final task is returned as it is.
func (c *Checkout) Cancel(ctx context.Context, account, id string) (task.Task, error) {
	return c.change(ctx, id, change{account: account, edit: wish})
}

// CancelAsOperator is Cancel of whoever's task, a deleted one too.
func (c *Checkout) CancelAsOperator(ctx context.Context, id string) (task.Task, error) {
	line := c.audited("task.cancel", id, nil)
	return c.change(ctx, id, change{edit: wish, line: &line})
}

// CancelWaiting cancels what no supplier has, as Cancel does, and leaves everything
// else as it is, without a wish; done says whether it did.
func (c *Checkout) CancelWaiting(ctx context.Context, account, id string) (done bool, err error) {
	_, err = c.change(ctx, id, change{account: account, edit: func(t *task.Task, now int64) {
		done = !t.State.Submitted() && !t.State.Final()
		if done {
			wish(t, now)
		}
	}})

	return done && err == nil, err
}

// Delete is Cancel and hides the task from its account for good. Its files go
// with the next sweep, or, while it is not final, when it has become so.
func (c *Checkout) Delete(ctx context.Context, account, id string) error {
	_, err := c.change(ctx, id, change{account: account, edit: func(t *task.Task, now int64) {
		wish(t, now)

		t.HiddenAt = now
		if t.State.Final() && t.SweptAt == 0 {
			t.ExpiresAt = now
		}
	}})

	return err
}

// wish is what cancelling does to a task at now.
func wish(t *task.Task, now int64) {
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

// change is what somebody wants of a task: the account whose task it is, or an
// operator, who leaves a line in the audit log.
type change struct {
	account string
	line    *store.AuditLine // nil: it is the account's own
	edit    func(t *task.Task, now int64)
}

// find reads the task, for its account only the account's own.
func (by change) find(ctx context.Context, tx *store.Tx, id string) (task.Task, error) {
	if by.line != nil {
		return tx.Task(ctx, id)
	}

	return tx.TaskOf(ctx, by.account, id)
}

// write takes the step through the one door.
func (by change) write(ctx context.Context, tx *store.Tx, t task.Task, step task.Step) (task.Task, error) {
	if by.line == nil {
		step.Note = "the customer changed their mind"
		return task.Advance(ctx, tx, t, step)
	}

	step.Note = "the operator wished its end"

	done, err := task.Advance(ctx, tx, t, step)
	if err != nil {
		return done, err
	}

	line := *by.line
	line.Detail = map[string]any{"account": t.Account, "state": t.State}

	return done, tx.NoteAudit(ctx, line)
}

// change applies a change to a task, anew as often as somebody else was faster. An
// edit that changes nothing writes nothing.
func (c *Checkout) change(ctx context.Context, id string, by change) (task.Task, error) {
	entries := [2]string{c.NewID("entry"), c.NewID("entry")}
	for {
		now := c.millis()

		var done task.Task

		err := c.Store.Write(ctx, func(tx *store.Tx) error {
			t, err := by.find(ctx, tx, id)
			if err != nil {
				return err
			}

			done = t
			next := t
			by.edit(&next, now)

			if next.State == t.State && next.CancelRequestedAt == t.CancelRequestedAt && next.HiddenAt == t.HiddenAt {
				return nil
			}

			done, err = by.write(ctx, tx, t, task.Step{At: now, Entries: entries, Edit: func(t *task.Task) { by.edit(t, now) }})

			return err
		})
		switch {
		case errors.Is(err, task.ErrStale):
			continue
		case errors.Is(err, store.ErrNotFound) && by.line != nil:
			return task.Task{}, NoTaskAtAll()
		case errors.Is(err, store.ErrNotFound):
			return task.Task{}, NoTask()
		case err != nil:
			return task.Task{}, explain(fmt.Errorf("change %s: %w", id, err))
		}

		return done, nil
	}
}

// NoTask is what every question about a task of somebody else, or of nobody, is
// answered with.
func NoTask() *fault.Fault {
	return fault.New(fault.CodeNoTask, "id", "This account has no video with this id. GET /v1/videos lists those it has.")
}

// NoTaskAtAll tells an operator that there is no such task.
func NoTaskAtAll() *fault.Fault {
	return fault.New(fault.CodeNoTask, "id", "There is no task of this id. GET /admin/v1/tasks lists them.")
}
