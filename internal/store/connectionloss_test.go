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

// openBehindProxy opens a store whose connections go through a proxy.
func openBehindProxy(t *testing.T) (*Store, *storetest.Proxy) {
	t.Helper()
	p := storetest.NewProxy(t, storetest.MigratedDatabase(t, migrateDatabase))

	return openStore(t, storetest.Location{Database: p.DSN()}), p
}

// keyedCreation returns a creation by acct_a with a hold of 5 and an idempotency
// key of its own.
func keyedCreation(id string) *Creation { return creation(id, "acct_a", "key_"+id, task.Queued) }

// countTasks returns the number of an account's tasks, computed from its open
// holds, and fails the test if the tables contradict each other.
func countTasks(t *testing.T, s *Store, account string) int64 {
	t.Helper()
	wantNoFindings(t, s)

	b, err := s.Balance(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}

	return int64(b.Held) / 5
}

// insertPaths are the two ways in which a task with its hold is written.
var insertPaths = map[string]func(ctx context.Context, s *Store, id string) error{
	"create": func(ctx context.Context, s *Store, id string) error {
		taken, err := s.Create(ctx, keyedCreation(id))
		if err == nil && taken != nil && taken.Task != id {
			err = fmt.Errorf("its key belongs to %s", taken.Task)
		}

		return err
	},
	"write": func(ctx context.Context, s *Store, id string) error {
		return s.Write(ctx, func(tx *Tx) error { return insertTaskWithHold(ctx, tx, id, "acct_a", "queue", task.Queued) })
	},
}

// TestLostCommitIsWrittenOnce loses a COMMIT or the answer to it. The writer
// reports success in both cases, and there is one task with one hold.
func TestLostCommitIsWrittenOnce(t *testing.T) {
	losses := map[string]func(*storetest.Proxy){"answer": (*storetest.Proxy).LoseCommitResponse, "commit": (*storetest.Proxy).LoseCommit}
	for path, insert := range insertPaths {
		for what, lose := range losses {
			t.Run(path+" loses its "+what, func(t *testing.T) {
				s, p := openBehindProxy(t)
				addAccount(t, s, "acct_a", 1, 0, 100)

				changed, stop := s.WatchTask("task_1")
				defer stop()

				lose(p)

				if err := insert(t.Context(), s, "task_1"); err != nil {
					t.Errorf("insert returned %v", err)
				}

				if n := countTasks(t, s, "acct_a"); n != 1 {
					t.Errorf("%d holds", n)
				}

				if events, err := s.Events(t.Context(), "task_1", 0, 10); err != nil || len(events) != 1 {
					t.Errorf("events %v, %v", events, err)
				}

				<-changed
			})
		}
	}
}

// TestLostBatchCommitIsWrittenOnce does the same with a batch of creations.
func TestLostBatchCommitIsWrittenOnce(t *testing.T) {
	for what, lose := range map[string]func(*storetest.Proxy){"answer": (*storetest.Proxy).LoseCommitResponse, "commit": (*storetest.Proxy).LoseCommit} {
		t.Run(what, func(t *testing.T) {
			s, p := openBehindProxy(t)
			addAccount(t, s, "acct_a", 1, 0, 1000)

			var wg sync.WaitGroup

			lose(p)

			for i := range 100 {
				wg.Go(func() {
					if err := insertPaths["create"](context.Background(), s, fmt.Sprintf("task_%d", i)); err != nil {
						t.Error(err)
					}
				})
			}

			wg.Wait()

			if n := countTasks(t, s, "acct_a"); n != 100 {
				t.Errorf("%d holds", n)
			}
		})
	}
}

// TestConnectionLossKeepsRefusals checks that a creation that cannot be paid
// returns that error also after the connections broke.
func TestConnectionLossKeepsRefusals(t *testing.T) {
	s, p := openBehindProxy(t)
	addAccount(t, s, "acct_a", 1, 0, 7)
	p.LoseCommitResponse()

	if _, err := s.Create(t.Context(), keyedCreation("task_1")); err != nil {
		t.Fatal(err)
	}

	p.Cut()

	if _, err := s.Create(t.Context(), keyedCreation("task_2")); !errors.Is(err, credit.ErrInsufficient) {
		t.Errorf("the second of two holds of 5 with a credit of 7: %v", err)
	}

	if n := countTasks(t, s, "acct_a"); n != 1 {
		t.Errorf("%d holds", n)
	}
}

