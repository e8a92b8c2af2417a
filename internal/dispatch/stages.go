package dispatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// stage is how tasks in one state go on: resume passes an unfinished task from the
// database to the part of dispatch that continues it.
type stage struct {
	state  task.State
	owned  bool // continued by the worker of the task's upstream, which resumes it when it starts
	resume func(d *Dispatch, ctx context.Context, t task.Task) error
}

// stages has an entry for every state that is not final.
var stages = []stage{
	{task.Preparing, false, (*Dispatch).resumePreparing},
	{task.Queued, false, nil}, // submitters claim from the queues
	{task.Submitting, true, (*Dispatch).resumeSubmitting},
	{task.Running, true, (*Dispatch).resumeRunning},
	{task.Collecting, true, (*Dispatch).resumeCollecting},
}

// errStateChanged says that the task is no longer in the state that a step expects:
// another process changed it meanwhile, and there is nothing left to do.
var errStateChanged = errors.New("the task changed meanwhile")

// step is one change of a task.
type step struct {
	from         task.State
	attempt      int64 // the submission that it is about; 0: any
	note         string
	edit         func(*task.Task)
	inTx         func(ctx context.Context, tx *store.Tx) error // further writes in the same transaction
	used         money.Amount
	requireLease *lease // the lease under which the decision is made; nil for facts, which need none
}

// advance changes a task that is expected in a state, in one transaction through
// task.Advance. errStateChanged says that the task has left the state.
func (d *Dispatch) advance(ctx context.Context, id string, s step) (task.Task, error) {
	entries := [2]string{d.NewID("entry"), d.NewID("entry")}

	var next task.Task

	err := d.write(ctx, func(tx *store.Tx) error {
		now := d.nowMillis()

		if s.requireLease != nil {
			if err := s.requireLease.checkHeld(ctx, tx); err != nil {
				return err
			}
		}

		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		if t.State != s.from || s.attempt != 0 && t.Attempt != s.attempt {
			return fmt.Errorf("%s is %s in attempt %d, not %s in %d: %w", id, t.State, t.Attempt, s.from, s.attempt, errStateChanged)
		}

		if s.inTx != nil {
			if err := s.inTx(ctx, tx); err != nil {
				return err
			}
		}

		next, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: s.note, Edit: func(t *task.Task) {
			s.edit(t)

			if t.State.Final() && t.HiddenAt > 0 && t.State == task.Completed {
				t.ExpiresAt = now // its customer deleted it: the sweep deletes the video
			}
		}, EntryIDs: entries, UsageCost: s.used})

		return err
	})

	return next, err
}

// fail fails a task with the fault that its customer sees. The step adds a note, a lease
// and further writes.
func (d *Dispatch) fail(ctx context.Context, t task.Task, f *fault.Fault, s step) error {
	s.from = t.State
	s.attempt = t.Attempt
	s.edit = func(t *task.Task) {
		t.State = task.Failed
		t.Error = &task.Error{Code: string(f.Code), Message: f.Detail, Param: f.Param}
	}

	_, err := d.advance(ctx, t.ID, s)
	if err == nil {
		d.Log.Info("task failed", "task", t.ID, "code", f.Code, "note", s.note)
	}

	return err
}

// retryUntilDurable repeats a write that must not be lost until it is on disk, until it
// turns out to be unnecessary or no longer allowed, or until ctx ends.
func (d *Dispatch) retryUntilDurable(ctx context.Context, operation, id string, write func() error) error {
	for delay := minRetryDelay; ; delay = min(2*delay, maxRetryDelay) {
		err := write()
		if err == nil || errors.Is(err, errStateChanged) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotOwner) || errors.Is(err, store.ErrClosed) {
			return err
		}

		d.Log.Error("cannot write, trying again", "operation", operation, "task", id, "error", err)

		if !sleep(ctx, delay) {
			return err
		}
	}
}
