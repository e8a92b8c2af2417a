package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// fixtureSQL creates a large installation: 120,000 tasks of 200 accounts, of
// which 20,000 are queued in ten queues and 4,000 are in progress, and 30,000
// rows in each other table that grows.
var fixtureSQL = []string{
	`INSERT INTO account SELECT 'acct_' || n, 'account ' || n, 1, 0, 0 FROM generate_series(0, 199) AS n`,
	`INSERT INTO balance SELECT 'acct_' || n, 1000000000, 0, 100000 FROM generate_series(0, 199) AS n`,
	`INSERT INTO api_key SELECT 'key_' || n, 'acct_' || n % 200, '', 'hash_' || n, '', 'create', 0, 0, 0 FROM generate_series(0, 19999) AS n`,
	`INSERT INTO task SELECT 'task_' || LPAD(n::text, 8, '0'), 'acct_' || n % 200, 'key_1', 1,
		CASE WHEN n < 90000 THEN 'completed' WHEN n < 96000 THEN 'failed' WHEN n < 97000 THEN 'submitting' WHEN n < 99000 THEN 'running' WHEN n < 100000 THEN 'collecting' ELSE 'queued' END,
		'video', 'model_' || n % 7, 'model_' || n % 7, 'a prompt', '1280*720', 5, 0, '', '', 5, 1, 'output', 0, 0, 'queue_' || n / 200 % 10, 1, 'up', '', '', 0, 0,
		n, n, n, n, CASE WHEN n < 90000 THEN n ELSE 0 END, CASE WHEN n < 96000 THEN n ELSE 0 END, CASE WHEN n < 90000 THEN 1000000 + n ELSE 0 END,
		CASE WHEN n >= 100000 THEN 1000000 + n ELSE 0 END, 0, 0, 0, '' FROM generate_series(0, 119999) AS n`,
	`INSERT INTO request SELECT id, '{}', '' FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO event SELECT id, 1, account, state, '', created_at FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO entry SELECT 'hold_' || id, account, id, 'hold', 5, '', created_at FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO attempt SELECT id, 1, 'up', 'up', resolved_model, created_at, 0, '', id, 'accepted' FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO artifact SELECT id, 'video', id || '/1-x', 'video/mp4', 1, '', 1, 1, 1, 0 FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO idempotency SELECT account, 'key_' || id, 'h', id, 1000000 + created_at FROM task WHERE id < 'task_00030000'`,
	`INSERT INTO file SELECT 'file_' || LPAD(n::text, 8, '0'), 'acct_' || n % 200, '', 'image', 'image/png', '', 1, '', n, 1000000 + n, 0 FROM generate_series(0, 29999) AS n`,
	`INSERT INTO queue SELECT 'queue_' || n, 0 FROM generate_series(0, 9) AS n`,
	`INSERT INTO share SELECT t.queue, t.account, 0, 1, 0, SUM(CASE WHEN t.state = 'queued' THEN 1 ELSE 0 END), SUM(CASE WHEN t.state = 'queued' THEN 0 ELSE 1 END), 1
		FROM task AS t WHERE t.state IN ('queued', 'submitting', 'running', 'collecting') GROUP BY t.queue, t.account`,
	`ANALYZE`,
}

