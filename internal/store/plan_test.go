package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// hotStatements are those on the path of a task.
func hotStatements(t *testing.T) []string {
	seen := &recorder{}
	ctx := t.Context()
	r := Reader{q: seen, d: &sqlite}
	_, _ = r.TaskOf(ctx, "a", "t")
	_, _, _ = r.Tasks(ctx, Filter{Account: "a", Limit: 20})
	_, _, _ = r.Tasks(ctx, Filter{Account: "a", From: 1, Until: 2, Skip: 20, Limit: 20})
	_, _ = r.CountTasks(ctx, Filter{Account: "a", From: 1, Until: 2})
	_, _ = r.Unfinished(ctx, task.Running, "", 10)
	_, _ = r.UnfinishedAt(ctx, "up1", task.Running, "", 10)
	_, _ = r.TooLate(ctx, 1, 10)
	_, _ = r.Sweepable(ctx, 1, 10)
	_, _ = r.Turns(ctx, "lane", 10)
	_, _ = r.QueuedOf(ctx, "lane", "a", "", 10)
	_, _ = r.QueuedIn(ctx, "lane", task.Task{}, 10)
	_, _ = r.Head(ctx, "lane")
	_, _ = r.QueuedFirst(ctx, "lane", 10, 10)
	_, _ = r.Paces(ctx, "m", 10)
	_, _ = r.Idempotency(ctx, "a", "k", 1)
	_, _ = r.KeyByHash(ctx, "h")
	_, _ = r.EntriesOf(ctx, "t")
	_, _ = r.Entries(ctx, "a", "", 10)
	_, _ = r.Usage(ctx, UsageFilter{Account: "a", Limit: 10})
	_, _ = r.Happenings(ctx, "t", 0, 10)
	_, _, _ = r.HappeningsOf(ctx, "a", Place{}, 10)
	_, _ = r.LastPlace(ctx, "a")
	tx := &Tx{Reader: r}
	event, _ := tx.eventBy(task.Event{})
	_ = tx.together(ctx, []statement{event})
	_, _ = tx.Claim(ctx, Claim{})
	_, _ = tx.SaveTask(ctx, task.Task{}, task.Task{})
	_ = tx.together(ctx, turnBy(task.Task{}, 1, 0, 0))

	return append(seen.texts, "SELECT account, rank FROM turn WHERE lane = $1 AND ready = 1 ORDER BY rank, account LIMIT 1",
		"SELECT id FROM task WHERE lane = $1 AND account = $2 AND state = 'queued' ORDER BY id LIMIT 1")
}

// No statement on the path of a task reads a whole table.
func TestTheHotStatementsScanNothing(t *testing.T) {
	s := openAt(t, storetest.File(t))

	ctx := t.Context()
	for _, text := range hotStatements(t) {
		args := make([]any, strings.Count(text, "$"))

		rows, err := s.reads.QueryContext(ctx, "EXPLAIN QUERY PLAN "+sqlite.spell(text), args...)
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
