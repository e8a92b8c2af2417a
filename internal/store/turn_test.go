package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/task"
)

// fair is a lane on a real database with random accounts, driven by a property
// test.
type fair struct {
	s       *Store
	fence   int64
	weights map[string]int64
	caps    map[string]int64
	queued  map[string][]string // by account, oldest first
	running map[string][]task.Task
	served  map[string]int64 // seconds claimed
	next    int
}

func newFair(t testing.TB, s *Store, accounts int, weight func(int) int64, limit func(int) int64) *fair {
	f := &fair{s: s, weights: map[string]int64{}, caps: map[string]int64{}, queued: map[string][]string{}, running: map[string][]task.Task{}, served: map[string]int64{}}

	for i := range accounts {
		id := fmt.Sprintf("acct_%d", i)
		f.weights[id] = weight(i)
		f.caps[id] = limit(i)
		addAccount(t, s, id, f.weights[id], f.caps[id], 1<<40)
	}

	write(t, s, func(tx *Tx) (err error) {
		f.fence, err = tx.TakeLease(context.Background(), "up", "me", 1, 1<<50)
		return err
	})

	return f
}

func (f *fair) add(t testing.TB, account string, seconds int64) {
	f.next++
	id := fmt.Sprintf("task_%06d", f.next)
	write(t, f.s, func(tx *Tx) error {
		return tx.InsertTask(context.Background(), task.Task{ID: id, Account: account, Version: 1, State: task.Queued, Lane: "lane", Seconds: seconds, Billing: "free"}, nil)
	})
	f.queued[account] = append(f.queued[account], id)
}

func (f *fair) claim(t testing.TB) (task.Task, bool) {
	var got task.Task

	err := f.s.Write(context.Background(), func(tx *Tx) (err error) {
		got, err = tx.Claim(context.Background(), Claim{Lane: "lane", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: f.fence, At: 5})
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return got, false
	}

	if err != nil {
		t.Fatal(err)
	}

	if len(f.queued[got.Account]) == 0 || f.queued[got.Account][0] != got.ID {
		t.Fatalf("claimed %s of %s, oldest queued is %v", got.ID, got.Account, f.queued[got.Account])
	}

	f.queued[got.Account] = f.queued[got.Account][1:]
	f.running[got.Account] = append(f.running[got.Account], got)

	f.served[got.Account] += got.Seconds
	if c := f.caps[got.Account]; c > 0 && int64(len(f.running[got.Account])) > c {
		t.Fatalf("%s has %d running, its cap is %d", got.Account, len(f.running[got.Account]), c)
	}

	return got, true
}

func (f *fair) advance(t testing.TB, tk task.Task, edit func(*task.Task)) {
	write(t, f.s, func(tx *Tx) error {
		_, err := task.Advance(context.Background(), tx, tk, task.Step{At: 9, Edit: edit})
		return err
	})
}

// finish ends the oldest running task of an account; requeue gives it back.
func (f *fair) finish(t testing.TB, account string, requeue bool) {
	tk := f.running[account][0]

	f.running[account] = f.running[account][1:]
	if requeue {
		f.advance(t, tk, func(n *task.Task) { n.State = task.Queued })
		f.queued[account] = append(f.queued[account], tk.ID)
		slices.Sort(f.queued[account])
		f.served[account] -= tk.Seconds

		return
	}

	f.advance(t, tk, func(n *task.Task) {
		n.State = task.Failed
		n.Error = &task.Error{Code: "x"}
	})
}

// cancel ends the oldest queued task of an account.
func (f *fair) cancel(t testing.TB, account string) {
	id := f.queued[account][0]

	tk, err := f.s.Task(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}

	f.advance(t, tk, func(n *task.Task) { n.State = task.Cancelled })
	f.queued[account] = f.queued[account][1:]
}

// Whatever arrives, is claimed, ends, goes back or is cancelled: the turns count
// what is there, caps hold, an account's tasks go in their order, who comes new
// waits for one task of each other account at most, and in the end all of them had
// their turn.
func TestFairLaneStaysTrue(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		rapid.Check(t, func(t *rapid.T) {
			empty(asTB(t), s)
			fairLane(t, s)
		})
	})
}

