package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// openPostgresStore opens an empty PostgreSQL store.
func openPostgresStore(t *testing.T) *Store {
	t.Helper()
	return openStore(t, storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)})
}

// grantCredit adds an amount to an account's granted credit.
func grantCredit(ctx context.Context, tx *Tx, account, ref string, amount money.Amount) error {
	b, err := tx.LockBalance(ctx, account)
	if err != nil {
		return err
	}

	if b, err = credit.Grant(b, amount); err != nil {
		return err
	}

	return tx.SaveBalance(ctx, account, b, credit.Entry{ID: "entry_" + account + ref, Account: account, Kind: credit.KindGrant, Amount: amount, Ref: ref})
}

// TestDeadlockIsRetried runs two Writes that lock the same rows in opposite
// order: the database rolls back one of them, and it is run again.
func TestDeadlockIsRetried(t *testing.T) {
	s := openPostgresStore(t)
	addAccount(t, s, "acct_a", 1, 0, 100)
	addAccount(t, s, "acct_b", 1, 0, 100)

	var bothLocked, wg sync.WaitGroup // bothLocked: each has locked its first row
	bothLocked.Add(2)

	runs := [2]int{}

	for i, accounts := range [2][2]string{{"acct_a", "acct_b"}, {"acct_b", "acct_a"}} {
		wg.Go(func() {
			err := s.Write(context.Background(), func(tx *Tx) error {
				runs[i]++

				ref := fmt.Sprint("write ", i)
				if err := grantCredit(context.Background(), tx, accounts[0], ref, 1); err != nil {
					return err
				}

				if runs[i] == 1 {
					bothLocked.Done()
					bothLocked.Wait()
				}

				return grantCredit(context.Background(), tx, accounts[1], ref, 1)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()

	if runs[0]+runs[1] < 3 {
		t.Errorf("%v runs: there was no deadlock", runs)
	}

	for _, account := range []string{"acct_a", "acct_b"} {
		if b, err := s.Balance(t.Context(), account); err != nil || b.Granted != 102 {
			t.Errorf("%s: %+v, %v", account, b, err)
		}
	}

	wantNoFindings(t, s)
}

// TestSerializationFailureIsRetried checks that a Write with a serialization
// failure is run again, without the effects of the first run, and that it fails
// after too many attempts.
func TestSerializationFailureIsRetried(t *testing.T) {
	s := openPostgresStore(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	fail := func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, "DO $$ BEGIN RAISE EXCEPTION 'another one was first' USING ERRCODE = 'serialization_failure'; END $$")
		return err
	}
	runs := 0
	effects := 0

	err := s.Write(t.Context(), func(tx *Tx) error {
		runs++

		tx.AfterCommit(func() { effects++ })

		if err := grantCredit(t.Context(), tx, "acct_a", "again", 1); err != nil || runs > 2 {
			return err
		}

		return fail(t.Context(), tx)
	})
	if err != nil || runs != 3 || effects != 1 {
		t.Errorf("%d runs, %d effects, %v", runs, effects, err)
	}

	runs = 0
	if err := s.Write(t.Context(), func(tx *Tx) error { runs++; return fail(t.Context(), tx) }); err == nil || runs < 5 || runs > 50 {
		t.Errorf("it always fails: %d runs, %v", runs, err)
	}

	if b, err := s.Balance(t.Context(), "acct_a"); err != nil || b.Granted != 101 {
		t.Errorf("%+v, %v", b, err)
	}

	wantNoFindings(t, s)
}

// TestConstraintViolationIsNotRetried checks that the violation of a constraint
// is not retried but returned at once, and does not fail the other creations of
// its batch.
func TestConstraintViolationIsNotRetried(t *testing.T) {
	s := openPostgresStore(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	runs := 0

	err := s.Write(t.Context(), func(tx *Tx) error {
		runs++
		_, err := tx.exec(t.Context(), "UPDATE balance SET held = granted + 1")

		return err
	})
	if err == nil || runs != 1 || errors.Is(err, ErrUnavailable) {
		t.Errorf("%d runs, %v", runs, err)
	}

	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			c := keyedCreation(fmt.Sprintf("task_%02d", i))
			if i%4 == 0 {
				c.Task.Queue = "queue\x00" // not a valid text in PostgreSQL
			}

			if _, err := s.Create(context.Background(), c); (err != nil) != (i%4 == 0 || errors.Is(err, credit.ErrInsufficient)) {
				t.Errorf("%s: %v", c.Task.ID, err)
			}
		})
	}

	wg.Wait()

	if n := countTasks(t, s, "acct_a"); n != 20 {
		t.Errorf("%d holds of 5 in a credit of 100", n)
	}
}

// TestConcurrentClaimsTakeEachTaskOnce runs the claims of several replicas
// concurrently: no task is claimed twice, none is left over, caps hold, and each
// account's tasks are claimed in order.
func TestConcurrentClaimsTakeEachTaskOnce(t *testing.T) {
	at := storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)}
	stores := []*Store{openStore(t, at), openStore(t, at), openStore(t, at)}
	f := newFairnessModel(t, stores[0], 5, func(i int) int64 { return int64(i + 1) }, func(int) int64 { return 0 })

	const tasks = 300
	for i := range tasks {
		f.add(t, fmt.Sprintf("acct_%d", i%5), 5)
	}

	var mu sync.Mutex

	claimed := map[string]int{}

	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			for {
				var got task.Task

				err := stores[i%3].Write(context.Background(), func(tx *Tx) (err error) {
					got, err = tx.Claim(context.Background(), Claim{Queue: "queue", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: f.fence, At: 5})
					return err
				})
				switch {
				case errors.Is(err, ErrBusy):
					continue
				case errors.Is(err, ErrNotFound):
					return
				case err != nil:
					t.Error(err)
					return
				}

				mu.Lock()
				claimed[got.ID]++
				mu.Unlock()
			}
		})
	}

	wg.Wait()

	for id, times := range claimed {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}

	if len(claimed) != tasks {
		t.Errorf("%d of %d tasks were claimed", len(claimed), tasks)
	}

	wantNoFindings(t, stores[0])
}

