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

// behind opens a store whose connections go through a proxy.
func behind(t *testing.T) (*Store, *storetest.Proxy) {
	t.Helper()
	p := storetest.NewProxy(t, storetest.Migrated(t, migrated))

	return openAt(t, storetest.Place{Database: p.DSN()}), p
}

// ordered is a creation of acct_a's that holds 5, with a key of its own.
func ordered(id string) *Creation { return creation(id, "acct_a", "key_"+id, task.Queued) }

// written says how many tasks of an account there are, by their open holds, and
// fails when the tables contradict each other.
func written(t *testing.T, s *Store, account string) int64 {
	t.Helper()
	noFindings(t, s)

	b, err := s.Balance(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}

	return int64(b.Held) / 5
}

// ways are the two ways by which a task with its hold comes into the tables.
var ways = map[string]func(ctx context.Context, s *Store, id string) error{
	"create": func(ctx context.Context, s *Store, id string) error {
		taken, err := s.Create(ctx, ordered(id))
		if err == nil && taken != nil && taken.Task != id {
			err = fmt.Errorf("its key stands for %s", taken.Task)
		}

		return err
	},
	"write": func(ctx context.Context, s *Store, id string) error {
		return s.Write(ctx, func(tx *Tx) error { return hold(ctx, tx, id, "acct_a", "lane", task.Queued) })
	},
}

// The answer to a COMMIT is lost, or the COMMIT itself: the one who wrote is told
// the truth, and in both cases that is one task and one hold.
func TestALostCommitIsWrittenOnce(t *testing.T) {
	losses := map[string]func(*storetest.Proxy){"answer": (*storetest.Proxy).LoseAnswer, "commit": (*storetest.Proxy).LoseCommit}
	for way, put := range ways {
		for what, lose := range losses {
			t.Run(way+" loses its "+what, func(t *testing.T) {
				s, p := behind(t)
				addAccount(t, s, "acct_a", 1, 0, 100)

				told, stop := s.WatchTask("task_1")
				defer stop()

				lose(p)

				if err := put(t.Context(), s, "task_1"); err != nil {
					t.Errorf("it says %v", err)
				}

				if n := written(t, s, "acct_a"); n != 1 {
					t.Errorf("%d holds", n)
				}

				if events, err := s.Events(t.Context(), "task_1", 0, 10); err != nil || len(events) != 1 {
					t.Errorf("events %v, %v", events, err)
				}

				<-told
			})
		}
	}
}

// A batch whose COMMIT is lost is as whole as one.
func TestALostCommitOfABatchIsWrittenOnce(t *testing.T) {
	for what, lose := range map[string]func(*storetest.Proxy){"answer": (*storetest.Proxy).LoseAnswer, "commit": (*storetest.Proxy).LoseCommit} {
		t.Run(what, func(t *testing.T) {
			s, p := behind(t)
			addAccount(t, s, "acct_a", 1, 0, 1000)

			var all sync.WaitGroup

			lose(p)

			for i := range 100 {
				all.Go(func() {
					if err := ways["create"](context.Background(), s, fmt.Sprintf("task_%d", i)); err != nil {
						t.Error(err)
					}
				})
			}

			all.Wait()

			if n := written(t, s, "acct_a"); n != 100 {
				t.Errorf("%d holds", n)
			}
		})
	}
}

// A statement's refusal is the writer's own, with or without a broken network.
func TestALossHidesNoRefusal(t *testing.T) {
	s, p := behind(t)
	addAccount(t, s, "acct_a", 1, 0, 7)
	p.LoseAnswer()

	if _, err := s.Create(t.Context(), ordered("task_1")); err != nil {
		t.Fatal(err)
	}

	p.Cut()

	if _, err := s.Create(t.Context(), ordered("task_2")); !errors.Is(err, credit.ErrInsufficient) {
		t.Errorf("the second of two holds of 5 with a credit of 7: %v", err)
	}

	if n := written(t, s, "acct_a"); n != 1 {
		t.Errorf("%d holds", n)
	}
}

// load creates tasks from several callers at once, each sending its order again
// (same id, same key) until somebody acknowledges it, and calls trouble after
// every some acknowledgements.
func load(t *testing.T, s *Store, orders, every int64, trouble func()) {
	t.Helper()

	var (
		next, acknowledged atomic.Int64
		all                sync.WaitGroup
	)
	for range 16 {
		all.Go(func() {
			for i := next.Add(1); i <= orders; i = next.Add(1) {
				way := "create"
				if i%4 == 0 {
					way = "write"
				}

				id := fmt.Sprintf("task_%04d", i)
				for try := 0; ; try++ {
					err := ways[way](context.Background(), s, id)
					if err == nil {
						break
					}

					if !errors.Is(err, ErrUnavailable) || try == 100 {
						t.Errorf("%s by %s: %v", id, way, err)
						break
					}

					way = "create" // what may have been written is asked for by its key

					if _, err := s.Task(context.Background(), id); err == nil {
						break
					}
				}

				if acknowledged.Add(1)%every == 0 {
					trouble()
				}
			}
		})
	}

	all.Wait()
}

// Connections break all the time under load: what was acknowledged is there, once.
func TestWhatWasAcknowledgedOutlivesBrokenConnections(t *testing.T) {
	s, p := behind(t)
	addAccount(t, s, "acct_a", 1, 0, 1<<30)

	const orders = 600
	load(t, s, orders, 100, p.Cut)
	p.Cut()

	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("afterwards it does not answer: %v", err)
	}

	if n := written(t, s, "acct_a"); n != orders {
		t.Errorf("%d holds for %d orders", n, orders)
	}

	tasks := map[string]bool{}

	for after := ""; ; {
		page, more, err := s.Tasks(t.Context(), Filter{Account: "acct_a", After: after, Ascending: true, Limit: 1000})
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

	if len(tasks) != orders {
		t.Errorf("%d tasks for %d orders", len(tasks), orders)
	}
}

// The database dies under load and comes back: the store goes on by itself.
func TestTheDatabaseRestartsUnderUs(t *testing.T) {
	server := storetest.NewServer(t)

	at := storetest.Place{Database: server.Database(t)}
	if err := migrated(t.Context(), at.Database); err != nil {
		t.Fatal(err)
	}

	s := openAt(t, at)
	addAccount(t, s, "acct_a", 1, 0, 1<<30)

	const orders = 600

	var once sync.Once

	load(t, s, orders, 200, func() {
		once.Do(func() { server.Stop(t); server.Start(t) })
	})

	if n := written(t, s, "acct_a"); n != orders {
		t.Errorf("%d holds for %d orders", n, orders)
	}
}

// A database that is out of reach says so, and soon.
func TestADatabaseOutOfReachIsUnavailable(t *testing.T) {
	s, p := behind(t)
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

	for way, put := range ways {
		if err := put(ctx, s, "task_"+way); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a %s: %v", way, err)
		}
	}

	p.Up()

	if n := written(t, s, "acct_a"); n != 0 {
		t.Errorf("%d holds", n)
	}

	if s, err := Open(ctx, Options{Database: "postgres://unireel@127.0.0.1:1/unireel?sslmode=disable", Now: time.Now, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("opening one that is not there: %v %v", s, err)
	}
}
