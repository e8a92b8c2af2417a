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

// Budgets of API keys. A transaction writes a row of key_spending, or reads it to
// decide, only while it has locked the balance of the key's account. So the row
// needs no lock of its own and shares the balance's place in the order of locks
// (docs/architecture.md). The balance also says whether any key of the account has a
// budget: if none has, budgets cost a task nothing.

// BudgetError means that a task would exceed its API key's budget.
type BudgetError struct {
	Period    account.Period
	Budget    money.Amount
	Remaining money.Amount // of the budget; negative if the budget was reduced below what is spent and held
	RenewsAt  int64        // unix milliseconds
}

// Error names the budget for the log.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("the key's budget of %s a %s has %s left", e.Budget, e.Period, e.Remaining)
}

// window is one period of one key, from its start.
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

// budgetTracker holds the budgets of some keys and what they have spent.
type budgetTracker struct {
	budgets map[string]account.Budget // by key
	sums    map[window]account.Spending
	changed map[window]bool
}

// loadBudgets reads the budgets of the creations' keys, and what they have
// spent. The caller has locked the balances of their accounts.
func (tx *Tx) loadBudgets(ctx context.Context, all []*Creation) (budgetTracker, error) {
	s := budgetTracker{map[string]account.Budget{}, map[window]account.Spending{}, map[window]bool{}}
	if !tx.hasBudget {
		return s, nil
	}

	keys := map[string]bool{}
	for _, c := range all {
		keys[c.Task.Key] = true
	}

	if err := s.load(ctx, tx.Reader, slices.Sorted(maps.Keys(keys))); err != nil {
		return s, err
	}

	for _, c := range all {
		if _, hasBudget := s.budgets[c.Task.Key]; !hasBudget {
			continue
		}

		for _, w := range windowsOf(c.Task) {
			if err := s.initWindow(ctx, tx.Reader, c.Task.Account, w); err != nil {
				return s, err
			}
		}
	}

	return s, nil
}

func (s budgetTracker) load(ctx context.Context, r Reader, keys []string) error {
	type row struct {
		window
		account.Spending
		budget account.Budget
	}

	placeholders, args := r.inList(keys)

	rows, err := queryAll(ctx, r.q, func(s scanner) (w row, err error) {
		return w, s.Scan(&w.key, &w.budget.Day, &w.budget.Month, &w.period, &w.start, &w.Spent, &w.Held)
	}, `SELECT k.id, k.budget_day, k.budget_month, COALESCE(s.period, ''), COALESCE(s.start, 0), COALESCE(s.spent, 0), COALESCE(s.held, 0)
		FROM api_key k LEFT JOIN key_spending s ON s.api_key = k.id WHERE k.id IN (`+placeholders+`) AND (k.budget_day > 0 OR k.budget_month > 0)`, args...)
	for _, w := range rows {
		s.budgets[w.key] = w.budget
		s.sums[w.window] = w.Spending
	}

	return err
}

// initWindow computes the sums of a window that has no row yet: at the first
// task of a period, and if the key had no budget before. It finds ended tasks by
// the time at which they ended, which cannot be long before the period began,
// even if the clocks of several servers differ.
func (s budgetTracker) initWindow(ctx context.Context, r Reader, accountID string, w window) error {
	if _, loaded := s.sums[w]; loaded {
		return nil
	}

	const slack = 60 * 60 * 1000

	sum, err := queryOne(ctx, r.q, func(s scanner) (sum account.Spending, err error) { return sum, s.Scan(&sum.Spent, &sum.Held) },
		`SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT), CAST(COALESCE(SUM(open), 0) AS BIGINT) FROM (
			SELECT cost, 0 AS open, api_key, created_at FROM task WHERE account = $1 AND completed_at > 0 AND completed_at >= $5
			UNION ALL SELECT 0, hold, api_key, created_at FROM task WHERE account = $1 AND state IN ('preparing', 'submitting', 'running', 'collecting')
			UNION ALL SELECT 0, t.hold, t.api_key, t.created_at FROM share u JOIN task t ON t.queue = u.queue AND t.account = u.account AND t.state = 'queued'
				WHERE u.account = $1 AND u.queued > 0
		) AS x WHERE api_key = $2 AND created_at >= $3 AND created_at < $4`, accountID, w.key, w.start, w.period.End(w.start), w.start-slack)
	s.sums[w] = sum

	return err
}

