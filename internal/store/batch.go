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

// createAll writes many creations in one transaction, with one statement for
// each table (PostgreSQL only). It marks each creation that is not written:
// existing is set if its idempotency key belongs to another task, declined if it
// cannot be paid. All others are written.
//
// Many accounts share one transaction, so two batches, or a batch and a step of
// a task, could lock the same rows in different orders and deadlock. Therefore
// the rows are locked in the order that all transactions follow
// (docs/architecture.md): idempotency keys, balances, shares, tasks, queues,
// each in ascending order.
//
// The balances decide which creations are written, so they are read before the
// rest. After that no statement needs the answer of another one (except for
// files that came inside a request, which are rare), and all of them are sent in
// one pipeline: the balance of a busy account stays locked for one round trip
// and the commit.
func (tx *Tx) createAll(ctx context.Context, all []*Creation) error {
	// The transaction may be a retry: forget the decisions of the attempt before.
	for _, c := range all {
		c.existing = nil
		c.declined = nil
	}

	// The keys come first: a creation that repeats an earlier one must not be held for.
	if err := tx.insertIdempotencyKeys(ctx, all); err != nil {
		return fmt.Errorf("create %d tasks, keys: %w", len(all), err)
	}

	writes, err := tx.placeHolds(ctx, undecided(all))
	if err != nil {
		return fmt.Errorf("create %d tasks, holds: %w", len(all), err)
	}

	remaining := undecided(all)
	if err := tx.insertFiles(ctx, remaining); err != nil {
		return fmt.Errorf("create %d tasks, files: %w", len(all), err)
	}

	tasks, err := tx.insertTasks(remaining)
	if err != nil {
		return fmt.Errorf("create %d tasks: %w", len(all), err)
	}

	if err := tx.pipeline(ctx, slices.Concat(writes, enqueueAll(remaining), tasks, tx.deliveriesOfCreations(remaining))); err != nil {
		return fmt.Errorf("create %d tasks: %w", len(all), err)
	}

	for _, c := range all {
		if c.BeforeCommit != nil && c.existing == nil && c.declined == nil {
			c.BeforeCommit()
		}
	}

	return nil
}

// undecided returns the creations that are still to be written: neither existing
// nor declined is set.
func undecided(all []*Creation) []*Creation {
	return slices.DeleteFunc(slices.Clone(all), func(c *Creation) bool { return c.existing != nil || c.declined != nil })
}

type idempotencyID struct{ account, key string }

func (i Idempotency) id() idempotencyID { return idempotencyID{i.Account, i.Key} }

// insertIdempotencyKeys writes the idempotency keys, and sets existing where a
// key already belongs to another task. INSERT ... ON CONFLICT waits for a
// concurrent transaction with the same key, so what is read back afterwards is
// final.
func (tx *Tx) insertIdempotencyKeys(ctx context.Context, all []*Creation) error {
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

	insert := insertMany("idempotency (account, key, body_hash, task, expires)", rows,
		` ON CONFLICT (account, key) DO UPDATE SET body_hash = excluded.body_hash, task = excluded.task, expires = excluded.expires WHERE idempotency.expires <= $6`, now)
	if _, err := tx.exec(ctx, insert.text, insert.args...); err != nil {
		return err
	}

	accounts := make([]string, len(keyed))
	keys := make([]string, len(keyed))

	for i, c := range keyed {
		accounts[i] = c.Key.Account
		keys[i] = c.Key.Key
	}

	stored, err := queryAll(ctx, tx.q, scanIdempotency, `SELECT i.account, i.key, i.body_hash, i.task, i.expires FROM idempotency i
		JOIN unnest($1::text[], $2::text[]) AS x(account, key) ON i.account = x.account AND i.key = x.key`, accounts, keys)
	if err != nil {
		return err
	}

	storedByID := map[idempotencyID]Idempotency{}
	for _, s := range stored {
		storedByID[s.id()] = s
	}

	for _, c := range keyed {
		if s := storedByID[c.Key.id()]; s.Task != c.Task.ID {
			c.existing = &s
		}
	}

	return nil
}

