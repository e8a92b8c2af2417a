package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// testTimeout limits what takes a second at most on an idle machine.
const testTimeout = 20 * time.Second

// waitListening waits until a store receives other replicas' changes, or no
// longer does. It polls, since nothing signals that.
func waitListening(t *testing.T, s *Store, want bool) {
	t.Helper()

	deadline := time.After(testTimeout)

	for s.ListenerDown() == want {
		select {
		case <-deadline:
			t.Fatalf("listening stays %v", !want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// receive waits for a value.
func receive[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()

	select {
	case got = <-from:
	case <-time.After(testTimeout):
		t.Fatalf("%s received nothing", what)
	}

	return got
}

// insertQueuedTask writes a queued task with a Write.
func insertQueuedTask(t *testing.T, s *Store, id string) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		return insertTaskWithHold(context.Background(), tx, id, "acct_a", "queue", task.Queued)
	})
}

func TestReplicaReceivesOthersChanges(t *testing.T) {
	dsn := storetest.MigratedDatabase(t, migrateDatabase)
	a := openStore(t, storetest.Location{Database: dsn})
	b := openStore(t, storetest.Location{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	waitListening(t, b, true)

	changes, stop := b.WatchAll(100)
	defer stop()

	changed, end := b.WatchTask("task_1")
	defer end()

	insertQueuedTask(t, a, "task_1")
	receive(t, "the watcher of the task", changed)

	for got := (Change{}); got != (Change{Task: "task_1", Account: "acct_a", State: task.Queued}); {
		got = receive(t, "the watcher of all tasks", changes)
	}

	if _, err := a.Create(t.Context(), keyedCreation("task_2")); err != nil {
		t.Fatal(err)
	}

	for got := (Change{}); got.Task != "task_2"; {
		got = receive(t, "the watcher of all tasks", changes)
	}
}

// TestReplicaReceivesOwnChangesOnce checks that a replica gets its own changes
// at once, and not a second time from the database.
func TestReplicaReceivesOwnChangesOnce(t *testing.T) {
	dsn := storetest.MigratedDatabase(t, migrateDatabase)
	a := openStore(t, storetest.Location{Database: dsn})
	b := openStore(t, storetest.Location{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	waitListening(t, a, true)
	waitListening(t, b, true)

	changes, stop := a.WatchAll(100)
	defer stop()

	insertQueuedTask(t, a, "task_1")
	insertQueuedTask(t, b, "task_2")

	seen := map[string]int{}
	for seen["task_2"] == 0 { // a's own change was published before
		seen[receive(t, "the watcher of all tasks", changes).Task]++
	}

	if seen["task_1"] != 1 {
		t.Errorf("the replica received its own change %d times", seen["task_1"])
	}
}

// TestListenerReconnects checks that a replica without a connection wakes every
// watcher each second, and receives changes again when the database is back.
func TestListenerReconnects(t *testing.T) {
	dsn := storetest.MigratedDatabase(t, migrateDatabase)
	p := storetest.NewProxy(t, dsn)
	a := openStore(t, storetest.Location{Database: dsn})
	b := openStore(t, storetest.Location{Database: p.DSN()})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	waitListening(t, b, true)
	p.Down()
	waitListening(t, b, false)

	changed, stop := b.WatchTask("task_1")
	defer stop()

	changes, end := b.WatchAll(100)
	defer end()

	insertQueuedTask(t, a, "task_1")

	for range 2 {
		receive(t, "the watcher of a task without a connection", changed)
		receive(t, "the watcher of all tasks without a connection", changes)
	}

	p.Up()
	waitListening(t, b, true)

	if _, err := b.Task(t.Context(), "task_1"); err != nil {
		t.Error(err)
	}

	heard, finish := b.WatchTask("task_2")
	defer finish()

	insertQueuedTask(t, a, "task_2")
	receive(t, "the watcher of another task", heard)
	p.Cut() // without a warning

	again, done := b.WatchTask("task_3")
	defer done()

	insertQueuedTask(t, a, "task_3")
	receive(t, "the watcher of a third task", again)
}

// FuzzDecodePayload decodes arbitrary notifications on our channel: nothing
// panics, and what encodePayloads wrote comes back.
func FuzzDecodePayload(f *testing.F) {
	f.Add("replica", "task_1", "acct_1", "queued", "up")
	f.Add("", "\n", " ", "\x00", "~background")
	f.Fuzz(func(t *testing.T, replica, id, account, state, freed string) {
		decodePayload(replica + "\n" + id + " " + account + "\n" + state + freed)

		if strings.ContainsAny(replica, "\n") || strings.ContainsAny(id+account+state+freed, " \n") || id == "" || freed == "" {
			return
		}

		want := []Change{{Task: id, Account: account, State: task.State(state)}, {Released: freed}}
		for _, text := range encodePayloads(replica, want) {
			from, got := decodePayload(text)
			if from != replica || !slices.Equal(got, want) {
				t.Errorf("%q: %q, %v", text, from, got)
			}
		}
	})
}

// TestBurstOfChangesIsReceived checks that no change of a burst is lost.
func TestBurstOfChangesIsReceived(t *testing.T) {
	dsn := storetest.MigratedDatabase(t, migrateDatabase)
	a := openStore(t, storetest.Location{Database: dsn})
	b := openStore(t, storetest.Location{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1<<30)
	waitListening(t, b, true)

	changes, stop := b.WatchAll(10_000)
	defer stop()

	runLoad(t, a, 1000, 1<<30, func() {})

	seen := map[string]bool{}
	for len(seen) < 1000 {
		if c := receive(t, "the watcher of all tasks", changes); c.Task != "" {
			seen[c.Task] = true
		}
	}
}
