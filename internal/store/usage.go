package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

// Usage is what the tasks of one group came to. Of Day, Model and Key those are
// set that it was asked by.
type Usage struct {
	Day       int64 // when that day began, UTC, in milliseconds
	Model     string
	Key       string
	Completed int64 // tasks
	Failed    int64
	Cancelled int64
	Seconds   int64 // of the videos
	Billed    int64 // milliseconds
	Cost      money.Amount
}

// UsageFilter says which of an account's ended tasks to sum up, and by what. Tasks
// that were deleted count too.
type UsageFilter struct {
	Account               string
	From, Until           int64  // when they ended, in milliseconds, Until excluded
	Model, Key            string // "": any
	ByDay, ByModel, ByKey bool
	Limit                 int // groups
}

const dayMillis = 24 * 60 * 60 * 1000

// Usage sums up ended tasks, in the order of day, model and key; at most Limit
// groups.
func (r Reader) Usage(ctx context.Context, f UsageFilter) ([]Usage, error) {
	args := []any{f.Account, f.From, f.Until, string(task.Completed), string(task.Failed), string(task.Cancelled)}
	mark := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }

	where := "account = $1 AND completed_at > 0 AND completed_at >= $2 AND completed_at < $3"
	if f.Model != "" {
		where += " AND resolved = " + mark(f.Model)
	}

	if f.Key != "" {
		where += " AND api_key = " + mark(f.Key)
	}

	day := "0"
	model := "''"
	key := "''"

	var by []string

	if f.ByDay {
		day = fmt.Sprintf("completed_at / %d * %d", dayMillis, dayMillis)

		by = append(by, "1")
	}

	if f.ByModel {
		model = "resolved"

		by = append(by, "2")
	}

	if f.ByKey {
		key = "api_key"

		by = append(by, "3")
	}

	sum := func(what string) string { return "CAST(COALESCE(SUM(" + what + "), 0) AS BIGINT)" }
	count := func(state string) string { return sum("CASE WHEN state = " + state + " THEN 1 ELSE 0 END") }

	text := "SELECT " + strings.Join([]string{
		day, model, key, count("$4"), count("$5"), count("$6"),
		sum("CASE WHEN state = $4 THEN seconds ELSE 0 END"), sum("billed"), sum("cost"),
	}, ", ") + " FROM task WHERE " + where
	if len(by) > 0 {
		text += " GROUP BY " + strings.Join(by, ", ") + " ORDER BY " + strings.Join(by, ", ")
	}

	return collect(ctx, r.q, scanUsage, text+" LIMIT "+mark(f.Limit), args...)
}

func scanUsage(s scanner) (u Usage, err error) {
	return u, s.Scan(&u.Day, &u.Model, &u.Key, &u.Completed, &u.Failed, &u.Cancelled, &u.Seconds, &u.Billed, &u.Cost)
}
