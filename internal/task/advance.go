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
	// SaveTask writes the row if its version is still was; false says that
	// somebody else was faster.
	SaveTask(ctx context.Context, t Task, was int64) (bool, error)
	// MoveTurn keeps the account's turn in the lane true for a step from one
	// state to another (rules.md, fair order).
	MoveTurn(ctx context.Context, t Task, from, to State) error
	// LockBalance reads the account's balance for writing.
	LockBalance(ctx context.Context, account string) (credit.Balance, error)
	// SaveBalance writes it with the entries that explain it.
	SaveBalance(ctx context.Context, account string, b credit.Balance, entries ...credit.Entry) error
	// AppendEvent writes the event and plans what it sets off.
	AppendEvent(ctx context.Context, e Event) error
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

// Advance is the one door of change: it checks the law, settles the ledger when
// the task becomes final, keeps the turn, writes the row if its version still
// matches, and appends the event, all in the caller's transaction. It returns
// the task as written, ErrStale, or what broke.
func Advance(ctx context.Context, tx Tx, t Task, step Step) (Task, error) {
	next := t
	step.Edit(&next)
	if err := lawful(t, next); err != nil {
		return t, err
	}
	next.Version = t.Version + 1
	if next.State.Final() && !t.State.Final() {
		if err := settle(ctx, tx, &next, step); err != nil {
			return t, err
		}
	}
	if next.State != t.State {
		if err := tx.MoveTurn(ctx, next, t.State, next.State); err != nil {
			return t, fmt.Errorf("turn of %s: %w", t.ID, err)
		}
	}
	saved, err := tx.SaveTask(ctx, next, t.Version)
	if err != nil {
		return t, fmt.Errorf("save %s: %w", t.ID, err)
	}
	if !saved {
		return t, fmt.Errorf("%s at version %d: %w", t.ID, t.Version, ErrStale)
	}
	event := Event{Task: t.ID, Account: t.Account, Seq: next.Version, State: next.State, Note: step.Note, At: step.At}
	if err := tx.AppendEvent(ctx, event); err != nil {
		return t, fmt.Errorf("event of %s: %w", t.ID, err)
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

// settle divides the hold: a completed task pays for what it used, any other
// end pays nothing. A hold of nothing has no entries.
func settle(ctx context.Context, tx Tx, t *Task, step Step) error {
	t.CompletedAt = step.At
	used := step.Used
	if t.State != Completed {
		used = 0
	}
	if t.Hold == 0 {
		return nil
	}
	capture, release, _ := credit.Settle(t.Hold, used)
	b, err := tx.LockBalance(ctx, t.Account)
	if err != nil {
		return fmt.Errorf("balance of %s: %w", t.Account, err)
	}
	var entries []credit.Entry
	for i, part := range []struct {
		kind   credit.Kind
		amount money.Amount
		apply  func(credit.Balance, money.Amount) (credit.Balance, error)
	}{{credit.KindCapture, capture, credit.Capture}, {credit.KindRelease, release, credit.Release}} {
		if part.amount == 0 {
			continue
		}
		if b, err = part.apply(b, part.amount); err != nil {
			return fmt.Errorf("settle %s: %w", t.ID, err)
		}
		entries = append(entries, credit.Entry{ID: step.Entries[i], Account: t.Account, Task: t.ID, Kind: part.kind, Amount: part.amount, At: step.At})
	}
	t.Cost = capture
	if err := tx.SaveBalance(ctx, t.Account, b, entries...); err != nil {
		return fmt.Errorf("ledger of %s: %w", t.ID, err)
	}
	return nil
}
