package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// hotStatements returns the statements on the path of a task.
func hotStatements(t *testing.T) []string {
	seen := &statementRecorder{}
	ctx := t.Context()
	r := Reader{q: seen, d: &sqlite}
	_, _ = r.TaskOf(ctx, "a", "t")
	_, _, _ = r.Tasks(ctx, TaskFilter{Account: "a", Limit: 20})
	_, _, _ = r.Tasks(ctx, TaskFilter{Account: "a", From: 1, Until: 2, Offset: 20, Limit: 20})
	_, _ = r.CountTasks(ctx, TaskFilter{Account: "a", From: 1, Until: 2})
	_, _ = r.Unfinished(ctx, task.Running, "", 10)
	_, _ = r.UnfinishedOnUpstream(ctx, "up1", task.Running, "", 10)
	_, _ = r.OverdueTasks(ctx, 1, 10)
	_, _ = r.ExpiredTasks(ctx, 1, 10)
	_, _ = r.Shares(ctx, "queue", 10)
	_, _ = r.QueuedByAccount(ctx, "queue", "a", "", 10)
	_, _ = r.QueuedTasks(ctx, "queue", task.Task{}, 10)
	_, _ = r.QueueHead(ctx, "queue")
	_, _ = r.QueueHeads(ctx, "queue", 10, 10)
	_, _ = r.RenderDurations(ctx, "m", 10)
	_, _ = r.Idempotency(ctx, "a", "k", 1)
	_, _ = r.KeyByHash(ctx, "h")
	_, _ = r.EntriesOf(ctx, "t")
	_, _ = r.Entries(ctx, "a", "", 10)
	_, _ = r.Usage(ctx, UsageFilter{Account: "a", Limit: 10})
	_, _ = r.EventsOfTask(ctx, "t", 0, 10)
	_, _, _ = r.EventsOfAccount(ctx, "a", EventPosition{}, 10)
	_, _ = r.LastEventPosition(ctx, "a")
	tx := &Tx{Reader: r}
	event, _ := tx.eventStatement(task.Event{})
	_ = tx.pipeline(ctx, []statement{event})
	_, _ = tx.Claim(ctx, Claim{})
	_, _ = tx.SaveTask(ctx, task.Task{}, task.Task{})
	_ = tx.pipeline(ctx, shareStatements(task.Task{}, 1, 0, 0))

	return append(seen.texts, "SELECT account, virtual_start FROM share WHERE queue = $1 AND ready = 1 ORDER BY virtual_start, account LIMIT 1",
		"SELECT id FROM task WHERE queue = $1 AND account = $2 AND state = 'queued' ORDER BY id LIMIT 1")
}

// TestHotStatementsUseIndexes checks that no statement on the path of a task
// scans a whole table.
func TestHotStatementsUseIndexes(t *testing.T) {
	s := openStore(t, storetest.SQLiteFile(t))

	ctx := t.Context()
	for _, text := range hotStatements(t) {
		args := make([]any, strings.Count(text, "$"))

		rows, err := s.reads.QueryContext(ctx, "EXPLAIN QUERY PLAN "+sqlite.rewrite(text), args...)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}

		for rows.Next() {
			var (
				a, b, c int
				detail  string
			)
			if err := rows.Scan(&a, &b, &c, &detail); err != nil {
				t.Fatal(err)
			}

			if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "CONSTANT ROW") || strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s\n\t%s", text, detail)
			}
		}

		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Error(err)
		}
	}
}
