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

// soon is a bound for what takes a second at most on an idle machine.
const soon = 20 * time.Second

// hears waits until a store hears of other replicas' changes, or does not. No
// signal tells of it.
func hears(t *testing.T, s *Store, want bool) {
	t.Helper()

	deadline := time.After(soon)

	for s.Deaf() == want {
		select {
		case <-deadline:
			t.Fatalf("hearing stays %v", !want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// woken waits for a signal.
func woken[T any](t *testing.T, what string, from <-chan T) (got T) {
	t.Helper()

	select {
	case got = <-from:
	case <-time.After(soon):
		t.Fatalf("%s was not told", what)
	}

	return got
}

// step puts a task into the tables, by a Write.
func step(t *testing.T, s *Store, id string) {
	t.Helper()
	write(t, s, func(tx *Tx) error { return hold(context.Background(), tx, id, "acct_a", "lane", task.Queued) })
}

func TestAReplicaHearsOfAnothersChanges(t *testing.T) {
	dsn := storetest.Migrated(t, migrated)
	a := openAt(t, storetest.Place{Database: dsn})
	b := openAt(t, storetest.Place{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	hears(t, b, true)

	changes, stop := b.WatchAll(100)
	defer stop()

	changed, end := b.WatchTask("task_1")
	defer end()

	step(t, a, "task_1")
	woken(t, "who watches the task", changed)

	for got := (Change{}); got != (Change{Task: "task_1", Account: "acct_a", State: task.Queued}); {
		got = woken(t, "who watches all", changes)
	}

	if _, err := a.Create(t.Context(), ordered("task_2")); err != nil {
		t.Fatal(err)
	}

	for got := (Change{}); got.Task != "task_2"; {
		got = woken(t, "who watches all", changes)
	}
}

// What a replica did itself it knows at once, and hears it once.
func TestAReplicaHearsItselfOnce(t *testing.T) {
	dsn := storetest.Migrated(t, migrated)
	a := openAt(t, storetest.Place{Database: dsn})
	b := openAt(t, storetest.Place{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	hears(t, a, true)
	hears(t, b, true)

	changes, stop := a.WatchAll(100)
	defer stop()

	step(t, a, "task_1")
	step(t, b, "task_2")

	seen := map[string]int{}
	for seen["task_2"] == 0 { // notices of one replica come in order, and ours came before
		seen[woken(t, "who watches all", changes).Task]++
	}

	if seen["task_1"] != 1 {
		t.Errorf("its own change came %d times", seen["task_1"])
	}
}

// With its connection gone a replica wakes everybody each second, and hears again
// when the database is back.
func TestADeafReplicaLooksAndHearsAgain(t *testing.T) {
	dsn := storetest.Migrated(t, migrated)
	p := storetest.NewProxy(t, dsn)
	a := openAt(t, storetest.Place{Database: dsn})
	b := openAt(t, storetest.Place{Database: p.DSN()})
	addAccount(t, a, "acct_a", 1, 0, 1000)
	hears(t, b, true)
	p.Down()
	hears(t, b, false)

	changed, stop := b.WatchTask("task_1")
	defer stop()

	changes, end := b.WatchAll(100)
	defer end()

	step(t, a, "task_1")

	for range 2 {
		woken(t, "who watches a task while nothing is heard", changed)
		woken(t, "who watches all while nothing is heard", changes)
	}

	p.Up()
	hears(t, b, true)

	if _, err := b.Task(t.Context(), "task_1"); err != nil {
		t.Error(err)
	}

	heard, finish := b.WatchTask("task_2")
	defer finish()

	step(t, a, "task_2")
	woken(t, "who watches another task", heard)
	p.Cut() // a break that nobody sees coming

	again, done := b.WatchTask("task_3")
	defer done()

	step(t, a, "task_3")
	woken(t, "who watches a third", again)
}

// FuzzReadPayload reads whatever somebody notifies on our channel: what payloads
// wrote comes back, and nothing breaks.
func FuzzReadPayload(f *testing.F) {
	f.Add("replica", "task_1", "acct_1", "queued", "up")
	f.Add("", "\n", " ", "\x00", "~background")
	f.Fuzz(func(t *testing.T, replica, id, account, state, freed string) {
		readPayload(replica + "\n" + id + " " + account + "\n" + state + freed)

		if strings.ContainsAny(replica, "\n") || strings.ContainsAny(id+account+state+freed, " \n") || id == "" || freed == "" {
			return
		}

		want := []Change{{Task: id, Account: account, State: task.State(state)}, {Freed: freed}}
		for _, text := range payloads(replica, want) {
			from, got := readPayload(text)
			if from != replica || !slices.Equal(got, want) {
				t.Errorf("%q: %q, %v", text, from, got)
			}
		}
	})
}

// A burst is told of whole, in as few words as it takes.
func TestABurstOfChangesIsHeard(t *testing.T) {
	dsn := storetest.Migrated(t, migrated)
	a := openAt(t, storetest.Place{Database: dsn})
	b := openAt(t, storetest.Place{Database: dsn})
	addAccount(t, a, "acct_a", 1, 0, 1<<30)
	hears(t, b, true)

	changes, stop := b.WatchAll(10_000)
	defer stop()

	load(t, a, 1000, 1<<30, func() {})

	seen := map[string]bool{}
	for len(seen) < 1000 {
		if c := woken(t, "who watches all", changes); c.Task != "" {
			seen[c.Task] = true
		}
	}
}
