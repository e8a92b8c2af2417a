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

// noon is in the middle of a month's last day, in unix milliseconds.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()

func addKey(t testing.TB, s *Store, id, acct string, b account.Budget) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		ok, err := tx.InsertKey(context.Background(), account.Key{ID: id, Account: acct, Hash: id, Scopes: account.Scopes(), Budget: b})
		if err == nil && !ok {
			err = errors.New("there is such a key")
		}

		return err
	})
}

// orderBy is a creation of a key's that holds so much, at a time.
func orderBy(id, acct, key string, hold money.Amount, at int64) *Creation {
	c := creation(id, acct, "", task.Queued)
	c.Task.Key = key
	c.Task.Hold = hold
	c.Hold.Amount = hold
	c.Task.CreatedAt = at
	c.Hold.At = at

	return c
}

// end cancels a queued task.
func end(t testing.TB, s *Store, id string, at int64) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		k, err := tx.Task(context.Background(), id)
		if err == nil {
			_, err = task.Advance(context.Background(), tx, k, task.Step{At: at, Edit: func(k *task.Task) { k.State = task.Cancelled }, Entries: [2]string{"e1" + id, "e2" + id}})
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

func TestABudgetBoundsADayAndAMonth(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 1000)
		addKey(t, s, "key_1", "acct_a", account.Budget{Day: 10, Month: 14})
		addKey(t, s, "key_free", "acct_a", account.Budget{})

		k := account.Key{ID: "key_1", Account: "acct_a"}
		order := func(id, key string, hold money.Amount, at int64) error {
			t.Helper()

			_, err := s.Create(ctx, orderBy(id, "acct_a", key, hold, at))

			return err
		}
		refused := func(err error, want BudgetError) {
			t.Helper()

			var over *BudgetError
			if !errors.As(err, &over) || *over != want {
				t.Errorf("got %v, want %v", err, &want)
			}
		}

		yesterday := noon - dayMillis
		if err := errors.Join(order("task_1", "key_1", 6, yesterday), order("task_2", "key_1", 4, yesterday), order("task_3", "key_free", 100, yesterday)); err != nil {
			t.Fatal(err)
		}

		midnight := account.Day.Start(noon)
		c := orderBy("task_4", "acct_a", "key_1", 1, yesterday)
		c.Key = Idempotency{Account: "acct_a", Key: "again", BodyHash: "h", Task: "task_4", Expires: 2 * noon}
		_, err := s.Create(ctx, c)
		refused(err, BudgetError{account.Day, 10, 0, midnight})

		if _, err := s.Idempotency(ctx, "acct_a", "again", 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("the key of a refused order: %v", err)
		}
		// The next day has room, the month only some.
		refused(order("task_5", "key_1", 5, noon), BudgetError{account.Month, 14, 4, time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()})

		if err := order("task_5", "key_1", 4, noon); err != nil {
			t.Error(err)
		}
		// A release gives back to the day and the month of its order, not to those of its end.
		end(t, s, "task_1", noon+dayMillis)
		wantSpending(t, s, k, yesterday, account.Spending{Held: 4}, account.Day)
		wantSpending(t, s, k, noon, account.Spending{Held: 4}, account.Day)
		wantSpending(t, s, k, noon, account.Spending{Held: 8}, account.Month)
		wantSpending(t, s, k, noon+dayMillis, account.Spending{}, account.Month)
		refused(order("task_6", "key_1", 7, noon), BudgetError{account.Day, 10, 6, midnight + dayMillis})

		if err := order("task_6", "key_1", 6, noon); err != nil {
			t.Error(err)
		}

		noFindings(t, s)
		// What is over is forgotten; its tasks end all the same.
		write(t, s, func(tx *Tx) error { return tx.DeleteSpending(ctx, noon+3*dayMillis) })
		end(t, s, "task_2", noon+dayMillis)
		end(t, s, "task_5", noon+dayMillis)
		noFindings(t, s)
	})
}

