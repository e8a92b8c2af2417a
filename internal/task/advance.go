package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
)

// Tx is what the law needs of a transaction. store.Tx is one.
type Tx interface {
	// LockBalance reads the account's balance for writing.
	LockBalance(ctx context.Context, account string) (credit.Balance, error)
	// SaveTask locks the turn that the step moves, then writes the row if its
	// version still is was's; false says that somebody else was faster.
	SaveTask(ctx context.Context, was, next Task) (bool, error)
	// Record writes what follows from a step that is saved.
	Record(ctx context.Context, c Consequence) error
}

// Consequence is what a step changes beside its task's row.
type Consequence struct {
	Was     Task            // before the step: the account's turns move by the difference (rules.md, fair order)
	Task    Task            // as it was saved
	Balance *credit.Balance // of the task's account after the settlement; nil for none
	Entries []credit.Entry  // that explain it
	Event   Event           // to append, with what it sets off
}

// ErrStale says that the task was changed by somebody else meanwhile: read it
// again and decide anew.
var ErrStale = errors.New("task changed meanwhile")

// Step is one change of a task.
type Step struct {
	At   int64       // unix milliseconds
	Note string      // for the operator
	Edit func(*Task) // what changes: State and the fields that go with it
	// Entries are the ids of up to two ledger entries, made before the
	// transaction; used when the step is final.
	Entries [2]string
	// Used is the price of what a completed task used. Ignored else.
	Used money.Amount
}

// Advance is the one door of change: it checks the law, writes the row if its
// version still matches, settles the ledger when the task becomes final, keeps the
// turn, and appends the event, all in the caller's transaction. It returns the task
// as written, ErrStale, or what broke.
//
// Locks are taken first, in their order; then the version decides; only then are
// the balance and the turn moved. Whoever waited for a lock may hold a task that
// another has settled meanwhile, and what is moved twice does not add up.
func Advance(ctx context.Context, tx Tx, t Task, step Step) (Task, error) {
	next := t
	step.Edit(&next)

	if err := lawful(t, next); err != nil {
		return t, err
	}

	next.Version = t.Version + 1

	var balance *credit.Balance

	if next.State.Final() && !t.State.Final() {
		next.CompletedAt = step.At
		if next.Hold != 0 {
			next.Cost, _ = divide(next, step)

			b, err := tx.LockBalance(ctx, t.Account)
			if err != nil {
				return t, fmt.Errorf("balance of %s: %w", t.Account, err)
			}

			balance = &b
		}
	}

	saved, err := tx.SaveTask(ctx, t, next)
	if err != nil {
		return t, fmt.Errorf("save %s: %w", t.ID, err)
	}

	if !saved {
		return t, fmt.Errorf("%s at version %d: %w", t.ID, t.Version, ErrStale)
	}

	c := Consequence{Was: t, Task: next, Event: Event{Task: t.ID, Account: t.Account, Seq: next.Version, State: next.State, Note: step.Note, At: step.At}}
	if balance != nil {
		settled, entries, err := settle(*balance, next, step)
		if err != nil {
			return t, fmt.Errorf("settle %s: %w", t.ID, err)
		}

		c.Balance = &settled
		c.Entries = entries
	}

	if err := tx.Record(ctx, c); err != nil {
		return t, fmt.Errorf("record %s of %s: %w", next.State, t.ID, err)
	}

	return next, nil
}

// lawful refuses a step that is not in the table, and a change of what a task
// keeps for life.
func lawful(t, next Task) error {
	if next.State != t.State && !t.State.MayBecome(next.State) {
		return fmt.Errorf("task %s: %s may not become %s", t.ID, t.State, next.State)
	}

	if next.Progress < t.Progress {
		return fmt.Errorf("task %s: progress %d may not fall to %d", t.ID, t.Progress, next.Progress)
	}

	if (next.Progress >= 100) != (next.State == Completed) {
		return fmt.Errorf("task %s: progress %d while %s", t.ID, next.Progress, next.State)
	}

	if (next.Error != nil) != (next.State == Failed) {
		return fmt.Errorf("task %s: %s and an error do not go together (error %v)", t.ID, next.State, next.Error)
	}

	same := next.ID == t.ID && next.Account == t.Account && next.Hold == t.Hold && next.UnitPrice == t.UnitPrice &&
		next.Billing == t.Billing && next.CreatedAt == t.CreatedAt && next.Resolved == t.Resolved
	if !same {
		return fmt.Errorf("task %s: a step may not change its owner, model or price", t.ID)
	}

	return nil
}

// divide says what of a final task's hold is captured and what is released: a
// completed task pays for what it used, any other end pays nothing.
func divide(t Task, step Step) (capture, release money.Amount) {
	used := step.Used
	if t.State != Completed {
		used = 0
	}

	capture, release, _ = credit.Settle(t.Hold, used)

	return capture, release
}

// settle moves the balance for a final task, with an entry for each part of its
// hold that is not nothing.
func settle(b credit.Balance, t Task, step Step) (credit.Balance, []credit.Entry, error) {
	capture, release := divide(t, step)

	var entries []credit.Entry

	for i, part := range []struct {
		kind   credit.Kind
		amount money.Amount
		apply  func(credit.Balance, money.Amount) (credit.Balance, error)
	}{{credit.KindCapture, capture, credit.Capture}, {credit.KindRelease, release, credit.Release}} {
		if part.amount == 0 {
			continue
		}

		var err error
		if b, err = part.apply(b, part.amount); err != nil {
			return b, nil, err
		}

		entries = append(entries, credit.Entry{ID: step.Entries[i], Account: t.Account, Task: t.ID, Kind: part.kind, Amount: part.amount, At: step.At})
	}

	return b, entries, nil
}
