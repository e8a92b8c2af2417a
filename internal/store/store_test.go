package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

func write(t testing.TB, s *Store, f func(*Tx) error) {
	t.Helper()

	if err := s.Write(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// addAccount creates an account with credit.
func addAccount(t testing.TB, s *Store, id string, weight, limit int64, grant money.Amount) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		ctx := t.Context()
		if ok, err := tx.InsertAccount(ctx, account.Account{ID: id, Name: id, Weight: weight, Cap: limit}); err != nil || !ok {
			return fmt.Errorf("insert account: %v %w", ok, err)
		}

		b, err := tx.LockBalance(ctx, id)
		if err != nil {
			return err
		}

		if b, err = credit.Grant(b, grant); err != nil {
			return err
		}

		return tx.SaveBalance(ctx, id, b, credit.Entry{ID: "entry_" + id, Account: id, Kind: credit.KindGrant, Amount: grant, Ref: "start"})
	})
}

// insertTaskWithHold inserts a task with a hold, as checkout does.
func insertTaskWithHold(ctx context.Context, tx *Tx, id, acct, queue string, state task.State) error {
	b, err := tx.LockBalance(ctx, acct)
	if err != nil {
		return err
	}

	if b, err = credit.Hold(b, 5); err != nil {
		return err
	}

	if err := tx.SaveBalance(ctx, acct, b, credit.Entry{ID: "hold_" + id, Account: acct, Task: id, Kind: credit.KindHold, Amount: 5}); err != nil {
		return err
	}

	t := task.Task{ID: id, Account: acct, Version: 1, State: state, Model: "m", ResolvedModel: "m", Seconds: 5, Hold: 5, UnitPrice: 1, Billing: "output"}
	if state == task.Queued {
		t.Queue = queue
	}

	return tx.InsertTask(ctx, t, []byte("{}"))
}

func wantNoFindings(t testing.TB, s *Store) {
	t.Helper()

	findings, err := s.CheckIntegrity(context.Background(), 10)
	if err != nil {
		t.Fatal(err)
	}

	for _, f := range findings {
		t.Errorf("integrity: %s: %s", f.Check, f.Detail)
	}
}

func TestTaskLifecycleAndLedger(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 100)
		ctx := t.Context()
		write(t, s, func(tx *Tx) error { return insertTaskWithHold(ctx, tx, "task_1", "acct_a", "queue", task.Queued) })

		var fence int64

		write(t, s, func(tx *Tx) (err error) { fence, err = tx.AcquireLease(ctx, "up", "me", 5, 1000); return err })

		var tk task.Task

		write(t, s, func(tx *Tx) (err error) {
			tk, err = tx.Claim(ctx, Claim{Queue: "queue", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: 10})
			return err
		})

		if tk.State != task.Submitting || tk.Attempt != 1 || tk.Version != 2 {
			t.Fatalf("claimed %+v", tk)
		}

		steps := []task.Step{
			{At: 20, Edit: func(t *task.Task) {
				t.State = task.Running
				t.RemoteID = "T"
			}},
			{At: 30, Edit: func(t *task.Task) {
				t.State = task.Collecting
				t.Result = "{}"
			}},
			{At: 40, Edit: func(t *task.Task) {
				t.State = task.Completed
				t.Progress = 100
			}, UsageCost: 3, EntryIDs: [2]string{"e1", "e2"}},
		}
		for i, step := range steps {
			write(t, s, func(tx *Tx) (err error) {
				if i == len(steps)-1 {
					if err := tx.InsertArtifact(ctx, task.Artifact{Task: tk.ID, Kind: task.Video, Blob: "b"}); err != nil {
						return err
					}
				}

				next, err := task.Advance(ctx, tx, tk, step)
				if err == nil {
					tk = next
				}

				return err
			})
		}

		b, err := s.Balance(ctx, "acct_a")
		if err != nil || b != (credit.Balance{Granted: 100, Spent: 3}) {
			t.Fatalf("balance %+v, %v", b, err)
		}

		if events, err := s.Events(ctx, tk.ID, 0, 10); err != nil || len(events) != 5 {
			t.Fatalf("events %v, %v", events, err)
		}

		if err := s.Write(ctx, func(tx *Tx) error {
			_, err := task.Advance(ctx, tx, task.Task{ID: tk.ID, Account: tk.Account, Version: 2, State: task.Collecting, Queue: tk.Queue}, task.Step{Edit: func(t *task.Task) {
				t.State = task.Failed
				t.Error = &task.Error{Code: "x"}
			}})

			return err
		}); err == nil {
			t.Fatal("a step from a stale version was written")
		}

		wantNoFindings(t, s)
	})
}

func TestFailedWriteRollsBackAlone(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 1000)

		boom := errors.New("boom")

		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				err := s.Write(context.Background(), func(tx *Tx) error {
					if err := insertTaskWithHold(context.Background(), tx, fmt.Sprintf("task_%02d", i), "acct_a", "queue", task.Queued); err != nil {
						return err
					}

					if i%3 == 0 {
						return boom
					}

					return nil
				})
				if (i%3 == 0) != errors.Is(err, boom) {
					t.Errorf("write %d: %v", i, err)
				}
			})
		}

		wg.Wait()

		b, err := s.Balance(t.Context(), "acct_a")
		if err != nil || b.Held != 40*5 {
			t.Fatalf("held %d, %v; want %d", b.Held, err, 40*5)
		}

		wantNoFindings(t, s)
	})
}

func TestPanicRollsBackAndPropagates(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 1000)
		func() {
			defer func() {
				if r := recover(); r != "ouch" {
					t.Errorf("recovered %v", r)
				}
			}()

			_ = s.Write(t.Context(), func(tx *Tx) error {
				if err := insertTaskWithHold(t.Context(), tx, "task_1", "acct_a", "queue", task.Queued); err != nil {
					return err
				}

				panic("ouch")
			})
		}()

		if _, err := s.Task(t.Context(), "task_1"); !errors.Is(err, ErrNotFound) {
			t.Fatalf("the panicked write left a row: %v", err)
		}

		write(t, s, func(tx *Tx) error {
			return insertTaskWithHold(t.Context(), tx, "task_2", "acct_a", "queue", task.Queued)
		})
		wantNoFindings(t, s)
	})
}

func TestAfterCommitRunsOnlyAfterCommit(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		addAccount(t, s, "acct_a", 1, 0, 1000)
		waitListening(t, s, true) // until then every watcher is woken each second

		changed, stop := s.WatchTask("task_1")
		defer stop()

		ran := false
		_ = s.Write(t.Context(), func(tx *Tx) error {
			tx.AfterCommit(func() { ran = true })
			_ = insertTaskWithHold(t.Context(), tx, "task_1", "acct_a", "queue", task.Queued)

			return errors.New("no")
		})

		select {
		case <-changed:
			t.Fatal("a change that was rolled back was published")
		default:
		}

		if ran {
			t.Fatal("an effect of a write that was rolled back ran")
		}

		write(t, s, func(tx *Tx) error {
			return insertTaskWithHold(t.Context(), tx, "task_1", "acct_a", "queue", task.Queued)
		})
		<-changed
	})
}

func TestCancelledWriteDoesNotRun(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		err := s.Write(ctx, func(*Tx) error { t.Error("the closure of a cancelled caller ran"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}
