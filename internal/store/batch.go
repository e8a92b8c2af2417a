package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/task"
)

// createAll writes many creations in one transaction, a statement for each table
// (PostgreSQL). Rows are locked in the order of rules.md: keys, balances, turns,
// tasks, lanes, each ascending. What is taken or declined of them is in each; the
// others are written. All that needs no answer before the next statement goes to
// the database at once: a hot balance is locked for one exchange and the commit.
func (tx *Tx) createAll(ctx context.Context, all []*Creation) error {
	for _, c := range all {
		c.taken = nil
		c.declined = nil
	}

	if err := tx.takeKeys(ctx, all); err != nil {
		return fmt.Errorf("create %d tasks, keys: %w", len(all), err)
	}

	writes, err := tx.holdAll(ctx, undecided(all))
	if err != nil {
		return fmt.Errorf("create %d tasks, holds: %w", len(all), err)
	}

	left := undecided(all)
	if err := tx.insertFiles(ctx, left); err != nil {
		return fmt.Errorf("create %d tasks, files: %w", len(all), err)
	}

	tasks, err := tx.insertTasks(left)
	if err != nil {
		return fmt.Errorf("create %d tasks: %w", len(all), err)
	}

	if err := tx.together(ctx, slices.Concat(writes, joinAll(left), tasks, tx.toldOf(left))); err != nil {
		return fmt.Errorf("create %d tasks: %w", len(all), err)
	}

	for _, c := range all {
		if c.BeforeCommit != nil && c.taken == nil && c.declined == nil {
			c.BeforeCommit()
		}
	}

	return nil
}

// undecided are those that are neither taken nor declined.
func undecided(all []*Creation) []*Creation {
	return slices.DeleteFunc(slices.Clone(all), func(c *Creation) bool { return c.taken != nil || c.declined != nil })
}

type keyOf struct{ account, key string }

func (i Idempotency) id() keyOf { return keyOf{i.Account, i.Key} }

// takeKeys writes the idempotency keys; which of them stand for another task
// already is read back.
func (tx *Tx) takeKeys(ctx context.Context, all []*Creation) error {
	keyed := slices.DeleteFunc(slices.Clone(all), func(c *Creation) bool { return c.Key.Key == "" })
	if len(keyed) == 0 {
		return nil
	}

	slices.SortFunc(keyed, func(a, b *Creation) int {
		return cmp.Or(strings.Compare(a.Key.Account, b.Key.Account), strings.Compare(a.Key.Key, b.Key.Key))
	})
	rows := make([][]any, len(keyed))
	now := int64(0)

	for i, c := range keyed {
		rows[i] = []any{c.Key.Account, c.Key.Key, c.Key.BodyHash, c.Key.Task, c.Key.Expires}
		now = max(now, c.Task.CreatedAt)
	}

	take := insertMany("idempotency (account, key, body_hash, task, expires)", rows,
		` ON CONFLICT (account, key) DO UPDATE SET body_hash = excluded.body_hash, task = excluded.task, expires = excluded.expires WHERE idempotency.expires <= $6`, now)
	if _, err := tx.changed(ctx, take.text, take.args...); err != nil {
		return err
	}

	accounts := make([]string, len(keyed))

	names := make([]string, len(keyed))
	for i, c := range keyed {
		accounts[i] = c.Key.Account
		names[i] = c.Key.Key
	}

	stand, err := collect(ctx, tx.q, scanIdempotency, `SELECT i.account, i.key, i.body_hash, i.task, i.expires FROM idempotency i
		JOIN unnest($1::text[], $2::text[]) AS x(account, key) ON i.account = x.account AND i.key = x.key`, accounts, names)
	if err != nil {
		return err
	}

	by := map[keyOf]Idempotency{}
	for _, s := range stand {
		by[s.id()] = s
	}

	for _, c := range keyed {
		if s := by[c.Key.id()]; s.Task != c.Task.ID {
			c.taken = &s
		}
	}

	return nil
}

