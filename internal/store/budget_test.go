package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// noon is in the middle of the last day of a month, in unix milliseconds.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()

func addKey(t testing.TB, s *Store, id, acct string, b account.Budget) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		ok, err := tx.InsertKey(context.Background(), account.Key{ID: id, Account: acct, Hash: id, Scopes: account.Scopes(), Budget: b})
		if err == nil && !ok {
			err = errors.New("the key exists already")
		}

		return err
	})
}

// creationWithKey returns a creation by an API key at a given time, with a hold.
func creationWithKey(id, acct, key string, hold money.Amount, at int64) *Creation {
	c := creation(id, acct, "", task.Queued)
	c.Task.Key = key
	c.Task.Hold = hold
	c.Hold.Amount = hold
	c.Task.CreatedAt = at
	c.Hold.At = at

	return c
}

// cancelTask cancels a queued task.
func cancelTask(t testing.TB, s *Store, id string, at int64) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		k, err := tx.Task(context.Background(), id)
		if err == nil {
			_, err = task.Advance(context.Background(), tx, k, task.Step{At: at, Edit: func(k *task.Task) { k.State = task.Cancelled }, EntryIDs: [2]string{"e1" + id, "e2" + id}})
		}

		return err
	})
}

func wantSpending(t testing.TB, s *Store, k account.Key, at int64, want account.Spending, p account.Period) {
	t.Helper()

	if all, err := s.Spending(context.Background(), k, at); err != nil || all[p] != want {
		t.Errorf("spending of the %s is %+v, %v; want %+v", p, all[p], err, want)
	}
}

func TestBudgetLimitsDayAndMonth(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 1000)
		addKey(t, s, "key_1", "acct_a", account.Budget{Day: 10, Month: 14})
		addKey(t, s, "key_free", "acct_a", account.Budget{})

		k := account.Key{ID: "key_1", Account: "acct_a"}
		create := func(id, key string, hold money.Amount, at int64) error {
			t.Helper()

			_, err := s.Create(ctx, creationWithKey(id, "acct_a", key, hold, at))

			return err
		}
		wantBudgetErr := func(err error, want BudgetError) {
			t.Helper()

			var budgetErr *BudgetError
			if !errors.As(err, &budgetErr) || *budgetErr != want {
				t.Errorf("got %v, want %v", err, &want)
			}
		}

		yesterday := noon - dayMillis
		if err := errors.Join(create("task_1", "key_1", 6, yesterday), create("task_2", "key_1", 4, yesterday), create("task_3", "key_free", 100, yesterday)); err != nil {
			t.Fatal(err)
		}

		midnight := account.Day.Start(noon)
		c := creationWithKey("task_4", "acct_a", "key_1", 1, yesterday)
		c.Key = Idempotency{Account: "acct_a", Key: "again", BodyHash: "h", Task: "task_4", Expires: 2 * noon}
		_, err := s.Create(ctx, c)
		wantBudgetErr(err, BudgetError{account.Day, 10, 0, midnight})

		if _, err := s.Idempotency(ctx, "acct_a", "again", 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("the idempotency key of a rejected creation: %v", err)
		}
		// The next day's budget is whole, the month's is nearly spent.
		wantBudgetErr(create("task_5", "key_1", 5, noon), BudgetError{account.Month, 14, 4, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})

		if err := create("task_5", "key_1", 4, noon); err != nil {
			t.Error(err)
		}
		// A release counts in the day and the month in which the task was created, not in
		// those in which it ended.
		cancelTask(t, s, "task_1", noon+dayMillis)
		wantSpending(t, s, k, yesterday, account.Spending{Held: 4}, account.Day)
		wantSpending(t, s, k, noon, account.Spending{Held: 4}, account.Day)
		wantSpending(t, s, k, noon, account.Spending{Held: 8}, account.Month)
		wantSpending(t, s, k, noon+dayMillis, account.Spending{}, account.Month)
		wantBudgetErr(create("task_6", "key_1", 7, noon), BudgetError{account.Day, 10, 6, midnight + dayMillis})

		if err := create("task_6", "key_1", 6, noon); err != nil {
			t.Error(err)
		}

		wantNoFindings(t, s)
		// The sums of past periods are deleted, and their tasks can still end.
		write(t, s, func(tx *Tx) error { return tx.DeleteSpending(ctx, noon+3*dayMillis) })
		cancelTask(t, s, "task_2", noon+dayMillis)
		cancelTask(t, s, "task_5", noon+dayMillis)
		wantNoFindings(t, s)
	})
}