func TestABudgetMayBeSetLaterAndTakenAway(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 1000)
		addKey(t, s, "key_1", "acct_a", account.Budget{})

		k := account.Key{ID: "key_1", Account: "acct_a"}

		for i, state := range []task.State{task.Queued, task.Queued, task.Preparing, task.Running} {
			c := orderBy(fmt.Sprintf("task_%d", i), "acct_a", "key_1", 5, noon)
			if c.Task.State = state; state != task.Queued {
				c.Task.Lane = ""
			}

			if _, err := s.Create(ctx, c); err != nil {
				t.Fatal(err)
			}
		}

		if _, err := s.Create(ctx, orderBy("task_old", "acct_a", "key_1", 5, noon-40*dayMillis)); err != nil {
			t.Fatal(err)
		}

		end(t, s, "task_0", noon)

		set := func(b account.Budget) (got account.Key) {
			t.Helper()
			write(t, s, func(tx *Tx) (err error) {
				got, err = tx.ChangeKey(ctx, "key_1", func(k *account.Key) {
					k.Budget = b
					k.Name = "renamed"
				})

				return err
			})

			return got
		}
		if got := set(account.Budget{Month: 16}); got.Budget.Month != 16 || got.Name != "renamed" {
			t.Errorf("%+v", got)
		}

		wantSpending(t, s, k, noon, account.Spending{Held: 15}, account.Month)

		var over *BudgetError
		if _, err := s.Create(ctx, orderBy("task_5", "acct_a", "key_1", 2, noon)); !errors.As(err, &over) || over.Left != 1 {
			t.Errorf("%v", err)
		}

		if _, err := s.Create(ctx, orderBy("task_5", "acct_a", "key_1", 1, noon)); err != nil {
			t.Error(err)
		}

		noFindings(t, s)
		set(account.Budget{})

		if _, err := s.Create(ctx, orderBy("task_6", "acct_a", "key_1", 50, noon)); err != nil {
			t.Error(err)
		}

		noFindings(t, s)
		set(account.Budget{Day: 1})
		wantSpending(t, s, k, noon, account.Spending{Held: 66}, account.Day)

		if _, err := s.Create(ctx, orderBy("task_7", "acct_a", "key_1", 1, noon)); !errors.As(err, &over) || over.Left != -65 {
			t.Errorf("%v", err)
		}

		err := s.Write(ctx, func(tx *Tx) error { _, err := tx.ChangeKey(ctx, "key_none", func(*account.Key) {}); return err })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

// Many orders at once for the last room of a budget: it is filled and never exceeded.
func TestOrdersAtOnceNeverExceedABudget(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 100_000)
		addKey(t, s, "key_1", "acct_a", account.Budget{Day: 100})
		addKey(t, s, "key_2", "acct_a", account.Budget{Month: 50})

		var (
			made [2]atomic.Int64
			all  sync.WaitGroup
		)
		for n := range 160 {
			all.Go(func() {
				_, err := s.Create(context.Background(), orderBy(fmt.Sprintf("task_%03d", n), "acct_a", fmt.Sprintf("key_%d", 1+n%2), 5, noon))

				var over *BudgetError
				switch {
				case err == nil:
					made[n%2].Add(1)
				case !errors.As(err, &over):
					t.Error(err)
				}
			})

			if n == 40 {
				all.Go(func() {
					write(t, s, func(tx *Tx) error {
						_, err := tx.ChangeKey(context.Background(), "key_2", func(k *account.Key) { k.Budget.Month = 75 })
						return err
					})
				})
			}
		}

		all.Wait()

		if made[0].Load() != 20 || made[1].Load() < 10 || made[1].Load() > 15 {
			t.Errorf("made %d and %d", made[0].Load(), made[1].Load())
		}

		noFindings(t, s)
	})
}