// holdAll locks the balances in order, decides each creation in turn, and returns
// what is to be written of it. Who cannot pay gives the key back.
func (tx *Tx) holdAll(ctx context.Context, all []*Creation) ([]statement, error) {
	paid := slices.DeleteFunc(slices.Clone(all), func(c *Creation) bool { return c.Hold.Amount == 0 })
	if len(paid) == 0 {
		return nil, nil
	}

	names := map[string]bool{}
	for _, c := range paid {
		names[c.Hold.Account] = true
	}

	rows, err := collect(ctx, tx.q, scanLocked,
		"SELECT "+lockedColumns+" FROM balance WHERE account = ANY($1::text[]) ORDER BY account FOR UPDATE", slices.Sorted(maps.Keys(names)))
	if err != nil {
		return nil, err
	}

	balances := map[string]credit.Balance{}
	for _, l := range rows {
		balances[l.account] = l.Balance
		tx.budgeted = tx.budgeted || l.budgeted
	}

	spent, err := tx.spend(ctx, paid)
	if err != nil {
		return nil, err
	}

	var entries [][]any

	for _, c := range paid {
		b, ok := balances[c.Hold.Account]
		if !ok {
			c.declined = fmt.Errorf("balance of %s: %w", c.Hold.Account, ErrNotFound)
			continue
		}

		next, err := credit.Hold(b, c.Hold.Amount)
		if errors.Is(err, credit.ErrInsufficient) {
			err = &InsufficientError{b}
		}

		if err == nil {
			err = spent.add(c)
		}

		if err != nil {
			c.declined = err
			continue
		}

		balances[c.Hold.Account] = next
		e := c.Hold
		entries = append(entries, []any{e.ID, e.Account, e.Task, string(e.Kind), int64(e.Amount), e.Ref, e.At})
	}

	writes := slices.Concat([]statement{saveHeld(balances)}, spent.save(), giveKeysBack(paid))
	if len(entries) > 0 {
		writes = append(writes, insertMany("entry ("+entryColumns+")", entries, ""))
	}

	return writes, nil
}

func saveHeld(balances map[string]credit.Balance) statement {
	var (
		accounts []string
		held     []int64
	)

	for account, b := range balances {
		accounts = append(accounts, account)
		held = append(held, int64(b.Held))
	}

	return statement{`UPDATE balance SET held = x.held FROM unnest($1::text[], $2::bigint[]) AS x(account, held)
		WHERE balance.account = x.account AND balance.held <> x.held`, []any{accounts, held}, anyRows}
}

// giveKeysBack frees the keys of those who were declined: a refusal leaves a key
// free.
func giveKeysBack(all []*Creation) []statement {
	var tasks, accounts, names []string

	for _, c := range all {
		if c.declined != nil && c.Key.Key != "" {
			tasks = append(tasks, c.Task.ID)
			accounts = append(accounts, c.Key.Account)
			names = append(names, c.Key.Key)
		}
	}

	if len(tasks) == 0 {
		return nil
	}

	return []statement{{`DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::text[]) AS x(task, account, key)
		WHERE i.account = x.account AND i.key = x.key AND i.task = x.task`, []any{tasks, accounts, names}, anyRows}}
}

func (tx *Tx) insertFiles(ctx context.Context, all []*Creation) error {
	for _, c := range all {
		for _, f := range c.Files {
			if err := tx.InsertFile(ctx, f); err != nil {
				return err
			}
		}
	}

	return nil
}

// place is an account's turn in a lane.
type place struct{ lane, account string }