// placeHolds locks the balances in ascending order, decides for each creation in
// turn whether it can be paid, and returns the statements that write the holds.
// A creation that is declined releases its idempotency key.
func (tx *Tx) placeHolds(ctx context.Context, all []*Creation) ([]statement, error) {
	charged := slices.DeleteFunc(slices.Clone(all), func(c *Creation) bool { return c.Hold.Amount == 0 })
	if len(charged) == 0 {
		return nil, nil
	}

	accounts := map[string]bool{}
	for _, c := range charged {
		accounts[c.Hold.Account] = true
	}

	balanceRows, err := queryAll(ctx, tx.q, scanLockedBalance,
		"SELECT "+lockedBalanceColumns+" FROM balance WHERE account = ANY($1::text[]) ORDER BY account FOR UPDATE", slices.Sorted(maps.Keys(accounts)))
	if err != nil {
		return nil, err
	}

	balances := map[string]credit.Balance{}
	for _, row := range balanceRows {
		balances[row.account] = row.Balance
		tx.hasBudget = tx.hasBudget || row.hasBudget
	}

	budgets, err := tx.loadBudgets(ctx, charged)
	if err != nil {
		return nil, err
	}

	// Each creation sees the balance that the ones before it in the batch leave, as if
	// they had been written one by one: two that are affordable alone but not together
	// cannot both be held.
	var entries [][]any

	for _, c := range charged {
		balance, ok := balances[c.Hold.Account]
		if !ok {
			c.declined = fmt.Errorf("balance of %s: %w", c.Hold.Account, ErrNotFound)
			continue
		}

		next, err := credit.Hold(balance, c.Hold.Amount)
		if errors.Is(err, credit.ErrInsufficient) {
			err = &InsufficientCreditError{balance}
		}

		if err == nil {
			err = budgets.reserve(c)
		}

		if err != nil {
			c.declined = err
			continue
		}

		balances[c.Hold.Account] = next
		e := c.Hold
		entries = append(entries, []any{e.ID, e.Account, e.Task, string(e.Kind), int64(e.Amount), e.Ref, e.At})
	}

	writes := slices.Concat([]statement{updateHeldBalances(balances)}, budgets.statements(), releaseIdempotencyKeys(charged))
	if len(entries) > 0 {
		writes = append(writes, insertMany("entry ("+entryColumns+")", entries, ""))
	}

	return writes, nil
}

func updateHeldBalances(balances map[string]credit.Balance) statement {
	var (
		accounts []string
		held     []int64
	)

	for account, balance := range balances {
		accounts = append(accounts, account)
		held = append(held, int64(balance.Held))
	}

	return statement{`UPDATE balance SET held = x.held FROM unnest($1::text[], $2::bigint[]) AS x(account, held)
		WHERE balance.account = x.account AND balance.held <> x.held`, []any{accounts, held}, anyRows}
}

