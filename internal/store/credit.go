package store

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/internal/credit"
)

func scanBalance(s scanner) (b credit.Balance, err error) {
	return b, s.Scan(&b.Granted, &b.Spent, &b.Held)
}

// Balance reads an account's balance, or ErrNotFound.
func (r Reader) Balance(ctx context.Context, account string) (credit.Balance, error) {
	return queryOne(ctx, r.q, scanBalance, "SELECT granted, spent, held FROM balance WHERE account = $1", account)
}

// lockedBalance is a balance that was read with a lock.
type lockedBalance struct {
	account string
	credit.Balance
	hasBudget bool // a key of the account has a budget
}

func scanLockedBalance(s scanner) (b lockedBalance, err error) {
	return b, s.Scan(&b.account, &b.Granted, &b.Spent, &b.Held, &b.hasBudget)
}

const lockedBalanceColumns = "account, granted, spent, held, has_budget"

// LockBalance reads an account's balance and locks it.
func (tx *Tx) LockBalance(ctx context.Context, account string) (credit.Balance, error) {
	b, err := queryOne(ctx, tx.q, scanLockedBalance, "SELECT "+lockedBalanceColumns+" FROM balance WHERE account = $1"+tx.d.forUpdate, account)
	tx.hasBudget = tx.hasBudget || b.hasBudget

	return b.Balance, err
}

// SaveBalance writes a balance together with the entries that explain the
// change.
func (tx *Tx) SaveBalance(ctx context.Context, account string, b credit.Balance, entries ...credit.Entry) error {
	if err := tx.pipeline(ctx, balanceStatements(account, b, entries)); err != nil {
		return fmt.Errorf("save balance of %s: %w", account, err)
	}

	return nil
}

func balanceStatements(account string, b credit.Balance, entries []credit.Entry) []statement {
	all := []statement{{
		"UPDATE balance SET granted = $2, spent = $3, held = $4 WHERE account = $1",
		[]any{account, int64(b.Granted), int64(b.Spent), int64(b.Held)},
		1,
	}}
	for _, e := range entries {
		all = append(all, statement{
			"INSERT INTO entry (" + entryColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7)",
			[]any{e.ID, e.Account, e.Task, string(e.Kind), int64(e.Amount), e.Ref, e.At},
			1,
		})
	}

	return all
}

const entryColumns = "id, account, task, kind, amount, ref, at"

func scanEntry(s scanner) (e credit.Entry, err error) {
	return e, s.Scan(&e.ID, &e.Account, &e.Task, &e.Kind, &e.Amount, &e.Ref, &e.At)
}

// GrantByRef finds an account's grant by the operator's reference, or
// ErrNotFound. A reference grants only once.
func (r Reader) GrantByRef(ctx context.Context, account, ref string) (credit.Entry, error) {
	return queryOne(ctx, r.q, scanEntry, "SELECT "+entryColumns+" FROM entry WHERE account = $1 AND ref = $2 AND kind = 'grant'", account, ref)
}

// Entries lists an account's ledger entries older than before ("" for the
// newest), newest first, at most limit.
func (r Reader) Entries(ctx context.Context, account, before string, limit int) ([]credit.Entry, error) {
	if before == "" {
		before = "~"
	}

	return queryAll(ctx, r.q, scanEntry, "SELECT "+entryColumns+" FROM entry WHERE account = $1 AND id < $2 ORDER BY id DESC LIMIT $3", account, before, limit)
}

// EntriesOf lists the ledger entries of a task.
func (r Reader) EntriesOf(ctx context.Context, task string) ([]credit.Entry, error) {
	return queryAll(ctx, r.q, scanEntry, "SELECT "+entryColumns+" FROM entry WHERE task = $1 AND task <> '' ORDER BY kind", task)
}

// Totals returns the sum of all balances.
func (r Reader) Totals(ctx context.Context) (credit.Balance, error) {
	return queryOne(ctx, r.q, scanBalance, "SELECT COALESCE(SUM(granted), 0), COALESCE(SUM(spent), 0), COALESCE(SUM(held), 0) FROM balance")
}