// joinAll counts the queued creations in their turns, each turn once.
func joinAll(all []*Creation) []statement {
	counts := map[place]int64{}

	for _, c := range all {
		if c.Task.State == task.Queued {
			counts[place{c.Task.Lane, c.Task.Account}]++
		}
	}

	if len(counts) == 0 {
		return nil
	}

	order := slices.SortedFunc(maps.Keys(counts), func(a, b place) int {
		return cmp.Or(strings.Compare(a.lane, b.lane), strings.Compare(a.account, b.account))
	})
	lanes := make([]string, len(order))
	accounts := make([]string, len(order))

	queued := make([]int64, len(order))
	for i, p := range order {
		lanes[i] = p.lane
		accounts[i] = p.account
		queued[i] = counts[p]
	}

	var writes []statement
	for _, text := range []string{
		`INSERT INTO lane (id, v) SELECT DISTINCT lane, 0 FROM unnest($1::text[], $2::text[]) AS x(lane, account) ORDER BY 1 ON CONFLICT (id) DO NOTHING`,
		`INSERT INTO turn (lane, account, rank, weight, cap, queued, running, ready)
			SELECT x.lane, a.id, 0, a.weight, a.cap, 0, 0, 0 FROM unnest($1::text[], $2::text[]) AS x(lane, account) JOIN account a ON a.id = x.account
			WHERE NOT EXISTS (SELECT 1 FROM turn t WHERE t.lane = x.lane AND t.account = x.account)
			ORDER BY 1, 2 FOR SHARE OF a ON CONFLICT (lane, account) DO NOTHING`,
		`SELECT 1 FROM turn t JOIN unnest($1::text[], $2::text[]) AS x(lane, account) ON t.lane = x.lane AND t.account = x.account ORDER BY t.lane, t.account FOR UPDATE OF t`,
	} {
		writes = append(writes, statement{text, []any{lanes, accounts}, anyRows})
	}

	return append(writes, statement{`UPDATE turn t SET queued = t.queued + x.n, ready = CASE WHEN t.cap = 0 OR t.running < t.cap THEN 1 ELSE 0 END,
		rank = CASE WHEN t.ready = 0 AND (t.cap = 0 OR t.running < t.cap) THEN GREATEST(t.rank, l.v) ELSE t.rank END
		FROM unnest($1::text[], $2::text[], $3::bigint[]) AS x(lane, account, n) JOIN lane l ON l.id = x.lane
		WHERE t.lane = x.lane AND t.account = x.account`, []any{lanes, accounts, queued}, int64(len(order))})
}

// insertTasks writes the tasks, their requests and their first events.
func (tx *Tx) insertTasks(all []*Creation) ([]statement, error) {
	if len(all) == 0 {
		return nil, nil
	}

	var tasks, requests, events [][]any

	for _, c := range all {
		t := c.Task

		values, err := taskValues(t)
		if err != nil {
			return nil, err
		}

		tasks = append(tasks, values)
		requests = append(requests, []any{t.ID, string(c.Request), ""})
		events = append(events, []any{t.ID, t.Version, t.Account, string(t.State), "", t.CreatedAt})
		tx.events = append(tx.events, Change{Task: t.ID, Account: t.Account, State: t.State})
	}

	return []statement{
		insertMany("task ("+taskColumns+")", tasks, ""),
		insertMany("request (task, body, prepared)", requests, ""),
		tx.eventsBy(events),
	}, nil
}

// insertMany inserts rows of text and integers in one statement whose text does
// not depend on how many there are, so that it stays prepared. more follows it,
// with parameters beyond the columns'.
func insertMany(into string, rows [][]any, more string, params ...any) statement {
	marks := make([]string, len(rows[0]))

	args := make([]any, len(rows[0]), len(rows[0])+len(params))
	for i, first := range rows[0] {
		switch first.(type) {
		case string:
			marks[i] = fmt.Sprintf("$%d::text[]", i+1)
			args[i] = column[string](rows, i)
		default:
			marks[i] = fmt.Sprintf("$%d::bigint[]", i+1)
			args[i] = integers(rows, i)
		}
	}

	return statement{"INSERT INTO " + into + " SELECT * FROM unnest(" + strings.Join(marks, ", ") + ")" + more, append(args, params...), anyRows}
}

func column[T any](rows [][]any, i int) []T {
	list := make([]T, len(rows))
	for n, row := range rows {
		list[n], _ = row[i].(T)
	}

	return list
}

func integers(rows [][]any, i int) []int64 {
	list := make([]int64, len(rows))
	for n, row := range rows {
		switch v := row[i].(type) {
		case int64:
			list[n] = v
		case int:
			list[n] = int64(v)
		}
	}

	return list
}