// TestAdvanceOfOldRowIsStale checks that a step from a row that another
// transaction has changed in the meantime fails with ErrStale and not with an
// error about the balance or the share, which the other transaction may have
// changed so that the step no longer fits.
func TestAdvanceOfOldRowIsStale(t *testing.T) {
	s := openPostgresStore(t)
	ctx := t.Context()
	end := task.Step{At: 9, EntryIDs: [2]string{"e1", "e2"}, Edit: func(t *task.Task) { t.State = task.Cancelled }}

	var fence int64

	write(t, s, func(tx *Tx) (err error) { fence, err = tx.AcquireLease(ctx, "up", "me", 5, 1000); return err })
	claim := func(tx *Tx) error {
		_, err := tx.Claim(ctx, Claim{Queue: "queue", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: 5})
		return err
	}

	cases := map[string]struct {
		initial    task.State
		setup      func(tx *Tx) error                 // runs before the task is read
		concurrent func(tx *Tx, read task.Task) error // another transaction between the read and the step
	}{
		"ended while preparing": {initial: task.Preparing},
		"ended while queued":    {initial: task.Queued},
		"claimed":               {initial: task.Queued, concurrent: func(tx *Tx, _ task.Task) error { return claim(tx) }},
		"ended while submitted": {initial: task.Queued, setup: claim},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			id := "task_" + name
			acct := "acct_" + name
			addAccount(t, s, acct, 1, 0, 100)
			write(t, s, func(tx *Tx) error { return insertTaskWithHold(ctx, tx, id, acct, "queue", c.initial) })

			if c.setup != nil {
				write(t, s, c.setup)
			}

			if c.concurrent == nil {
				c.concurrent = func(tx *Tx, read task.Task) error {
					other := end
					other.EntryIDs = [2]string{"other1" + name, "other2" + name}
					_, err := task.Advance(ctx, tx, read, other)

					return err
				}
			}

			runs := 0

			write(t, s, func(tx *Tx) error {
				runs++

				read, err := tx.TaskOf(ctx, acct, id)
				if err != nil {
					return err
				}

				if runs > 1 {
					return nil // the retry would decide by the new row
				}

				write(t, s, func(tx *Tx) error { return c.concurrent(tx, read) })

				if _, err = task.Advance(ctx, tx, read, end); !errors.Is(err, task.ErrStale) {
					t.Errorf("%v", err)
				}

				return err
			})

			if runs != 2 {
				t.Errorf("%d runs", runs)
			}

			wantNoFindings(t, s)
		})
	}
}
