// Package record is how the engine writes down what happens to a task. Every part of the
// engine changes tasks through it: it checks that the task is still where the part expects
// it, that the lease under which a decision is made is still held, and lets task.Advance
// make the change, all in one transaction. It also reads a task's request. It never decides
// what happens.
package record

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// The shortest and longest delays before something that failed is tried again; delays
// double in between.
const (
	MinRetryDelay = time.Second
	MaxRetryDelay = time.Minute
)

// ErrStateChanged says that the task is no longer in the state that a step expects: another
// process changed it, and there is nothing left to do.
var ErrStateChanged = errors.New("the task is in another state by now")

// Writer writes to the database.
type Writer struct {
	Store *store.Store
	// FailPoint is called with its name at each line of the table of crashes; tests make it
	// end the process.
	FailPoint func(name string)
}

// Write is for writes that no customer waits for.
func (w Writer) Write(ctx context.Context, f func(*store.Tx) error) error {
	w.FailPoint("writing")
	return w.Store.WriteBackground(ctx, f)
}

// WriteNow is for leases, which must not wait behind the background's writes.
func (w Writer) WriteNow(ctx context.Context, f func(*store.Tx) error) error {
	w.FailPoint("writing")
	return w.Store.Write(ctx, f)
}

// Tasks changes tasks.
type Tasks struct {
	Writer
	Clock clock.Clock
	NewID func(prefix string) string
	Log   *slog.Logger
	// TaskTimeout is how long a task may take, from its creation, while it is prepared and
	// while its submissions fail.
	TaskTimeout time.Duration
}

// Lease is the right under which a decision is made.
type Lease interface {
	// CheckHeld returns store.ErrNotOwner, inside the transaction of a decision, unless this
	// process holds the lease.
	CheckHeld(ctx context.Context, tx *store.Tx) error
}

// Step is one change of a task.
type Step struct {
	From    task.State
	Attempt int64 // the submission that it is about; 0: any
	Note    string
	Edit    func(*task.Task)
	InTx    func(ctx context.Context, tx *store.Tx) error // further writes in the same transaction
	Used    money.Amount
	Lease   Lease // under which the decision is made; nil for facts, which need none
}

// Advance changes a task that is expected in a state. ErrStateChanged says that the task
// has left the state, store.ErrNotOwner that the lease is no longer held.
func (t *Tasks) Advance(ctx context.Context, id string, s Step) (task.Task, error) {
	entries := [2]string{t.NewID("entry"), t.NewID("entry")}

	var next task.Task

	err := t.Write(ctx, func(tx *store.Tx) error {
		now := t.Clock.Millis()

		if s.Lease != nil {
			if err := s.Lease.CheckHeld(ctx, tx); err != nil {
				return err
			}
		}

		present, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		if present.State != s.From || s.Attempt != 0 && present.Attempt != s.Attempt {
			return fmt.Errorf("%s is %s in attempt %d, not %s in %d: %w", id, present.State, present.Attempt, s.From, s.Attempt, ErrStateChanged)
		}

		if s.InTx != nil {
			if err := s.InTx(ctx, tx); err != nil {
				return err
			}
		}

		next, err = task.Advance(ctx, tx, present, task.Step{At: now, Note: s.Note, Edit: func(t *task.Task) {
			s.Edit(t)

			if t.State.Final() && t.HiddenAt > 0 && t.State == task.Completed {
				t.ExpiresAt = now // its customer deleted it: the sweep deletes the video
			}
		}, EntryIDs: entries, UsageCost: s.Used})

		return err
	})

	return next, err
}

// Fail fails a task with the fault that its customer sees. The step adds a note, a lease
// and further writes.
func (t *Tasks) Fail(ctx context.Context, failed task.Task, f *fault.Fault, s Step) error {
	s.From = failed.State
	s.Attempt = failed.Attempt
	s.Edit = func(t *task.Task) {
		t.State = task.Failed
		t.Error = &task.Error{Code: string(f.Code), Message: f.Detail, Param: f.Param}
	}

	_, err := t.Advance(ctx, failed.ID, s)
	if err == nil {
		t.Log.Info("task failed", "task", failed.ID, "code", f.Code, "note", s.Note)
	}

	return err
}

// UntilDurable repeats a write that must not be lost until it is on disk, until it turns
// out to be unnecessary or no longer allowed, or until ctx ends.
func (t *Tasks) UntilDurable(ctx context.Context, operation, id string, write func() error) error {
	actor := t.Clock.Actor(operation + " " + id)

	for delay := MinRetryDelay; ; delay = min(2*delay, MaxRetryDelay) {
		err := write()
		if err == nil || errors.Is(err, ErrStateChanged) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotOwner) || errors.Is(err, store.ErrClosed) {
			return err
		}

		t.Log.Error("cannot write, trying again", "operation", operation, "task", id, "error", err)

		if !actor.Sleep(ctx, delay) {
			return err
		}
	}
}

// TimedOut reports whether a task is older than TaskTimeout.
func (t *Tasks) TimedOut(one task.Task) bool {
	return t.Clock.Millis()-one.CreatedAt > t.TaskTimeout.Milliseconds()
}

// EditAttempt changes the record of a task's present submission.
func EditAttempt(ctx context.Context, tx *store.Tx, t task.Task, edit func(*store.Attempt)) error {
	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}

	edit(&a)

	return tx.SaveAttempt(ctx, a)
}

// AddWarning adds a warning to a task unless the task has it already.
func AddWarning(t *task.Task, code fault.Code, message string) {
	for _, w := range t.Warnings {
		if w.Code == string(code) && w.Message == message {
			return
		}
	}

	t.Warnings = append(t.Warnings[:len(t.Warnings):len(t.Warnings)], task.Warning{Code: string(code), Message: message})
}

// Requeue returns a task to its queue for a new submission.
func Requeue(t *task.Task, now int64) {
	t.State = task.Queued
	t.Upstream = ""
	t.RemoteID = ""
	t.Result = ""
	t.QueuedAt = now
	t.Retries++
}

// StartByPassed is the fault of a task that was not submitted by its start_by time.
func StartByPassed() *fault.Fault {
	return fault.New(fault.CodeExpired, "start_by", "The task could not be submitted before its start_by time. Nothing was charged.")
}

// Facts about suppliers' tasks that several parts of the engine go by.
const (
	MaxResubmissions     = 4                // new submissions after failures of the supplier itself
	RemoteRetention      = 24 * time.Hour   // how long suppliers know a task (DashScope: 24 hours)
	NotFoundConfirmation = 15 * time.Second // between the two answers by which a supplier says that it does not know a task
)

// RequeueAfterRestart returns a task whose renderer is gone to its queue. That does not
// count as one of its retries.
func (t *Tasks) RequeueAfterRestart(ctx context.Context, one task.Task, held Lease) error {
	_, err := t.Advance(ctx, one.ID, Step{
		From:    one.State,
		Attempt: one.Attempt,
		Lease:   held,
		Note:    "the renderer was restarted",
		Edit: func(one *task.Task) {
			if one.CancelRequestedAt > 0 && one.State != task.Collecting {
				one.State = task.Cancelled
				return
			}

			retries := one.Retries
			Requeue(one, t.Clock.Millis())
			one.Retries = retries
		},
	})

	return err
}
