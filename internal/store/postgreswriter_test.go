package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

func openPostgresWriter(t *testing.T) (*Store, *postgresWriter) {
	t.Helper()
	s := openStore(t, storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)})

	c, ok := s.writer.(*postgresWriter)
	if !ok {
		t.Fatalf("the writer is a %T", s.writer)
	}

	return s, c
}

// TestLostCommitWithFutureXIDIsRetried covers a server that has crashed and has
// not assigned our transaction's id yet, so that it calls the id one of the
// future. The marker is missing, so the write must be run again, and soon.
func TestLostCommitWithFutureXIDIsRetried(t *testing.T) {
	_, c := openPostgresWriter(t)

	ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()

	_, retryable, err := c.resolveCommit(ctx, &Tx{}, commitMarker{slot: "nobody", value: "x", xid: "999999999"}, errors.New("cut"))
	if !retryable || !errors.Is(err, errConnectionLost) || ctx.Err() != nil {
		t.Errorf("retryable %v, %v", retryable, err)
	}
}

// TestOnlyOwnMarkerProvesCommit covers an id that a server has assigned twice:
// the commit with that id may be another transaction's, and only the marker
// tells.
func TestOnlyOwnMarkerProvesCommit(t *testing.T) {
	s, c := openPostgresWriter(t)

	var xid, value string

	err := c.runTx("slot", func(tx *Tx) error {
		err := tx.q.row(t.Context(), "SELECT CAST(pg_current_xact_id() AS text)").Scan(&xid)
		return errors.Join(err, tx.q.row(t.Context(), "SELECT value FROM commit_marker WHERE id = 'slot.1'").Scan(&value))
	})
	if err != nil || value == "" {
		t.Fatal(value, err)
	}

	if status, err := queryOne(t.Context(), s.q, func(s scanner) (v string, err error) { return v, s.Scan(&v) }, "SELECT pg_xact_status(CAST($1 AS xid8))", xid); status != "committed" {
		t.Fatal(status, err)
	}

	for value, committed := range map[string]bool{value: true, "another value": false} {
		_, retryable, err := c.resolveCommit(t.Context(), &Tx{}, commitMarker{slot: "slot.1", value: value, xid: xid}, errors.New("cut"))
		if (err == nil) != committed || retryable == committed {
			t.Errorf("%s: retryable %v, %v", value, retryable, err)
		}
	}
}

// TestPanicInBatchAffectsOneCreation checks that only the caller whose creation
// panics gets the panic, and the others of the batch are written.
func TestPanicInBatchAffectsOneCreation(t *testing.T) {
	s, c := openPostgresWriter(t)
	addAccount(t, s, "acct_a", 1, 0, 100)

	var group []*pendingCreate
	for _, id := range []string{"task_1", "task_2", "task_3"} {
		group = append(group, &pendingCreate{ctx: t.Context(), creation: creation(id, "acct_a", "", task.Queued), done: make(chan struct{})})
	}

	group[1].creation.BeforeCommit = func() { panic("ouch") }
	c.batcher.writeBatch("slot", group, nil)

	for i, a := range group {
		<-a.done

		if panicked := i == 1; (a.panicValue != nil) != panicked || (a.err == nil) == panicked {
			t.Errorf("%s: panic %v, error %v", a.creation.Task.ID, a.panicValue, a.err)
		}

		if _, err := s.Task(t.Context(), a.creation.Task.ID); errors.Is(err, ErrNotFound) != (i == 1) {
			t.Errorf("%s: %v", a.creation.Task.ID, err)
		}
	}

	wantNoFindings(t, s)
}
