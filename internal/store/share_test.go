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

// fairnessModel is a queue on a real database with random accounts, driven by a
// property test. It keeps its own record of what must be queued and running.
type fairnessModel struct {
	s       *Store
	fence   int64
	weights map[string]int64
	caps    map[string]int64
	queued  map[string][]string // by account, oldest first
	running map[string][]task.Task
	served  map[string]int64 // seconds claimed
	next    int
}

func newFairnessModel(t testing.TB, s *Store, accounts int, weight func(int) int64, limit func(int) int64) *fairnessModel {
	f := &fairnessModel{
		s:       s,
		weights: map[string]int64{},
		caps:    map[string]int64{},
		queued:  map[string][]string{},
		running: map[string][]task.Task{},
		served:  map[string]int64{},
	}

	for i := range accounts {
		id := fmt.Sprintf("acct_%d", i)
		f.weights[id] = weight(i)
		f.caps[id] = limit(i)
		addAccount(t, s, id, f.weights[id], f.caps[id], 1<<40)
	}

	write(t, s, func(tx *Tx) (err error) {
		f.fence, err = tx.AcquireLease(context.Background(), "up", "me", 1, 1<<50)
		return err
	})

	return f
}

func (f *fairnessModel) add(t testing.TB, account string, seconds int64) {
	f.next++
	id := fmt.Sprintf("task_%06d", f.next)
	write(t, f.s, func(tx *Tx) error {
		return tx.InsertTask(context.Background(), task.Task{ID: id, Account: account, Version: 1, State: task.Queued, Queue: "queue", Seconds: seconds, Billing: "free"}, nil)
	})
	f.queued[account] = append(f.queued[account], id)
}

func (f *fairnessModel) claim(t testing.TB) (task.Task, bool) {
	var got task.Task

	err := f.s.Write(context.Background(), func(tx *Tx) (err error) {
		got, err = tx.Claim(context.Background(), Claim{Queue: "queue", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: f.fence, At: 5})
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

func (f *fairnessModel) advance(t testing.TB, tk task.Task, edit func(*task.Task)) {
	write(t, f.s, func(tx *Tx) error {
		_, err := task.Advance(context.Background(), tx, tk, task.Step{At: 9, Edit: edit})
		return err
	})
}

// finish ends the oldest running task of an account, or puts it back into its
// queue.
func (f *fairnessModel) finish(t testing.TB, account string, requeue bool) {
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
func (f *fairnessModel) cancel(t testing.TB, account string) {
	id := f.queued[account][0]

	tk, err := f.s.Task(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}

	f.advance(t, tk, func(n *task.Task) { n.State = task.Cancelled })
	f.queued[account] = f.queued[account][1:]
}

// TestFairQueueProperties adds, claims, ends, requeues and cancels tasks at
// random. The shares count what is there, caps hold, an account's tasks are
// claimed in order, a new account waits for at most one task of each other
// account, and in the end every task has been claimed.
func TestFairQueueProperties(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		rapid.Check(t, func(t *rapid.T) {
			deleteAllRows(asTB(t), s)
			runFairnessModel(t, s)
		})
	})
}

// deleteAllRows deletes every row: creating another database for each check of a
// property would take longer than the checks.
func deleteAllRows(t testing.TB, s *Store) {
	write(t, s, func(tx *Tx) error {
		for _, table := range []string{"account", "attempt", "balance", "entry", "event", "queue", "request", "task", "share", "upstream"} {
			if _, err := tx.exec(context.Background(), "DELETE FROM "+table); err != nil {
				return err
			}
		}

		return nil
	})
}

func runFairnessModel(t *rapid.T, s *Store) {
	n := rapid.IntRange(1, 4).Draw(t, "accounts")

	weight := func(int) int64 { return rapid.Int64Range(1, 4).Draw(t, "weight") }
	limit := func(int) int64 { return rapid.Int64Range(0, 3).Draw(t, "cap") }
	f := newFairnessModel(asTB(t), s, n+1, weight, limit)

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

	wantNoFindings(asTB(t), s)
	f.checkNewcomer(asTB(t), fmt.Sprintf("acct_%d", n))
	f.drain(asTB(t))

	for account, left := range f.queued {
		if len(left) > 0 {
			t.Fatalf("tasks of %s were never claimed: %v", account, left)
		}
	}

	wantNoFindings(asTB(t), s)
}

// checkNewcomer adds the first task of a new account: no other account may be
// claimed from twice before it is claimed.
func (f *fairnessModel) checkNewcomer(t testing.TB, account string) {
	f.add(t, account, 15)

	before := map[string]bool{}

	for {
		got, ok := f.claim(t)
		switch {
		case !ok:
			t.Fatalf("%s has a task, but nothing can be claimed", account)
		case got.Account == account:
			return
		case before[got.Account]:
			t.Fatalf("%s waits for a second task of %s", account, got.Account)
		}

		before[got.Account] = true
	}
}

// drain claims and ends tasks until no task is left that may run.
func (f *fairnessModel) drain(t testing.TB) {
	for {
		_, ok := f.claim(t)
		if !ok && !slices.ContainsFunc(sortedKeys(f.running), func(a string) bool { return len(f.running[a]) > 0 }) {
			return
		}

		for account := range f.running {
			for len(f.running[account]) > 0 {
				f.finish(t, account, false)
			}
		}
	}
}

// TestBackloggedAccountsShareByWeight checks that two accounts that always have
// work are served in proportion to their weights, within one task each (the
// bound of start-time fair queueing).
func TestBackloggedAccountsShareByWeight(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		f := newFairnessModel(t, s, 3, func(i int) int64 { return []int64{1, 2, 5}[i] }, func(int) int64 { return 0 })
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

// TestFloodDoesNotDelayOthers checks that the many tasks of one account do not
// delay the first task of another.
func TestFloodDoesNotDelayOthers(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		f := newFairnessModel(t, s, 2, func(int) int64 { return 1 }, func(int) int64 { return 0 })
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

// TestIdleAccountSavesNoCredit checks that an account that was idle does not
// overtake the others for long when it returns.
func TestIdleAccountSavesNoCredit(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		f := newFairnessModel(t, s, 2, func(int) int64 { return 1 }, func(int) int64 { return 0 })
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
			t.Fatalf("acct_0 had %d s of the next 50: acct_1 used virtual time that it had saved while idle", got)
		}
	})
}

func TestOnlyLeaseOwnerClaims(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		f := newFairnessModel(t, s, 1, func(int) int64 { return 1 }, func(int) int64 { return 0 })
		f.add(t, "acct_0", 5)

		var expiredFence int64

		write(t, s, func(tx *Tx) (err error) {
			expiredFence, err = tx.AcquireLease(t.Context(), "expired", "me", 1, 1)
			return err
		})

		for _, c := range []Claim{
			{Queue: "queue", Upstream: "up", Owner: "other", Fence: f.fence, At: 5},
			{Queue: "queue", Upstream: "up", Owner: "me", Fence: f.fence + 1, At: 5},
			{Queue: "queue", Upstream: "expired", Owner: "me", Fence: expiredFence, At: 5},
		} {
			if err := f.s.Write(t.Context(), func(tx *Tx) error { _, err := tx.Claim(t.Context(), c); return err }); !errors.Is(err, ErrNotOwner) {
				t.Errorf("claim %+v: %v", c, err)
			}
		}
	})
}