// runLoad creates tasks concurrently. Each caller retries with the same id and
// key until the creation is acknowledged. After every some acknowledgements it
// calls disrupt.
func runLoad(t *testing.T, s *Store, total, every int64, disrupt func()) {
	t.Helper()

	var (
		next, acknowledged atomic.Int64
		wg                 sync.WaitGroup
	)
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= total; i = next.Add(1) {
				path := "create"
				if i%4 == 0 {
					path = "write"
				}

				id := fmt.Sprintf("task_%04d", i)
				for attempt := 0; ; attempt++ {
					err := insertPaths[path](context.Background(), s, id)
					if err == nil {
						break
					}

					if !errors.Is(err, ErrUnavailable) || attempt == 100 {
						t.Errorf("%s by %s: %v", id, path, err)
						break
					}

					path = "create" // the task may have been written: retry with its key

					if _, err := s.Task(context.Background(), id); err == nil {
						break
					}
				}

				if acknowledged.Add(1)%every == 0 {
					disrupt()
				}
			}
		})
	}

	wg.Wait()
}

// TestAcknowledgedWritesSurviveBrokenConnections breaks the connections
// repeatedly under load: each acknowledged task exists exactly once.
func TestAcknowledgedWritesSurviveBrokenConnections(t *testing.T) {
	s, p := openBehindProxy(t)
	addAccount(t, s, "acct_a", 1, 0, 1<<30)

	const total = 600
	runLoad(t, s, total, 100, p.Cut)
	p.Cut()

	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping after the load: %v", err)
	}

	if n := countTasks(t, s, "acct_a"); n != total {
		t.Errorf("%d holds for %d creations", n, total)
	}

	tasks := map[string]bool{}

	for after := ""; ; {
		page, more, err := s.Tasks(t.Context(), TaskFilter{Account: "acct_a", After: after, Ascending: true, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}

		for _, tk := range page {
			tasks[tk.ID] = true
			after = tk.ID
		}

		if !more {
			break
		}
	}

	if len(tasks) != total {
		t.Errorf("%d tasks for %d creations", len(tasks), total)
	}
}

// TestDatabaseRestartUnderLoad crashes the database under load and starts it
// again: the store recovers by itself.
func TestDatabaseRestartUnderLoad(t *testing.T) {
	server := storetest.NewServer(t)

	at := storetest.Location{Database: server.Database(t)}
	if err := migrateDatabase(t.Context(), at.Database); err != nil {
		t.Fatal(err)
	}

	s := openStore(t, at)
	addAccount(t, s, "acct_a", 1, 0, 1<<30)

	const total = 600

	var once sync.Once

	runLoad(t, s, total, 200, func() {
		once.Do(func() { server.Stop(t); server.Start(t) })
	})

	if n := countTasks(t, s, "acct_a"); n != total {
		t.Errorf("%d holds for %d creations", n, total)
	}
}

// TestUnreachableDatabaseIsUnavailable checks that every operation fails with
// ErrUnavailable, and soon.
func TestUnreachableDatabaseIsUnavailable(t *testing.T) {
	s, p := openBehindProxy(t)
	addAccount(t, s, "acct_a", 1, 0, 100)
	p.Down()

	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()

	if err := s.Ping(ctx); !errors.Is(err, ErrUnavailable) {
		t.Errorf("ping: %v", err)
	}

	if _, err := s.Balance(ctx, "acct_a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a read: %v", err)
	}

	for path, insert := range insertPaths {
		if err := insert(ctx, s, "task_"+path); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a %s: %v", path, err)
		}
	}

	p.Up()

	if n := countTasks(t, s, "acct_a"); n != 0 {
		t.Errorf("%d holds", n)
	}

	unreachable := Options{
		Database: "postgres://unireel@127.0.0.1:1/unireel?sslmode=disable",
		Now:      time.Now,
		Log:      slog.New(slog.DiscardHandler),
	}
	if s, err := Open(ctx, unreachable); !errors.Is(err, ErrUnavailable) {
		t.Errorf("open without a server: %v %v", s, err)
	}
}
