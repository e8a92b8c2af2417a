package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
)

// Tx is what Advance needs of a transaction. store.Tx implements it.
type Tx interface {
	// LockBalance reads the account's balance and locks it.
	LockBalance(ctx context.Context, account string) (credit.Balance, error)
	// SaveTask locks the share whose counts the step changes, then writes the row
	// if its version is still before's. It returns false if another transaction
	// has changed the task.
	SaveTask(ctx context.Context, before, next Task) (bool, error)
	// SaveEffects writes everything else that a saved step changes.
	SaveEffects(ctx context.Context, c Effects) error
}

// Effects is everything that a step changes besides the row of its task.
type Effects struct {
	Before  Task            // before the step: the difference to After changes the account's shares (docs/architecture.md, the fair order)
	After   Task            // as saved
	Balance *credit.Balance // of the task's account after settling the hold; nil if it does not change
	Entries []credit.Entry  // that explain the change of Balance
	Event   Event           // to append, with the deliveries that it causes
}

// ErrStale means that the task was changed by another transaction in the
// meantime: read it again and decide again.
var ErrStale = errors.New("the task was changed in the meantime")

// Step is one change of a task.
type Step struct {
	At   int64       // unix milliseconds
	Note string      // for the operator
	Edit func(*Task) // changes State and the fields that belong to it
	// EntryIDs are the ids of up to two ledger entries, generated before the
	// transaction and used if the step is final.
	EntryIDs [2]string
	// UsageCost is the price of what the task used. It counts only if the step
	// completes the task.
	UsageCost money.Amount
}

// Advance is the only function that changes a task. In the caller's transaction
// it checks that the transition is allowed, writes the row if its version still
// matches, settles the hold if the task becomes final, updates the counts of the
// account's share, and appends the event. It returns the task as written,
// ErrStale, or another error.
//
// The order of the steps is what makes it safe. The locks of the balance and the
// share are taken first, in the order that all transactions follow
// (docs/architecture.md). Then the version decides whether the step happens at
// all. Only after that are the balance and the share changed. A caller that
// waited for a lock may hold a task that another transaction has settled in the
// meantime; if it changed the balance before it checked the version, the hold
// would be settled twice.
func Advance(ctx context.Context, tx Tx, t Task, step Step) (Task, error) {
	next := t
	step.Edit(&next)

	if err := checkTransition(t, next); err != nil {
		return t, err
	}

	next.Version = t.Version + 1

	var balance *credit.Balance

	if next.State.Final() && !t.State.Final() {
		next.CompletedAt = step.At
		if next.Hold != 0 {
			next.Cost, _ = splitHold(next, step)

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

	effects := Effects{
		Before: t,
		After:  next,
		Event: Event{
			Task:    t.ID,
			Account: t.Account,
			Seq:     next.Version,
			State:   next.State,
			Note:    step.Note,
			At:      step.At,
		},
	}
	if balance != nil {
		settled, entries, err := settleHold(*balance, next, step)
		if err != nil {
			return t, fmt.Errorf("settle %s: %w", t.ID, err)
		}

		effects.Balance = &settled
		effects.Entries = entries
	}

	if err := tx.SaveEffects(ctx, effects); err != nil {
		return t, fmt.Errorf("record %s of %s: %w", next.State, t.ID, err)
	}

	return next, nil
}

// checkTransition returns an error for a transition that is not allowed, and for
// a change of a field that never changes.
func checkTransition(t, next Task) error {
	if next.State != t.State && !t.State.CanBecome(next.State) {
		return fmt.Errorf("task %s: %s cannot become %s", t.ID, t.State, next.State)
	}

	if next.Progress < t.Progress {
		return fmt.Errorf("task %s: progress cannot fall from %d to %d", t.ID, t.Progress, next.Progress)
	}

	if (next.Progress >= 100) != (next.State == Completed) {
		return fmt.Errorf("task %s: progress is %d in state %s", t.ID, next.Progress, next.State)
	}

	if (next.Error != nil) != (next.State == Failed) {
		return fmt.Errorf("task %s: state %s does not go with error %v", t.ID, next.State, next.Error)
	}

	unchanged := next.ID == t.ID && next.Account == t.Account && next.Hold == t.Hold && next.UnitPrice == t.UnitPrice &&
		next.Billing == t.Billing && next.CreatedAt == t.CreatedAt && next.ResolvedModel == t.ResolvedModel
	if !unchanged {
		return fmt.Errorf("task %s: a step cannot change the account, the model or the price", t.ID)
	}

	return nil
}

// splitHold divides a final task's hold into the part to capture and the part to
// release: a completed task pays for what it used, a task that ends in any other
// way pays nothing.
func splitHold(t Task, step Step) (capture, release money.Amount) {
	used := step.UsageCost
	if t.State != Completed {
		used = 0
	}

	capture, release, _ = credit.SplitHold(t.Hold, used)

	return capture, release
}

// settleHold applies a final task's capture and release to the balance, with one
// entry for each of the two that is not zero.
func settleHold(b credit.Balance, t Task, step Step) (credit.Balance, []credit.Entry, error) {
	capture, release := splitHold(t, step)

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

		entries = append(entries, credit.Entry{ID: step.EntryIDs[i], Account: t.Account, Task: t.ID, Kind: part.kind, Amount: part.amount, At: step.At})
	}

	return b, entries, nil
}