// TestTaskMovesToAnotherQueue checks that a queued task that changes its queue
// leaves one share and joins the other.
func TestTaskMovesToAnotherQueue(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		for _, id := range []string{"task_1", "task_2"} {
			write(t, s, func(tx *Tx) error { return insertTaskWithHold(ctx, tx, id, "acct_a", "old", task.Queued) })
		}

		first, err := s.QueuedTasks(ctx, "old", task.Task{}, 1)
		if err != nil || len(first) != 1 || first[0].ID != "task_1" {
			t.Fatalf("%+v, %v", first, err)
		}

		write(t, s, func(tx *Tx) error {
			_, err := task.Advance(ctx, tx, first[0], task.Step{At: 5, Edit: func(t *task.Task) { t.Queue = "new" }})
			return err
		})

		rest, err := s.QueuedTasks(ctx, "old", first[0], 10)
		if err != nil || len(rest) != 1 || rest[0].ID != "task_2" {
			t.Errorf("left in the old queue: %+v, %v", rest, err)
		}

		if id, err := s.QueueHead(ctx, "new"); err != nil || id != "task_1" {
			t.Errorf("head of the new queue: %s, %v", id, err)
		}

		if _, err := s.QueueHead(ctx, "none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("head of an empty queue: %v", err)
		}

		queues, err := s.Queues(ctx)
		if err != nil || len(queues) != 2 || queues[0].Queued != 1 || queues[1].Queued != 1 {
			t.Errorf("%+v, %v", queues, err)
		}

		wantNoFindings(t, s)
	})
}

// TestSharesFollowAccount creates shares while their account is changed: each
// share gets the final weight and cap.
func TestSharesFollowAccount(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 1000)

		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				c := creation(fmt.Sprintf("task_%02d", n), "acct_a", "", task.Queued)

				c.Task.Queue = fmt.Sprintf("queue_%02d", n)
				if _, err := s.Create(context.Background(), c); err != nil {
					t.Error(err)
				}
			})

			if n%4 == 0 {
				wg.Go(func() {
					write(t, s, func(tx *Tx) error {
						_, err := tx.UpdateAccount(context.Background(), "acct_a", func(a *account.Account) {
							a.Weight = int64(n + 2)
							a.Cap = int64(n + 1)
						})

						return err
					})
				})
			}
		}

		wg.Wait()
		wantNoFindings(t, s)
	})
}