// empty removes every row: making another database for each of a property's
// checks would take longer than the checks.
func empty(t testing.TB, s *Store) {
	write(t, s, func(tx *Tx) error {
		for _, table := range []string{"account", "attempt", "balance", "entry", "event", "lane", "request", "task", "turn", "upstream"} {
			if _, err := tx.changed(context.Background(), "DELETE FROM "+table); err != nil {
				return err
			}
		}

		return nil
	})
}

func fairLane(t *rapid.T, s *Store) {
	n := rapid.IntRange(1, 4).Draw(t, "accounts")

	f := newFair(asTB(t), s, n+1, func(i int) int64 { return rapid.Int64Range(1, 4).Draw(t, "weight") }, func(i int) int64 { return rapid.Int64Range(0, 3).Draw(t, "cap") })
	for range rapid.IntRange(1, 50).Draw(t, "steps") {
		account := fmt.Sprintf("acct_%d", rapid.IntRange(0, n-1).Draw(t, "account"))
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0, 1:
			f.add(asTB(t), account, rapid.Int64Range(2, 15).Draw(t, "seconds"))
		case 2:
			f.claim(asTB(t))
		case 3:
			if len(f.running[account]) > 0 {
				f.finish(asTB(t), account, rapid.Bool().Draw(t, "requeue"))
			}
		case 4:
			if len(f.queued[account]) > 0 {
				f.cancel(asTB(t), account)
			}
		}
	}

	noFindings(asTB(t), s)
	f.newcomer(asTB(t), fmt.Sprintf("acct_%d", n))
	f.drain(asTB(t))

	for account, left := range f.queued {
		if len(left) > 0 {
			t.Fatalf("%s never had its turn for %v", account, left)
		}
	}

	noFindings(asTB(t), s)
}

// newcomer orders for the first time, while the others have what they have: none
// of them is claimed from twice before.
func (f *fair) newcomer(t testing.TB, account string) {
	f.add(t, account, 15)

	before := map[string]bool{}

	for {
		got, ok := f.claim(t)
		switch {
		case !ok:
			t.Fatalf("%s has a task and no turn", account)
		case got.Account == account:
			return
		case before[got.Account]:
			t.Fatalf("%s waits for a second task of %s", account, got.Account)
		}

		before[got.Account] = true
	}
}

// drain claims and ends tasks until none is left that may run.
func (f *fair) drain(t testing.TB) {
	for {
		_, ok := f.claim(t)
		if !ok && !slices.ContainsFunc(keys(f.running), func(a string) bool { return len(f.running[a]) > 0 }) {
			return
		}

		for account := range f.running {
			for len(f.running[account]) > 0 {
				f.finish(t, account, false)
			}
		}
	}
}

// Two accounts that always have work are served in the proportion of their
// weights, to within one task each (start-time fair queueing's bound).
func TestBackloggedAccountsShareByWeight(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		f := newFair(t, s, 3, func(i int) int64 { return []int64{1, 2, 5}[i] }, func(int) int64 { return 0 })
		for i := range 300 {
			f.add(t, fmt.Sprintf("acct_%d", i%3), int64(2+i%14))
		}

		const longest = 15

		for range 90 {
			f.claim(t)

			for a := range f.weights {
				for b := range f.weights {
					if len(f.queued[a]) == 0 || len(f.queued[b]) == 0 {
						continue
					}

					gap := f.served[a]*f.weights[b] - f.served[b]*f.weights[a]
					if bound := longest * (f.weights[a] + f.weights[b]); gap > bound {
						t.Fatalf("%s (weight %d) had %d s, %s (weight %d) %d s", a, f.weights[a], f.served[a], b, f.weights[b], f.served[b])
					}
				}
			}
		}
	})
}

// A flood does not stand before somebody else's first task.
func TestAFloodDelaysNobody(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		f := newFair(t, s, 2, func(int) int64 { return 1 }, func(int) int64 { return 0 })
		for range 500 {
			f.add(t, "acct_0", 5)
		}

		for range 100 {
			f.claim(t)
		}

		f.add(t, "acct_1", 5)

		if tk, _ := f.claim(t); tk.Account != "acct_1" {
			t.Fatalf("after a flood of acct_0, acct_1's first task was not next: %s", tk.Account)
		}
	})
}

