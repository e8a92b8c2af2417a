package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

func postgresCommits(t *testing.T) (*Store, *commits) {
	t.Helper()
	s := openAt(t, storetest.Place{Database: storetest.Migrated(t, migrated)})

	c, ok := s.writer.(*commits)
	if !ok {
		t.Fatalf("it writes by a %T", s.writer)
	}

	return s, c
}

// After a crash the server has not given our transaction's id away yet: it calls
// it one of the future. The mark is not there, so that the write is run again, soon.
func TestALostCommitOfTheFutureIsRunAgain(t *testing.T) {
	_, c := postgresCommits(t)

	ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()

	_, again, err := c.askAgain(ctx, &Tx{}, mark{place: "nobody", value: "x", transaction: "999999999"}, errors.New("cut"))
	if !again || !errors.Is(err, errLost) || ctx.Err() != nil {
		t.Errorf("again %v, %v", again, err)
	}
}

// An id that a server gave away twice stands for somebody else's commit: only the
// mark says whose it is.
func TestOnlyOnesOwnMarkProvesACommit(t *testing.T) {
	s, c := postgresCommits(t)

	var transaction, value string

	err := c.run("a place", func(tx *Tx) error {
		err := tx.q.row(t.Context(), "SELECT CAST(pg_current_xact_id() AS text)").Scan(&transaction)
		return errors.Join(err, tx.q.row(t.Context(), "SELECT value FROM mark WHERE id = 'a place.1'").Scan(&value))
	})
	if err != nil || value == "" {
		t.Fatal(value, err)
	}

	if status, err := one(t.Context(), s.q, func(s scanner) (v string, err error) { return v, s.Scan(&v) }, "SELECT pg_xact_status(CAST($1 AS xid8))", transaction); status != "committed" {
		t.Fatal(status, err)
	}

	for word, committed := range map[string]bool{value: true, "another word": false} {
		_, again, err := c.askAgain(t.Context(), &Tx{}, mark{place: "a place.1", value: word, transaction: transaction}, errors.New("cut"))
		if (err == nil) != committed || again == committed {
			t.Errorf("%s: again %v, %v", word, again, err)
		}
	}
}

// Of a batch only who panics is told so; the others are written.
func TestAPanicInABatchIsItsOwn(t *testing.T) {
	s, c := postgresCommits(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	var group []*arrival
	for _, id := range []string{"task_1", "task_2", "task_3"} {
		group = append(group, &arrival{ctx: t.Context(), c: creation(id, "acct_a", "", task.Queued), done: make(chan struct{})})
	}

	group[1].c.BeforeCommit = func() { panic("ouch") }
	c.creates.write("a place", group, nil)

	for i, a := range group {
		<-a.done

		if guilty := i == 1; (a.panic != nil) != guilty || (a.err == nil) == guilty {
			t.Errorf("%s: panic %v, error %v", a.c.Task.ID, a.panic, a.err)
		}

		if _, err := s.Task(t.Context(), a.c.Task.ID); errors.Is(err, ErrNotFound) != (i == 1) {
			t.Errorf("%s: %v", a.c.Task.ID, err)
		}
	}

	noFindings(t, s)
}
