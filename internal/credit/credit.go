// Package credit is the ledger's law: what a grant, a hold, a capture and a
// release do to an account's balance. It is pure: it is given a balance and
// returns the next one with the entry that explains it; store keeps both in one
// transaction. checkout holds, task.Advance captures and releases, the operator
// grants. Entries are only ever appended.
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
	KindGrant   Kind = "grant"   // the operator gives (or, below zero, takes back) credit
	KindHold    Kind = "hold"    // the most a task can cost is set aside
	KindCapture Kind = "capture" // what a completed task cost is spent
	KindRelease Kind = "release" // what was held and not spent is free again
)

// Balance is what an account has, in micro-units. Free is always >= 0.
type Balance struct {
	Granted money.Amount
	Spent   money.Amount
	Held    money.Amount
}

// Free is what can still be held.
func (b Balance) Free() money.Amount { return b.Granted - b.Spent - b.Held }

// Entry is one line of the ledger. (Task, Kind) is unique where Task is set;
// (Account, Ref) is unique for grants.
type Entry struct {
	ID      string // "entry_" + ULID
	Account string
	Task    string // "" for a grant
	Kind    Kind
	Amount  money.Amount // >= 0, but for a grant that takes back
	Ref     string       // grants: the operator's reference, once per account
	At      int64        // unix milliseconds
}

// ErrInsufficient says that the free credit does not cover the hold or the
// taking back.
var ErrInsufficient = errors.New("insufficient credit")

// Grant adds amount to what the account was given; below zero it takes back, at
// most what is free.
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
		return b, fmt.Errorf("hold %s: below zero", amount)
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

// Release frees amount of what is held.
func Release(b Balance, amount money.Amount) (Balance, error) {
	if amount < 0 || amount > b.Held {
		return b, fmt.Errorf("release %s of %s held", amount, b.Held)
	}

	b.Held -= amount

	return b, nil
}

// Settle divides a hold at a task's end: capture is the price of what was used,
// at most the hold; the rest is released. Capture + release = hold, exactly.
// excess is what the use would have cost above the hold: it is never charged,
// only counted and alerted.
func Settle(hold, used money.Amount) (capture, release, excess money.Amount) {
	capture = max(min(used, hold), 0)
	return capture, hold - capture, max(used-hold, 0)
}
