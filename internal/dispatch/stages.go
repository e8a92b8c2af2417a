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

// stage is how tasks in one state go on: take hands an unfinished task of the
// database to who carries it.
type stage struct {
	state task.State
	owned bool // carried by who serves the task's upstream, from the beginning of each tenure
	take  func(d *Dispatch, ctx context.Context, t task.Task) error
}

// stages is the table: no state without a way on.
var stages = []stage{
	{task.Preparing, false, (*Dispatch).takePreparing},
	{task.Queued, false, nil}, // the lanes are the queue: gates claim from them
	{task.Submitting, true, (*Dispatch).takeSubmitting},
	{task.Running, true, (*Dispatch).takeRunning},
	{task.Collecting, true, (*Dispatch).takeCollecting},
}

// errDecided says that the task is no longer where the step wanted it: somebody
// else decided meanwhile, and there is nothing to do.
var errDecided = errors.New("decided meanwhile")

// step is one change that dispatch wants of a task.
type step struct {
	from    task.State
	attempt int64 // the submission that it is about; 0 is none
	note    string
	edit    func(*task.Task)
	with    func(ctx context.Context, tx *store.Tx) error // what else belongs into the transaction
	used    money.Amount
	fenced  *lease // a decision is made only by who holds this; facts need no lease
}

// advance changes a task that is expected in a state: it reads the row, edits it
// through task.Advance, and does so again when somebody was faster. errDecided
// says that the task has left the state.
func (d *Dispatch) advance(ctx context.Context, id string, s step) (task.Task, error) {
	entries := [2]string{d.NewID("entry"), d.NewID("entry")}

	var next task.Task

	err := d.write(ctx, func(tx *store.Tx) error {
		now := d.millis()

		if s.fenced != nil {
			if err := s.fenced.holds(ctx, tx); err != nil {
				return err
			}
		}

		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		if t.State != s.from || s.attempt != 0 && t.Attempt != s.attempt {
			return fmt.Errorf("%s is %s in attempt %d, not %s in %d: %w", id, t.State, t.Attempt, s.from, s.attempt, errDecided)
		}

		if s.with != nil {
			if err := s.with(ctx, tx); err != nil {
				return err
			}
		}

		next, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: s.note, Edit: func(t *task.Task) {
			s.edit(t)

			if t.State.Final() && t.HiddenAt > 0 && t.State == task.Completed {
				t.ExpiresAt = now // deleted by its owner: the sweep takes the bytes
			}
		}, Entries: entries, Used: s.used})

		return err
	})

	return next, err
}

// fail ends a task with what its customer is told. The step says what goes with it.
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

// insist repeats a write that must not be lost until it is on disk, it turns out
// to be decided already or not ours to decide, or ctx ends.
func (d *Dispatch) insist(ctx context.Context, what, id string, f func() error) error {
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		err := f()
		if err == nil || errors.Is(err, errDecided) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotOwner) || errors.Is(err, store.ErrClosed) {
			return err
		}

		d.Log.Error("cannot write, trying again", "what", what, "task", id, "error", err)

		if !wait(ctx, pause) {
			return err
		}
	}
}