func TestBudgetCanBeChanged(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 1000)
		addKey(t, s, "key_1", "acct_a", account.Budget{})

		k := account.Key{ID: "key_1", Account: "acct_a"}

		for i, state := range []task.State{task.Queued, task.Queued, task.Preparing, task.Running} {
			c := creationWithKey(fmt.Sprintf("task_%d", i), "acct_a", "key_1", 5, noon)
			if c.Task.State = state; state != task.Queued {
				c.Task.Queue = ""
			}

			if _, err := s.Create(ctx, c); err != nil {
				t.Fatal(err)
			}
		}

		if _, err := s.Create(ctx, creationWithKey("task_old", "acct_a", "key_1", 5, noon-40*dayMillis)); err != nil {
			t.Fatal(err)
		}

		cancelTask(t, s, "task_0", noon)

		setBudget := func(b account.Budget) (got account.Key) {
			t.Helper()
			write(t, s, func(tx *Tx) (err error) {
				got, err = tx.UpdateKey(ctx, "key_1", func(k *account.Key) {
					k.Budget = b
					k.Name = "renamed"
				})

				return err
			})

			return got
		}
		if got := setBudget(account.Budget{Month: 16}); got.Budget.Month != 16 || got.Name != "renamed" {
			t.Errorf("%+v", got)
		}

		wantSpending(t, s, k, noon, account.Spending{Held: 15}, account.Month)

		var budgetErr *BudgetError
		if _, err := s.Create(ctx, creationWithKey("task_5", "acct_a", "key_1", 2, noon)); !errors.As(err, &budgetErr) || budgetErr.Remaining != 1 {
			t.Errorf("%v", err)
		}

		if _, err := s.Create(ctx, creationWithKey("task_5", "acct_a", "key_1", 1, noon)); err != nil {
			t.Error(err)
		}

		wantNoFindings(t, s)
		setBudget(account.Budget{})

		if _, err := s.Create(ctx, creationWithKey("task_6", "acct_a", "key_1", 50, noon)); err != nil {
			t.Error(err)
		}

		wantNoFindings(t, s)
		setBudget(account.Budget{Day: 1})
		wantSpending(t, s, k, noon, account.Spending{Held: 66}, account.Day)

		if _, err := s.Create(ctx, creationWithKey("task_7", "acct_a", "key_1", 1, noon)); !errors.As(err, &budgetErr) || budgetErr.Remaining != -65 {
			t.Errorf("%v", err)
		}

		err := s.Write(ctx, func(tx *Tx) error { _, err := tx.UpdateKey(ctx, "key_none", func(*account.Key) {}); return err })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

// TestConcurrentCreatesStayWithinBudget creates tasks concurrently until a
// budget is used up: it is used completely and never exceeded.
func TestConcurrentCreatesStayWithinBudget(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 100_000)
		addKey(t, s, "key_1", "acct_a", account.Budget{Day: 100})
		addKey(t, s, "key_2", "acct_a", account.Budget{Month: 50})

		var (
			created [2]atomic.Int64
			wg      sync.WaitGroup
		)
		for n := range 160 {
			wg.Go(func() {
				_, err := s.Create(context.Background(), creationWithKey(fmt.Sprintf("task_%03d", n), "acct_a", fmt.Sprintf("key_%d", 1+n%2), 5, noon))

				var budgetErr *BudgetError
				switch {
				case err == nil:
					created[n%2].Add(1)
				case !errors.As(err, &budgetErr):
					t.Error(err)
				}
			})

			if n == 40 {
				wg.Go(func() {
					write(t, s, func(tx *Tx) error {
						_, err := tx.UpdateKey(context.Background(), "key_2", func(k *account.Key) { k.Budget.Month = 75 })
						return err
					})
				})
			}
		}

		wg.Wait()

		if created[0].Load() != 20 || created[1].Load() < 10 || created[1].Load() > 15 {
			t.Errorf("created %d and %d tasks", created[0].Load(), created[1].Load())
		}

		wantNoFindings(t, s)
	})
}

