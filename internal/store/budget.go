package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

// Budgets of API keys. A row of key_spending is only ever written, and read in order
// to decide, by who has locked the balance of the key's account: so it needs no lock
// of its own, and stands with the balance in the order of locks (rules.md). That
// balance says whether a key of the account has a budget at all: where none has, a
// task pays nothing for this.

// BudgetError says that an order would take its API key over its budget.
type BudgetError struct {
	Period account.Period
	Budget money.Amount
	Left   money.Amount // of it; below zero when it was made smaller
	Renews int64        // unix milliseconds
}

// Error names the budget for the log.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("the key's budget of %s a %s has %s left", e.Budget, e.Period, e.Left)
}

// window is one key's period of one start.
type window struct {
	key    string
	period account.Period
	start  int64
}

func windowsOf(t task.Task) []window {
	var list []window
	for _, p := range account.Periods() {
		list = append(list, window{t.Key, p, p.Start(t.CreatedAt)})
	}

	return list
}

// spending is what some keys with budgets may spend and have spent.
type spending struct {
	budgets map[string]account.Budget // by key
	sums    map[window]account.Spending
	touched map[window]bool
}

// spend reads what the keys of orders may still spend. Their accounts' balances are
// locked.
func (tx *Tx) spend(ctx context.Context, all []*Creation) (spending, error) {
	s := spending{map[string]account.Budget{}, map[window]account.Spending{}, map[window]bool{}}
	if !tx.budgeted {
		return s, nil
	}

	keys := map[string]bool{}
	for _, c := range all {
		keys[c.Task.Key] = true
	}

	if err := s.read(ctx, tx.Reader, slices.Sorted(maps.Keys(keys))); err != nil {
		return s, err
	}

	for _, c := range all {
		if _, bound := s.budgets[c.Task.Key]; !bound {
			continue
		}

		for _, w := range windowsOf(c.Task) {
			if err := s.begin(ctx, tx.Reader, c.Task.Account, w); err != nil {
				return s, err
			}
		}
	}

	return s, nil
}

func (s spending) read(ctx context.Context, r Reader, keys []string) error {
	type row struct {
		window
		account.Spending
		budget account.Budget
	}

	marks, args := r.list(keys)

	rows, err := collect(ctx, r.q, func(s scanner) (w row, err error) {
		return w, s.Scan(&w.key, &w.budget.Day, &w.budget.Month, &w.period, &w.start, &w.Spent, &w.Held)
	}, `SELECT k.id, k.budget_day, k.budget_month, COALESCE(s.period, ''), COALESCE(s.start, 0), COALESCE(s.spent, 0), COALESCE(s.held, 0)
		FROM api_key k LEFT JOIN key_spending s ON s.api_key = k.id WHERE k.id IN (`+marks+`) AND (k.budget_day > 0 OR k.budget_month > 0)`, args...)
	for _, w := range rows {
		s.budgets[w.key] = w.budget
		s.sums[w.window] = w.Spending
	}

	return err
}

// begin sums up a window that has no row yet: at a period's first order, and when the
// key had no budget before. What ended is found by when it ended, which was not long
// before the period began, whatever the clocks of several servers say.
func (s spending) begin(ctx context.Context, r Reader, acct string, w window) error {
	if _, known := s.sums[w]; known {
		return nil
	}

	const slack = 60 * 60 * 1000

	sum, err := one(ctx, r.q, func(s scanner) (sum account.Spending, err error) { return sum, s.Scan(&sum.Spent, &sum.Held) },
		`SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT), CAST(COALESCE(SUM(open), 0) AS BIGINT) FROM (
			SELECT cost, 0 AS open, api_key, created_at FROM task WHERE account = $1 AND completed_at > 0 AND completed_at >= $5
			UNION ALL SELECT 0, hold, api_key, created_at FROM task WHERE account = $1 AND state IN ('preparing', 'submitting', 'running', 'collecting')
			UNION ALL SELECT 0, t.hold, t.api_key, t.created_at FROM turn u JOIN task t ON t.lane = u.lane AND t.account = u.account AND t.state = 'queued'
				WHERE u.account = $1 AND u.queued > 0
		) AS x WHERE api_key = $2 AND created_at >= $3 AND created_at < $4`, acct, w.key, w.start, w.period.End(w.start), w.start-slack)
	s.sums[w] = sum

	return err
}

