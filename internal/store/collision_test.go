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

// full opens an empty PostgreSQL store.
func full(t *testing.T) *Store {
	t.Helper()
	return openAt(t, storetest.Place{Database: storetest.Migrated(t, migrated)})
}

// spend takes an amount of an account's granted credit away from its free part.
func spend(ctx context.Context, tx *Tx, account, ref string, amount money.Amount) error {
	b, err := tx.LockBalance(ctx, account)
	if err != nil {
		return err
	}

	if b, err = credit.Grant(b, amount); err != nil {
		return err
	}

	return tx.SaveBalance(ctx, account, b, credit.Entry{ID: "entry_" + account + ref, Account: account, Kind: credit.KindGrant, Amount: amount, Ref: ref})
}

// Two Writes that lock the same rows in opposite order: the database undoes one of
// them, which is run again.
func TestADeadlockIsRunAgain(t *testing.T) {
	s := full(t)
	addAccount(t, s, "acct_a", 1, 0, 100)
	addAccount(t, s, "acct_b", 1, 0, 100)

	var both, ended sync.WaitGroup // both have their first row
	both.Add(2)

	runs := [2]int{}

	for i, order := range [2][2]string{{"acct_a", "acct_b"}, {"acct_b", "acct_a"}} {
		ended.Go(func() {
			err := s.Write(context.Background(), func(tx *Tx) error {
				runs[i]++

				ref := fmt.Sprint("write ", i)
				if err := spend(context.Background(), tx, order[0], ref, 1); err != nil {
					return err
				}

				if runs[i] == 1 {
					both.Done()
					both.Wait()
				}

				return spend(context.Background(), tx, order[1], ref, 1)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}

	ended.Wait()

	if runs[0]+runs[1] < 3 {
		t.Errorf("%v runs: there was no deadlock", runs)
	}

	for _, account := range []string{"acct_a", "acct_b"} {
		if b, err := s.Balance(t.Context(), account); err != nil || b.Granted != 102 {
			t.Errorf("%s: %+v, %v", account, b, err)
		}
	}

	noFindings(t, s)
}

// What the database calls a failure of serialization is run again, with none of
// the first run's effects; after too many it is told.
func TestASerializationFailureIsRunAgain(t *testing.T) {
	s := full(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	fail := func(ctx context.Context, tx *Tx) error {
		_, err := tx.changed(ctx, "DO $$ BEGIN RAISE EXCEPTION 'another one was first' USING ERRCODE = 'serialization_failure'; END $$")
		return err
	}
	runs := 0
	effects := 0

	err := s.Write(t.Context(), func(tx *Tx) error {
		runs++

		tx.AfterCommit(func() { effects++ })

		if err := spend(t.Context(), tx, "acct_a", "again", 1); err != nil || runs > 2 {
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

	noFindings(t, s)
}

// A refusal by a rule of the tables is nobody's collision: it is told at once, and
// spoils no other's creation of the same batch.
func TestARefusalIsNotRunAgain(t *testing.T) {
	s := full(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	runs := 0

	err := s.Write(t.Context(), func(tx *Tx) error {
		runs++
		_, err := tx.changed(t.Context(), "UPDATE balance SET held = granted + 1")

		return err
	})
	if err == nil || runs != 1 || errors.Is(err, ErrUnavailable) {
		t.Errorf("%d runs, %v", runs, err)
	}

	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			c := ordered(fmt.Sprintf("task_%02d", i))
			if i%4 == 0 {
				c.Task.Lane = "lane\x00" // no text of PostgreSQL's
			}

			if _, err := s.Create(context.Background(), c); (err != nil) != (i%4 == 0 || errors.Is(err, credit.ErrInsufficient)) {
				t.Errorf("%s: %v", c.Task.ID, err)
			}
		})
	}

	all.Wait()

	if n := written(t, s, "acct_a"); n != 20 {
		t.Errorf("%d holds of 5 in a credit of 100", n)
	}
}

// Many replicas' claims at once: no task twice, none left over, caps hold, each
// account's in its order.
func TestClaimsAtOnceTakeEachTaskOnce(t *testing.T) {
	at := storetest.Place{Database: storetest.Migrated(t, migrated)}
	stores := []*Store{openAt(t, at), openAt(t, at), openAt(t, at)}
	f := newFair(t, stores[0], 5, func(i int) int64 { return int64(i + 1) }, func(int) int64 { return 0 })

	const tasks = 300
	for i := range tasks {
		f.add(t, fmt.Sprintf("acct_%d", i%5), 5)
	}

	var mu sync.Mutex

	claimed := map[string]int{}

	var all sync.WaitGroup
	for i := range 9 {
		all.Go(func() {
			for {
				var got task.Task

				err := stores[i%3].Write(context.Background(), func(tx *Tx) (err error) {
					got, err = tx.Claim(context.Background(), Claim{Lane: "lane", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: f.fence, At: 5})
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

	all.Wait()

	for id, times := range claimed {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}

	if len(claimed) != tasks {
		t.Errorf("%d of %d tasks were claimed", len(claimed), tasks)
	}

	noFindings(t, stores[0])
}

// Who decided by a row that another changed meanwhile is told so, whatever the
// other did to the balance and the turn: that these no longer suffice for the step
// is no fault of theirs.
func TestAStepByAnOldRowIsStale(t *testing.T) {
	s := full(t)
	ctx := t.Context()
	end := task.Step{At: 9, Entries: [2]string{"e1", "e2"}, Edit: func(t *task.Task) { t.State = task.Cancelled }}

	var fence int64

	write(t, s, func(tx *Tx) (err error) { fence, err = tx.TakeLease(ctx, "up", "me", 5, 1000); return err })
	claim := func(tx *Tx) error {
		_, err := tx.Claim(ctx, Claim{Lane: "lane", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: 5})
		return err
	}

	cases := map[string]struct {
		first  task.State
		before func(tx *Tx) error                 // what was done to the task long ago
		others func(tx *Tx, read task.Task) error // what another does between the reading and the step
	}{
		"ended while preparing": {first: task.Preparing},
		"ended while queued":    {first: task.Queued},
		"claimed":               {first: task.Queued, others: func(tx *Tx, _ task.Task) error { return claim(tx) }},
		"ended while submitted": {first: task.Queued, before: claim},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			id := "task_" + name
			acct := "acct_" + name
			addAccount(t, s, acct, 1, 0, 100)
			write(t, s, func(tx *Tx) error { return hold(ctx, tx, id, acct, "lane", c.first) })

			if c.before != nil {
				write(t, s, c.before)
			}

			if c.others == nil {
				c.others = func(tx *Tx, read task.Task) error {
					other := end
					other.Entries = [2]string{"other1" + name, "other2" + name}
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
					return nil // it would now decide anew
				}

				write(t, s, func(tx *Tx) error { return c.others(tx, read) })

				if _, err = task.Advance(ctx, tx, read, end); !errors.Is(err, task.ErrStale) {
					t.Errorf("%v", err)
				}

				return err
			})

			if runs != 2 {
				t.Errorf("%d runs", runs)
			}

			noFindings(t, s)
		})
	}
}