// Whatever is ordered, cancelled, completed and changed: what a window spent and holds
// is never above its budget by an order, and the counters are the ledger's sums.
func TestBudgetsCountExactly(t *testing.T) {
	n := 0

	storetest.Each(t, migrated, func(t *testing.T, at storetest.Place) {
		s := openAt(t, at)
		rapid.Check(t, func(rt *rapid.T) {
			n++
			acct := fmt.Sprintf("acct_%d", n)
			addAccount(asTB(rt), s, acct, 1, 0, 300)
			write(asTB(rt), s, func(tx *Tx) error { // tasks begin as running ones here
				return tx.together(context.Background(), []statement{
					{"INSERT INTO lane (id, v) VALUES ('lane', 0) ON CONFLICT (id) DO NOTHING", nil, anyRows},
					{"INSERT INTO turn (lane, account, rank, weight, cap, queued, running, ready) VALUES ('lane', $1, 0, 1, 0, 0, 1000, 0)", []any{acct}, 1},
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
				key := rapid.SampledFrom(keys(budgets)).Draw(rt, "key")

				now := noon + rapid.Int64Range(-1, 1).Draw(rt, "day")*dayMillis
				switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
				case what < 5 || len(live) == 0:
					c := orderBy(fmt.Sprintf("task_%d_%02d", n, i), acct, key, money.Amount(rapid.IntRange(0, 12).Draw(rt, "hold")), now)
					if c.Hold.Amount == 0 {
						c.Hold = credit.Entry{}
					}

					c.Task.State = task.Running

					c.Task.Lane = "lane"
					if tryOrder(rt, s, c, budgets[key]) {
						live[c.Task.ID] = c.Task
					}
				case what < 9:
					id := rapid.SampledFrom(keys(live)).Draw(rt, "task")
					settleTask(rt, s, live[id], money.Amount(rapid.IntRange(0, 14).Draw(rt, "used")), max(now, live[id].CreatedAt))
					delete(live, id)
				default:
					b := anyBudget(rt)
					write(asTB(rt), s, func(tx *Tx) error {
						_, err := tx.ChangeKey(context.Background(), key, func(k *account.Key) { k.Budget = b })
						return err
					})

					budgets[key] = b
				}
			}

			findings, err := s.Audit(context.Background(), 10)
			if err != nil {
				rt.Fatal(err)
			}

			for _, f := range findings {
				if f.Check == "turns count their tasks" || strings.HasPrefix(f.Check, "every completed task has its video") {
					continue // that is not what this is about
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

// tryOrder says whether an order was taken, which must be so exactly if there was room.
func tryOrder(t *rapid.T, s *Store, c *Creation, b account.Budget) bool {
	ctx := context.Background()
	room := c.Hold.Amount

	before, err := s.Spending(ctx, account.Key{ID: c.Task.Key, Account: c.Task.Account}, c.Task.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}

	for p, sum := range maps.All(before) {
		if b.Of(p) > 0 {
			room = min(room, sum.Left(b.Of(p)))
		}
	}

	_, err = s.Create(ctx, c)

	var over *BudgetError
	switch {
	case err == nil && room < c.Hold.Amount && c.Hold.Amount > 0:
		t.Fatalf("a hold of %d was taken, and there was room for %d", c.Hold.Amount, room)
	case errors.As(err, &over) && room >= c.Hold.Amount:
		t.Fatalf("a hold of %d was refused, and there was room: %v", c.Hold.Amount, err)
	case err != nil && over == nil && !errors.Is(err, credit.ErrInsufficient):
		t.Fatal(err)
	}

	return err == nil
}

func settleTask(t *rapid.T, s *Store, k task.Task, used money.Amount, at int64) {
	write(asTB(t), s, func(tx *Tx) error {
		for _, step := range []task.Step{
			{At: at, Edit: func(k *task.Task) { k.State = task.Collecting }},
			{At: at, Used: used, Entries: [2]string{"e1" + k.ID, "e2" + k.ID}, Edit: func(k *task.Task) {
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