// Having been away earns nothing: who comes back does not overtake for long.
func TestBeingAwaySavesNoTurns(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		f := newFair(t, s, 2, func(int) int64 { return 1 }, func(int) int64 { return 0 })
		for range 60 {
			f.add(t, "acct_0", 5)
		}

		for range 40 {
			f.claim(t)
		}

		for range 20 {
			f.add(t, "acct_1", 5)
		}

		before := f.served["acct_0"]
		for range 10 {
			f.claim(t)
		}

		if got := f.served["acct_0"] - before; got < 4*5 {
			t.Fatalf("acct_0 had %d s of the next 50: acct_1 spent what it never used", got)
		}
	})
}

func TestOnlyTheOwnerClaims(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		f := newFair(t, s, 1, func(int) int64 { return 1 }, func(int) int64 { return 0 })
		f.add(t, "acct_0", 5)

		var over int64

		write(t, s, func(tx *Tx) (err error) { over, err = tx.TakeLease(t.Context(), "over", "me", 1, 1); return err })

		for _, c := range []Claim{
			{Lane: "lane", Upstream: "up", Owner: "other", Fence: f.fence, At: 5},
			{Lane: "lane", Upstream: "up", Owner: "me", Fence: f.fence + 1, At: 5},
			{Lane: "lane", Upstream: "over", Owner: "me", Fence: over, At: 5},
		} {
			if err := f.s.Write(t.Context(), func(tx *Tx) error { _, err := tx.Claim(t.Context(), c); return err }); !errors.Is(err, ErrNotOwner) {
				t.Errorf("claim %+v: %v", c, err)
			}
		}
	})
}

// A queued task that goes to another lane leaves one turn and joins the other.
func TestATaskGoesToAnotherLane(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		for _, id := range []string{"task_1", "task_2"} {
			write(t, s, func(tx *Tx) error { return hold(ctx, tx, id, "acct_a", "old", task.Queued) })
		}

		first, err := s.QueuedIn(ctx, "old", task.Task{}, 1)
		if err != nil || len(first) != 1 || first[0].ID != "task_1" {
			t.Fatalf("%+v, %v", first, err)
		}

		write(t, s, func(tx *Tx) error {
			_, err := task.Advance(ctx, tx, first[0], task.Step{At: 5, Edit: func(t *task.Task) { t.Lane = "new" }})
			return err
		})

		rest, err := s.QueuedIn(ctx, "old", first[0], 10)
		if err != nil || len(rest) != 1 || rest[0].ID != "task_2" {
			t.Errorf("left behind %+v, %v", rest, err)
		}

		if id, err := s.Head(ctx, "new"); err != nil || id != "task_1" {
			t.Errorf("first in the new lane: %s, %v", id, err)
		}

		if _, err := s.Head(ctx, "none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("first of a lane without tasks: %v", err)
		}

		lanes, err := s.Lanes(ctx)
		if err != nil || len(lanes) != 2 || lanes[0].Queued != 1 || lanes[1].Queued != 1 {
			t.Errorf("%+v, %v", lanes, err)
		}

		noFindings(t, s)
	})
}

// Whoever makes a turn while its account is changed gives it the new weight.
func TestTurnsFollowTheirAccount(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 1000)

		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				c := creation(fmt.Sprintf("task_%02d", n), "acct_a", "", task.Queued)

				c.Task.Lane = fmt.Sprintf("lane_%02d", n)
				if _, err := s.Create(context.Background(), c); err != nil {
					t.Error(err)
				}
			})

			if n%4 == 0 {
				all.Go(func() {
					write(t, s, func(tx *Tx) error {
						_, err := tx.ChangeAccount(context.Background(), "acct_a", func(a *account.Account) {
							a.Weight = int64(n + 2)
							a.Cap = int64(n + 1)
						})

						return err
					})
				})
			}
		}

		all.Wait()
		noFindings(t, s)
	})
}