// hotPaths are the operations that run constantly while tasks are processed, and
// the sweeps when nothing is due.
var hotPaths = map[string]func(ctx context.Context, s *Store, n int) error{
	"create": func(ctx context.Context, s *Store, n int) error {
		c := creation(fmt.Sprintf("task_9999999%d", n), fmt.Sprintf("acct_%d", n), fmt.Sprintf("new_%d", n), task.Queued)
		c.Task.Queue = "queue_1"
		_, err := s.Create(ctx, c)

		return err
	},
	"claim": func(ctx context.Context, s *Store, n int) error {
		return s.Write(ctx, func(tx *Tx) error {
			fence, err := tx.AcquireLease(ctx, "up", "me", 1, 1000)
			if err != nil {
				return err
			}

			_, err = tx.Claim(ctx, Claim{Queue: fmt.Sprintf("queue_%d", n), Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: 1})

			return err
		})
	},
	"final step": func(ctx context.Context, s *Store, n int) error {
		return s.Write(ctx, func(tx *Tx) error {
			tk, err := tx.Task(ctx, fmt.Sprintf("task_0009700%d", n))
			if err != nil {
				return err
			}

			end := task.Step{At: 1, Edit: func(t *task.Task) {
				t.State = task.Failed
				t.Error = &task.Error{Code: "x"}
			}, EntryIDs: [2]string{"e1" + tk.ID, "e2" + tk.ID}}
			_, err = task.Advance(ctx, tx, tk, end)

			return err
		})
	},
	"task status": func(ctx context.Context, s *Store, n int) error {
		_, err := s.TaskOf(ctx, fmt.Sprintf("acct_%d", n), fmt.Sprintf("task_0000000%d", n))
		_, err2 := s.Artifacts(ctx, fmt.Sprintf("task_0000000%d", n))
		_, err3 := s.Events(ctx, fmt.Sprintf("task_0000000%d", n), 0, 10)
		_, _, err4 := s.Request(ctx, fmt.Sprintf("task_0000000%d", n))

		return errors.Join(err, err2, err3, err4)
	},
	"page of tasks": func(ctx context.Context, s *Store, n int) error {
		_, _, err := s.Tasks(ctx, TaskFilter{Account: fmt.Sprintf("acct_%d", n), Limit: 20})
		_, _, err2 := s.Tasks(ctx, TaskFilter{Account: fmt.Sprintf("acct_%d", n), After: "task_00050000", Ascending: true, Limit: 20})

		return errors.Join(err, err2)
	},
	"usage of a day": func(ctx context.Context, s *Store, n int) error {
		_, err := s.Usage(ctx, UsageFilter{Account: fmt.Sprintf("acct_%d", n), From: 50_000, Until: 52_000, ByDay: true, ByModel: true, Limit: 100})
		return err
	},
	"page of the ledger": func(ctx context.Context, s *Store, n int) error {
		_, err := s.Entries(ctx, fmt.Sprintf("acct_%d", n), "", 20)
		_, err2 := s.EntriesOf(ctx, fmt.Sprintf("task_0000000%d", n))

		return errors.Join(err, err2)
	},
	"page of files": func(ctx context.Context, s *Store, n int) error {
		_, _, err := s.Files(ctx, fmt.Sprintf("acct_%d", n), "", 20)
		_, err2 := s.FileOf(ctx, fmt.Sprintf("acct_%d", n), fmt.Sprintf("file_0000000%d", n))

		return errors.Join(err, err2)
	},
	"API key": func(ctx context.Context, s *Store, n int) error {
		_, err := s.KeyByHash(ctx, fmt.Sprintf("hash_%d", n))
		_, err2 := s.Idempotency(ctx, fmt.Sprintf("acct_%d", n), fmt.Sprintf("key_task_0000000%d", n), 1)

		return errors.Join(err, err2)
	},
	"queue": func(ctx context.Context, s *Store, n int) error {
		_, err := s.Shares(ctx, fmt.Sprintf("queue_%d", n), 50)
		_, err2 := s.QueuedByAccount(ctx, fmt.Sprintf("queue_%d", n), fmt.Sprintf("acct_%d", n), "", 50)
		_, err3 := s.RenderDurations(ctx, "model_1", 50)
		_, err4 := s.QueueHeads(ctx, fmt.Sprintf("queue_%d", n), 1, 50)

		return errors.Join(err, err2, err3, err4)
	},
	"page of unfinished tasks": func(ctx context.Context, s *Store, _ int) error {
		_, err := s.Unfinished(ctx, task.Running, "", 50)
		_, err2 := s.Unfinished(ctx, task.Preparing, "", 50)

		return errors.Join(err, err2)
	},
	"sweeps": func(ctx context.Context, s *Store, _ int) error {
		_, err := s.OverdueTasks(ctx, 1, 50)
		_, err2 := s.ExpiredTasks(ctx, 1, 50)
		_, err3 := s.ExpiredFiles(ctx, 1, 50)
		_, err4 := s.AttemptsSince(ctx, "up", "", 1<<40)

		return errors.Join(err, err2, err3, err4, s.Write(ctx, func(tx *Tx) error {
			_, err := tx.DeleteIdempotency(ctx, 1, 50)
			_, err2 := tx.DeleteAttempts(ctx, 0, 50)
			_, err3 := tx.PruneTasks(ctx, -1, 50)

			return errors.Join(err, err2, err3)
		}))
	},
}

// rowsRead is the number of rows of a table that were read so far, by scans of
// the whole table and through its indexes.
type rowsRead struct{ scanned, indexed int64 }

// readCounters returns the database's own counters. It waits until all other
// connections are closed, because a connection's reads are only certain to be
// counted when it ends.
func readCounters(t *testing.T, s *Store) map[string]rowsRead {
	t.Helper()

	deadline := time.After(testTimeout)

	for connections := int64(1); connections > 0; {
		text := "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
		if err := s.writes.QueryRowContext(t.Context(), text).Scan(&connections); err != nil {
			t.Fatal(err)
		}

		select {
		case <-deadline:
			t.Fatal("connections of a closed store stay open")
		case <-time.After(5 * time.Millisecond):
		}
	}
	// The reads of this connection, which filled the tables, are not counted at once.
	if _, err := s.writes.ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
		t.Fatal(err)
	}

	rows, err := s.writes.QueryContext(t.Context(), `SELECT t.relname, t.seq_tup_read, COALESCE((SELECT SUM(i.idx_tup_read) FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid), 0)
		FROM pg_stat_user_tables AS t JOIN pg_class AS c ON c.oid = t.relid WHERE c.reltuples > 10000`)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = rows.Close() }()

	all := map[string]rowsRead{}

	for rows.Next() {
		var (
			name string
			w    rowsRead
		)
		if err := rows.Scan(&name, &w.scanned, &w.indexed); err != nil {
			t.Fatal(err)
		}

		all[name] = w
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}

	return all
}

// TestHotPathsReadFewRows checks, by the database's own counters, that no
// operation on the path of a task scans a large table or reads much of it
// through an index. Each operation runs more often than it takes PostgreSQL to
// switch to a generic plan for its statements.
func TestHotPathsReadFewRows(t *testing.T) {
	at := storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)}
	o := testOptions(at)
	o.TestClock = true
	o.Writers = 1
	o.Readers = 1

	counter, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = counter.Close() }()

	counter.reads.SetMaxIdleConns(0)

	for _, text := range fixtureSQL {
		if _, err := counter.writes.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}

	const times = 9

	before := readCounters(t, counter)
	if len(before) < 8 {
		t.Fatalf("only %d tables are large: %v", len(before), before)
	}

	for name, do := range hotPaths {
		s, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}

		for n := range times {
			if err := do(t.Context(), s, n); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		if err := s.Close(); err != nil {
			t.Error(err)
		}

		after := readCounters(t, counter)
		for table, now := range after {
			if n := now.scanned - before[table].scanned; n > 0 {
				t.Errorf("%s scans %s: %d rows for each operation", name, table, n/times)
			}

			if n := now.indexed - before[table].indexed; n > times*500 {
				t.Errorf("%s reads %d rows of %s for each operation", name, n/times, table)
			}
		}

		before = after
	}
}
