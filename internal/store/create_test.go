package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// forEachDatabase runs a test on a new store of each kind.
func forEachDatabase(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	storetest.EachDatabase(t, migrateDatabase, func(t *testing.T, at storetest.Location) { test(t, openStore(t, at)) })
}

func migrateDatabase(ctx context.Context, database string) error {
	_, _, err := Migrate(ctx, Options{Database: database})
	return err
}

func testOptions(at storetest.Location) Options {
	return Options{Path: at.Path, Database: at.Database, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func openStore(t testing.TB, at storetest.Location) *Store {
	t.Helper()

	s, err := Open(t.Context(), testOptions(at))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

// creation returns a creation with a hold of 5 for an account, with an
// idempotency key or without ("").
func creation(id, acct, key string, state task.State) *Creation {
	c := &Creation{
		Task: task.Task{
			ID:            id,
			Account:       acct,
			Version:       1,
			State:         state,
			Model:         "m",
			ResolvedModel: "m",
			Seconds:       5,
			Hold:          5,
			UnitPrice:     1,
			Billing:       "output",
			CreatedAt:     100,
		},
		Request: []byte(`{"prompt":"光"}`),
		Key:     Idempotency{Account: acct, Key: key, BodyHash: "h", Task: id, Expires: 1000},
		Hold:    credit.Entry{ID: "hold_" + id, Account: acct, Task: id, Kind: credit.KindHold, Amount: 5},
	}
	if state == task.Queued {
		c.Task.Queue = "queue"
	}

	return c
}

func TestCreate(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 7)

		c := creation("task_1", "acct_a", "k", task.Queued)

		c.Files = []File{{ID: "file_1", Account: "acct_a", Name: "a.png", Kind: "image", Blob: "file_1/x"}}
		if existing, err := s.Create(ctx, c); err != nil || existing != nil {
			t.Fatal(existing, err)
		}

		got, err := s.TaskOf(ctx, "acct_a", "task_1")
		if err != nil || got.State != task.Queued || got.Hold != 5 {
			t.Errorf("%+v, %v", got, err)
		}

		if body, _, err := s.Request(ctx, "task_1"); err != nil || string(body) != `{"prompt":"光"}` {
			t.Errorf("%s, %v", body, err)
		}

		if _, err := s.FileOf(ctx, "acct_a", "file_1"); err != nil {
			t.Error(err)
		}

		if events, err := s.Events(ctx, "task_1", 0, 10); err != nil || len(events) != 1 || events[0].Seq != 1 {
			t.Errorf("%+v, %v", events, err)
		}
		// The idempotency key now belongs to the task.
		existing, err := s.Create(ctx, creation("task_2", "acct_a", "k", task.Queued))
		if err != nil || existing == nil || existing.Task != "task_1" || existing.BodyHash != "h" {
			t.Errorf("%+v, %v", existing, err)
		}
		// Only 2 micro-units are left: no task, no hold, and the key stays free.
		var creditErr *InsufficientCreditError
		if _, err := s.Create(ctx, creation("task_3", "acct_a", "other", task.Queued)); !errors.As(err, &creditErr) || creditErr.Balance.Free() != 2 || !errors.Is(err, credit.ErrInsufficient) {
			t.Errorf("%v", err)
		}

		if _, err := s.Idempotency(ctx, "acct_a", "other", 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("the key of a rejected creation: %v", err)
		}

		free := creation("task_4", "acct_a", "other", task.Preparing)
		free.Task.Hold = 0
		free.Hold.Amount = 0

		if existing, err := s.Create(ctx, free); err != nil || existing != nil {
			t.Error(existing, err)
		}

		wantNoFindings(t, s)
	})
}

// TestConcurrentCreatesAreAtomic creates concurrently with few keys and little
// credit: each key creates one task, no account spends more than it has, and a
// creation that was rejected or came second changes nothing.
func TestConcurrentCreatesAreAtomic(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		const accounts, each, keys = 4, 60, 12
		for a := range accounts {
			addAccount(t, s, fmt.Sprintf("acct_%d", a), 1, 0, 100) // for 20 tasks
		}

		var (
			created, replayed, refused atomic.Int64
			wg                         sync.WaitGroup
		)
		for n := range accounts * each {
			wg.Go(func() {
				acct := fmt.Sprintf("acct_%d", n%accounts)

				key := ""
				if n%3 > 0 {
					key = fmt.Sprint("k", n/accounts%keys)
				}

				state := task.Queued
				if n%5 == 0 {
					state = task.Preparing
				}

				existing, err := s.Create(context.Background(), creation(fmt.Sprintf("task_%03d", n), acct, key, state))
				switch {
				case err == nil && existing == nil:
					created.Add(1)
				case err == nil:
					replayed.Add(1)
				case errors.Is(err, credit.ErrInsufficient):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}

		wg.Wait()
		wantNoFindings(t, s)

		if created.Load() != accounts*20 || replayed.Load() == 0 || refused.Load() == 0 {
			t.Errorf("created %d, replayed %d, rejected %d", created.Load(), replayed.Load(), refused.Load())
		}

		for a := range accounts {
			acct := fmt.Sprintf("acct_%d", a)
			list, _, err := s.Tasks(t.Context(), TaskFilter{Account: acct, Limit: 100})

			b, balance := s.Balance(t.Context(), acct)
			if err != nil || balance != nil || len(list) != 20 || b.Held != 100 {
				t.Errorf("%s: %d tasks, %+v, %v, %v", acct, len(list), b, err, balance)
			}
		}
	})
}

func TestPruneTasks(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		for i, id := range []string{"task_1", "task_2", "task_3"} {
			if _, err := s.Create(ctx, creation(id, "acct_a", "", task.Queued)); err != nil {
				t.Fatal(err)
			}

			if i == 2 {
				continue // not final
			}

			write(t, s, func(tx *Tx) error {
				k, err := tx.Task(ctx, id)
				if err != nil {
					return err
				}

				_, err = task.Advance(ctx, tx, k, task.Step{
					At:       int64(1000 * (i + 1)),
					Edit:     func(k *task.Task) { k.State = task.Cancelled },
					EntryIDs: [2]string{"e1" + id, "e2" + id},
				})

				return err
			})
		}

		prune := func() (n int) {
			write(t, s, func(tx *Tx) (err error) { n, err = tx.PruneTasks(ctx, 1500, 10); return err })
			return n
		}
		if first, second := prune(), prune(); first != 1 || second != 0 {
			t.Fatalf("pruned %d, then %d", first, second)
		}

		for id, want := range map[string]int{"task_1": 1, "task_2": 2, "task_3": 1} {
			events, err := s.Events(ctx, id, 0, 10)
			if err != nil || len(events) != want {
				t.Errorf("%s has the events %+v, %v", id, events, err)
			}

			if _, _, err := s.Request(ctx, id); errors.Is(err, ErrNotFound) != (id == "task_1") {
				t.Errorf("request of %s: %v", id, err)
			}

			if entries, err := s.EntriesOf(ctx, id); err != nil || len(entries) == 0 {
				t.Errorf("entries of %s: %v, %v", id, entries, err)
			}
		}

		if k, err := s.Task(ctx, "task_1"); err != nil || k.State != task.Cancelled {
			t.Errorf("%+v, %v", k, err)
		}

		wantNoFindings(t, s)
	})
}
