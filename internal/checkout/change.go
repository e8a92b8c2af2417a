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
	return c.change(ctx, account, id, wish)
}

// Delete is Cancel and hides the task from its account for good. Its files go
// with the next sweep, or, while it is not final, when it has become so.
func (c *Checkout) Delete(ctx context.Context, account, id string) error {
	_, err := c.change(ctx, account, id, func(t *task.Task, now int64) {
		wish(t, now)
		t.HiddenAt = now
		if t.State.Final() && t.SweptAt == 0 {
			t.ExpiresAt = now
		}
	})
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

// change applies edit to an account's task through the one door, anew as often
// as somebody else was faster. An edit that changes nothing writes nothing.
func (c *Checkout) change(ctx context.Context, account, id string, edit func(t *task.Task, now int64)) (task.Task, error) {
	entries := [2]string{c.NewID("entry"), c.NewID("entry")}
	for {
		now := c.millis()
		var done task.Task
		err := c.Store.Write(ctx, func(tx *store.Tx) error {
			t, err := tx.TaskOf(ctx, account, id)
			if err != nil {
				return err
			}
			done = t
			next := t
			edit(&next, now)
			if next.State == t.State && next.CancelRequestedAt == t.CancelRequestedAt && next.HiddenAt == t.HiddenAt {
				return nil
			}
			done, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: "the customer changed their mind", Entries: entries, Edit: func(t *task.Task) { edit(t, now) }})
			return err
		})
		switch {
		case errors.Is(err, task.ErrStale):
			continue
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