// TestBudgetCountersMatchLedger creates, cancels, completes and changes at
// random. A creation never takes a window above its budget, and the counters
// equal the sums of the ledger.
func TestBudgetCountersMatchLedger(t *testing.T) {
	n := 0

	storetest.EachDatabase(t, migrateDatabase, func(t *testing.T, at storetest.Location) {
		s := openStore(t, at)
		rapid.Check(t, func(rt *rapid.T) {
			n++
			acct := fmt.Sprintf("acct_%d", n)
			addAccount(asTB(rt), s, acct, 1, 0, 300)
			write(asTB(rt), s, func(tx *Tx) error { // this test creates its tasks as running ones
				return tx.pipeline(context.Background(), []statement{
					{"INSERT INTO queue (id, virtual_time) VALUES ('queue', 0) ON CONFLICT (id) DO NOTHING", nil, anyRows},
					{"INSERT INTO share (queue, account, virtual_start, weight, cap, queued, running, ready) VALUES ('queue', $1, 0, 1, 0, 0, 1000, 0)", []any{acct}, 1},
				})
			})

			budgets := map[string]account.Budget{}

			for _, k := range []string{"a", "b"} {
				key := fmt.Sprintf("key_%d%s", n, k)
				budgets[key] = anyBudget(rt)
				addKey(asTB(rt), s, key, acct, budgets[key])
			}

			live := map[string]task.Task{}

			for i := range rapid.IntRange(1, 40).Draw(rt, "steps") {
				key := rapid.SampledFrom(sortedKeys(budgets)).Draw(rt, "key")

				now := noon + rapid.Int64Range(-1, 1).Draw(rt, "day")*dayMillis
				switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
				case what < 5 || len(live) == 0:
					c := creationWithKey(fmt.Sprintf("task_%d_%02d", n, i), acct, key, money.Amount(rapid.IntRange(0, 12).Draw(rt, "hold")), now)
					if c.Hold.Amount == 0 {
						c.Hold = credit.Entry{}
					}

					c.Task.State = task.Running
					c.Task.Queue = "queue"

					if tryCreate(rt, s, c, budgets[key]) {
						live[c.Task.ID] = c.Task
					}
				case what < 9:
					id := rapid.SampledFrom(sortedKeys(live)).Draw(rt, "task")
					endTask(rt, s, live[id], money.Amount(rapid.IntRange(0, 14).Draw(rt, "used")), max(now, live[id].CreatedAt))
					delete(live, id)
				default:
					b := anyBudget(rt)
					write(asTB(rt), s, func(tx *Tx) error {
						_, err := tx.UpdateKey(context.Background(), key, func(k *account.Key) { k.Budget = b })
						return err
					})

					budgets[key] = b
				}
			}

			findings, err := s.CheckIntegrity(context.Background(), 10)
			if err != nil {
				rt.Fatal(err)
			}

			for _, f := range findings {
				if f.Check == "shares count their tasks" || strings.HasPrefix(f.Check, "every completed task has its video") {
					continue // not what this test checks
				}

				rt.Errorf("%s: %s", f.Check, f.Detail)
			}
		})
	})
}

func anyBudget(t *rapid.T) account.Budget {
	bound := rapid.SampledFrom([]money.Amount{0, 5, 20, 60})
	return account.Budget{Day: bound.Draw(t, "day's"), Month: bound.Draw(t, "month's")}
}

// tryCreate reports whether a creation succeeded, which it must exactly if the
// budget allows it.
func tryCreate(t *rapid.T, s *Store, c *Creation, b account.Budget) bool {
	ctx := context.Background()
	remaining := c.Hold.Amount

	before, err := s.Spending(ctx, account.Key{ID: c.Task.Key, Account: c.Task.Account}, c.Task.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}

	for p, sum := range maps.All(before) {
		if b.For(p) > 0 {
			remaining = min(remaining, sum.Remaining(b.For(p)))
		}
	}

	_, err = s.Create(ctx, c)

	var budgetErr *BudgetError
	switch {
	case err == nil && remaining < c.Hold.Amount && c.Hold.Amount > 0:
		t.Fatalf("a hold of %d was accepted, but only %d remained", c.Hold.Amount, remaining)
	case errors.As(err, &budgetErr) && remaining >= c.Hold.Amount:
		t.Fatalf("a hold of %d was rejected although the budget allows it: %v", c.Hold.Amount, err)
	case err != nil && budgetErr == nil && !errors.Is(err, credit.ErrInsufficient):
		t.Fatal(err)
	}

	return err == nil
}

func endTask(t *rapid.T, s *Store, k task.Task, used money.Amount, at int64) {
	write(asTB(t), s, func(tx *Tx) error {
		for _, step := range []task.Step{
			{At: at, Edit: func(k *task.Task) { k.State = task.Collecting }},
			{At: at, UsageCost: used, EntryIDs: [2]string{"e1" + k.ID, "e2" + k.ID}, Edit: func(k *task.Task) {
				if used%3 == 0 {
					k.State = task.Failed
					k.Error = &task.Error{Code: "x"}

					return
				}

				k.State = task.Completed
				k.Progress = 100
			}},
		} {
			next, err := task.Advance(context.Background(), tx, k, step)
			if err != nil {
				return err
			}

			k = next
		}

		return nil
	})
}
