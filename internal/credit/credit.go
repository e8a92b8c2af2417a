// Package credit holds the rules of the ledger: what a grant, a hold, a capture
// and a release do to an account's balance. It is pure: each function takes a
// balance and returns the next one. checkout holds, task.Advance captures and
// releases, and the operator grants; store saves the balance together with the
// entry that explains the change, in one transaction. Entries are only ever
// appended.
package credit

import (
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/money"
)

// Kind says what an entry did.
type Kind string

// The kinds of entry.
const (
	KindGrant   Kind = "grant"   // the operator grants credit, or takes it back if the amount is negative
	KindHold    Kind = "hold"    // the most that a task can cost is set aside
	KindCapture Kind = "capture" // the cost of a completed task is spent
	KindRelease Kind = "release" // the part of a hold that was not spent is free again
)

// Balance is an account's credit, in micro-units. Free is never negative.
type Balance struct {
	Granted money.Amount
	Spent   money.Amount
	Held    money.Amount
}

// Free returns the credit that can still be held.
func (b Balance) Free() money.Amount { return b.Granted - b.Spent - b.Held }

// Entry is one line of the ledger. (Task, Kind) is unique where Task is set;
// (Account, Ref) is unique for grants.
type Entry struct {
	ID      string // "entry_" + ULID
	Account string
	Task    string // "" for a grant
	Kind    Kind
	Amount  money.Amount // never negative, except for a grant that takes credit back
	Ref     string       // grants: the operator's reference, unique in the account
	At      int64        // unix milliseconds
}

// ErrInsufficient means that the free credit does not cover the hold, or the
// credit to take back.
var ErrInsufficient = errors.New("insufficient credit")

// Grant adds amount to the granted credit. A negative amount takes credit back,
// at most the free credit.
func Grant(b Balance, amount money.Amount) (Balance, error) {
	granted, err := b.Granted.Add(amount)
	if err != nil {
		return b, err
	}

	b.Granted = granted
	if b.Free() < 0 {
		return b, ErrInsufficient
	}

	return b, nil
}

// Hold sets amount aside, or returns ErrInsufficient.
func Hold(b Balance, amount money.Amount) (Balance, error) {
	if amount < 0 {
		return b, fmt.Errorf("hold %s: the amount is negative", amount)
	}

	if b.Free() < amount {
		return b, ErrInsufficient
	}

	b.Held += amount

	return b, nil
}

// Capture spends amount out of what is held.
func Capture(b Balance, amount money.Amount) (Balance, error) {
	if amount < 0 || amount > b.Held {
		return b, fmt.Errorf("capture %s of %s held", amount, b.Held)
	}

	b.Held -= amount
	b.Spent += amount

	return b, nil
}

// Release frees amount of what is held, without spending it.
func Release(b Balance, amount money.Amount) (Balance, error) {
	if amount < 0 || amount > b.Held {
		return b, fmt.Errorf("release %s of %s held", amount, b.Held)
	}

	b.Held -= amount

	return b, nil
}

// SplitHold divides a hold at the end of a task. capture is the price of what
// was used, but not more than the hold; release is the rest. capture + release =
// hold, exactly. excess is the part of the price above the hold: it is never
// charged, only counted and reported to the operator.
func SplitHold(hold, used money.Amount) (capture, release, excess money.Amount) {
	capture = max(min(used, hold), 0)
	return capture, hold - capture, max(used-hold, 0)
}