// add counts an order's hold, or says which budget it would exceed.
func (s spending) add(c *Creation) error {
	budget, bound := s.budgets[c.Task.Key]
	if !bound {
		return nil
	}

	windows := windowsOf(c.Task)
	for _, w := range windows {
		most := budget.Of(w.period)
		if left := s.sums[w].Left(most); most > 0 && c.Hold.Amount > left {
			return &BudgetError{Period: w.period, Budget: most, Left: left, Renews: w.period.End(w.start)}
		}
	}

	for _, w := range windows {
		sum := s.sums[w]
		sum.Held += c.Hold.Amount
		s.sums[w] = sum
		s.touched[w] = true
	}

	return nil
}

// save writes what add counted.
func (s spending) save() []statement {
	var all []statement
	for _, w := range slices.SortedFunc(maps.Keys(s.touched), func(a, b window) int {
		return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.period, b.period), cmp.Compare(a.start, b.start))
	}) {
		all = append(all, statement{
			`INSERT INTO key_spending (api_key, period, start, until, spent, held) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (api_key, period, start) DO UPDATE SET spent = excluded.spent, held = excluded.held`,
			[]any{w.key, string(w.period), w.start, w.period.End(w.start), int64(s.sums[w].Spent), int64(s.sums[w].Held)},
			1,
		})
	}

	return all
}

// settleBudgets moves what a task held to what it cost, in the periods in which it
// was ordered. A period that has no row is not counted.
func (tx *Tx) settleBudgets(t task.Task) []statement {
	if !tx.budgeted {
		return nil
	}

	var all []statement
	for _, w := range windowsOf(t) {
		all = append(all, statement{
			"UPDATE key_spending SET spent = spent + $4, held = held - $5 WHERE api_key = $1 AND period = $2 AND start = $3",
			[]any{w.key, string(w.period), w.start, int64(t.Cost), int64(t.Hold)},
			anyRows,
		})
	}

	return all
}

// noteBudgets keeps whether an account's keys have budgets.
func (tx *Tx) noteBudgets(ctx context.Context, account string) error {
	_, err := tx.changed(ctx, `UPDATE balance SET budgeted = CASE WHEN EXISTS
		(SELECT 1 FROM api_key k WHERE k.account = $1 AND (k.budget_day > 0 OR k.budget_month > 0)) THEN 1 ELSE 0 END WHERE account = $1`, account)

	return err
}

// Spending is what a key spent and holds of the periods that a time lies in (unix
// milliseconds).
func (r Reader) Spending(ctx context.Context, k account.Key, at int64) (map[account.Period]account.Spending, error) {
	s := spending{map[string]account.Budget{}, map[window]account.Spending{}, nil}
	if err := s.read(ctx, r, []string{k.ID}); err != nil {
		return nil, err
	}

	all := map[account.Period]account.Spending{}

	for _, w := range windowsOf(task.Task{Key: k.ID, CreatedAt: at}) {
		if err := s.begin(ctx, r, k.Account, w); err != nil {
			return nil, err
		}

		all[w.period] = s.sums[w]
	}

	return all, nil
}

// ChangeKey lets edit change a key's name, models, end, budgets and rates, and
// returns the key as it is then, or ErrNotFound.
func (tx *Tx) ChangeKey(ctx context.Context, id string, edit func(*account.Key)) (account.Key, error) {
	const find = "SELECT " + keyColumns + " FROM api_key WHERE id = $1"

	k, err := one(ctx, tx.q, scanKey, find, id)
	if err != nil {
		return k, err
	}

	if _, err := tx.LockBalance(ctx, k.Account); err != nil {
		return k, fmt.Errorf("balance of %s: %w", k.Account, err)
	}

	if k, err = one(ctx, tx.q, scanKey, find+tx.d.forUpdate, id); err != nil {
		return k, err
	}

	edit(&k)

	all := []statement{{
		"UPDATE api_key SET name = $2, models = $3, expires_at = $4, budget_day = $5, budget_month = $6, rate_create = $7, rate_read = $8 WHERE id = $1",
		[]any{id, k.Name, strings.Join(k.Models, " "), k.ExpiresAt, int64(k.Budget.Day), int64(k.Budget.Month), k.Creates.String(), k.Reads.String()},
		1,
	}}
	if k.Budget == (account.Budget{}) { // nobody goes on counting
		all = append(all, statement{"DELETE FROM key_spending WHERE api_key = $1", []any{id}, anyRows})
	}

	if err := tx.together(ctx, all); err != nil {
		return k, err
	}

	return k, tx.noteBudgets(ctx, k.Account)
}

// spendingKept is how long what was spent is kept after its period.
const spendingKept = 2 * dayMillis

// DeleteSpending forgets what was spent in periods that are over at a time (unix
// milliseconds).
func (tx *Tx) DeleteSpending(ctx context.Context, now int64) error {
	_, err := tx.changed(ctx, "DELETE FROM key_spending WHERE until < $1", now-spendingKept)
	return err
}