// reserve adds a creation's hold to its windows, or returns an error that names
// the budget that the hold would exceed.
func (s budgetTracker) reserve(c *Creation) error {
	budget, hasBudget := s.budgets[c.Task.Key]
	if !hasBudget {
		return nil
	}

	windows := windowsOf(c.Task)
	for _, w := range windows {
		limit := budget.For(w.period)
		if remaining := s.sums[w].Remaining(limit); limit > 0 && c.Hold.Amount > remaining {
			return &BudgetError{Period: w.period, Budget: limit, Remaining: remaining, RenewsAt: w.period.End(w.start)}
		}
	}

	for _, w := range windows {
		sum := s.sums[w]
		sum.Held += c.Hold.Amount
		s.sums[w] = sum
		s.changed[w] = true
	}

	return nil
}

// statements writes what reserve changed.
func (s budgetTracker) statements() []statement {
	var all []statement
	for _, w := range slices.SortedFunc(maps.Keys(s.changed), func(a, b window) int {
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

// settleKeySpending changes a task's hold to its cost in the periods in which
// the task was created. A period that has no row is not counted.
func (tx *Tx) settleKeySpending(t task.Task) []statement {
	if !tx.hasBudget {
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

// refreshHasBudget updates whether any of an account's keys has a budget.
func (tx *Tx) refreshHasBudget(ctx context.Context, account string) error {
	_, err := tx.exec(ctx, `UPDATE balance SET has_budget = CASE WHEN EXISTS
		(SELECT 1 FROM api_key k WHERE k.account = $1 AND (k.budget_day > 0 OR k.budget_month > 0)) THEN 1 ELSE 0 END WHERE account = $1`, account)

	return err
}

// Spending returns what a key has spent and holds in the periods that contain at
// (unix milliseconds).
func (r Reader) Spending(ctx context.Context, k account.Key, at int64) (map[account.Period]account.Spending, error) {
	s := budgetTracker{map[string]account.Budget{}, map[window]account.Spending{}, nil}
	if err := s.load(ctx, r, []string{k.ID}); err != nil {
		return nil, err
	}

	all := map[account.Period]account.Spending{}

	for _, w := range windowsOf(task.Task{Key: k.ID, CreatedAt: at}) {
		if err := s.initWindow(ctx, r, k.Account, w); err != nil {
			return nil, err
		}

		all[w.period] = s.sums[w]
	}

	return all, nil
}

// UpdateKey lets edit change a key's name, models, expiry, budgets and rates,
// and returns the changed key, or ErrNotFound.
func (tx *Tx) UpdateKey(ctx context.Context, id string, edit func(*account.Key)) (account.Key, error) {
	const query = "SELECT " + keyColumns + " FROM api_key WHERE id = $1"

	k, err := queryOne(ctx, tx.q, scanKey, query, id)
	if err != nil {
		return k, err
	}

	if _, err := tx.LockBalance(ctx, k.Account); err != nil {
		return k, fmt.Errorf("balance of %s: %w", k.Account, err)
	}

	if k, err = queryOne(ctx, tx.q, scanKey, query+tx.d.forUpdate, id); err != nil {
		return k, err
	}

	edit(&k)

	all := []statement{{
		"UPDATE api_key SET name = $2, models = $3, expires_at = $4, budget_day = $5, budget_month = $6, rate_create = $7, rate_read = $8 WHERE id = $1",
		[]any{id, k.Name, strings.Join(k.Models, " "), k.ExpiresAt, int64(k.Budget.Day), int64(k.Budget.Month), k.CreateRate.String(), k.ReadRate.String()},
		1,
	}}
	if k.Budget == (account.Budget{}) { // without a budget its sums would not be kept up to date
		all = append(all, statement{"DELETE FROM key_spending WHERE api_key = $1", []any{id}, anyRows})
	}

	if err := tx.pipeline(ctx, all); err != nil {
		return k, err
	}

	return k, tx.refreshHasBudget(ctx, k.Account)
}

// spendingRetention is how long the sums of a period are kept after its end.
const spendingRetention = 2 * dayMillis

// DeleteSpending deletes the sums of periods that were over at now (unix
// milliseconds).
func (tx *Tx) DeleteSpending(ctx context.Context, now int64) error {
	_, err := tx.exec(ctx, "DELETE FROM key_spending WHERE until < $1", now-spendingRetention)
	return err
}