// releaseIdempotencyKeys deletes the keys of declined creations: a rejected
// request leaves its key free.
func releaseIdempotencyKeys(all []*Creation) []statement {
	var tasks, accounts, keys []string

	for _, c := range all {
		if c.declined != nil && c.Key.Key != "" {
			tasks = append(tasks, c.Task.ID)
			accounts = append(accounts, c.Key.Account)
			keys = append(keys, c.Key.Key)
		}
	}

	if len(tasks) == 0 {
		return nil
	}

	return []statement{{`DELETE FROM idempotency i USING unnest($1::text[], $2::text[], $3::text[]) AS x(task, account, key)
		WHERE i.account = x.account AND i.key = x.key AND i.task = x.task`, []any{tasks, accounts, keys}, anyRows}}
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

// shareID identifies an account's share of a queue.
type shareID struct{ queue, account string }

// enqueueAll counts the queued creations in their accounts' shares, with one row
// for each share. The statements follow the order of locks: missing queues and
// shares are inserted first, then the existing shares are locked in ascending
// order, then they are updated. A new share copies its account's weight and cap;
// FOR SHARE keeps the account unchanged until the commit, so that UpdateAccount
// cannot miss the new share.
func enqueueAll(all []*Creation) []statement {
	counts := map[shareID]int64{}

	for _, c := range all {
		if c.Task.State == task.Queued {
			counts[shareID{c.Task.Queue, c.Task.Account}]++
		}
	}

	if len(counts) == 0 {
		return nil
	}

	ids := slices.SortedFunc(maps.Keys(counts), func(a, b shareID) int {
		return cmp.Or(strings.Compare(a.queue, b.queue), strings.Compare(a.account, b.account))
	})
	queues := make([]string, len(ids))
	accounts := make([]string, len(ids))
	queued := make([]int64, len(ids))

	for i, id := range ids {
		queues[i] = id.queue
		accounts[i] = id.account
		queued[i] = counts[id]
	}

	var writes []statement
	for _, text := range []string{
		`INSERT INTO queue (id, virtual_time) SELECT DISTINCT queue, 0 FROM unnest($1::text[], $2::text[]) AS x(queue, account) ORDER BY 1 ON CONFLICT (id) DO NOTHING`,
		`INSERT INTO share (queue, account, virtual_start, weight, cap, queued, running, ready)
			SELECT x.queue, a.id, 0, a.weight, a.cap, 0, 0, 0 FROM unnest($1::text[], $2::text[]) AS x(queue, account) JOIN account a ON a.id = x.account
			WHERE NOT EXISTS (SELECT 1 FROM share s WHERE s.queue = x.queue AND s.account = x.account)
			ORDER BY 1, 2 FOR SHARE OF a ON CONFLICT (queue, account) DO NOTHING`,
		`SELECT 1 FROM share s JOIN unnest($1::text[], $2::text[]) AS x(queue, account) ON s.queue = x.queue AND s.account = x.account ORDER BY s.queue, s.account FOR UPDATE OF s`,
	} {
		writes = append(writes, statement{text, []any{queues, accounts}, anyRows})
	}

	return append(writes, statement{`UPDATE share s SET queued = s.queued + x.n, ready = CASE WHEN s.cap = 0 OR s.running < s.cap THEN 1 ELSE 0 END,
		virtual_start = CASE WHEN s.ready = 0 AND (s.cap = 0 OR s.running < s.cap) THEN GREATEST(s.virtual_start, q.virtual_time) ELSE s.virtual_start END
		FROM unnest($1::text[], $2::text[], $3::bigint[]) AS x(queue, account, n) JOIN queue q ON q.id = x.queue
		WHERE s.queue = x.queue AND s.account = x.account`, []any{queues, accounts, queued}, int64(len(ids))})
}

// insertTasks returns the statements that write the tasks, their requests and
// their first events.
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
		tx.changes = append(tx.changes, Change{Task: t.ID, Account: t.Account, State: t.State})
	}

	return []statement{
		insertMany("task ("+taskColumns+")", tasks, ""),
		insertMany("request (task, body, prepared)", requests, ""),
		tx.eventsStatement(events),
	}, nil
}

// insertMany returns a statement that inserts rows of text and integers. Its
// text does not depend on the number of rows, so that it stays prepared. suffix
// is appended to the text, and may use params as the parameters after those of
// the columns.
func insertMany(into string, rows [][]any, suffix string, params ...any) statement {
	placeholders := make([]string, len(rows[0]))
	args := make([]any, len(rows[0]), len(rows[0])+len(params))

	for i, first := range rows[0] {
		switch first.(type) {
		case string:
			placeholders[i] = fmt.Sprintf("$%d::text[]", i+1)
			args[i] = column[string](rows, i)
		default:
			placeholders[i] = fmt.Sprintf("$%d::bigint[]", i+1)
			args[i] = intColumn(rows, i)
		}
	}

	return statement{"INSERT INTO " + into + " SELECT * FROM unnest(" + strings.Join(placeholders, ", ") + ")" + suffix, append(args, params...), anyRows}
}

func column[T any](rows [][]any, i int) []T {
	list := make([]T, len(rows))
	for n, row := range rows {
		list[n], _ = row[i].(T)
	}

	return list
}

func intColumn(rows [][]any, i int) []int64 {
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
