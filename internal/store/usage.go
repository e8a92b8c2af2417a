package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

// Usage is the sum over the tasks of one group. Day, Model and Key are set only
// if the filter groups by them.
type Usage struct {
	Day       int64 // start of the day in UTC, in unix milliseconds
	Model     string
	Key       string
	Completed int64 // tasks
	Failed    int64
	Cancelled int64
	Seconds   int64 // of the videos
	Billed    int64 // milliseconds
	Cost      money.Amount
}

// UsageFilter says which of an account's ended tasks to sum up, and how to group
// them. Deleted tasks count as well.
type UsageFilter struct {
	Account               string
	From, Until           int64  // when they ended, in unix milliseconds, Until excluded
	Model, Key            string // "": any
	ByDay, ByModel, ByKey bool
	Limit                 int // maximum number of groups
}

const dayMillis = 24 * 60 * 60 * 1000

// Usage sums up ended tasks, ordered by day, model and key; at most Limit
// groups.
func (r Reader) Usage(ctx context.Context, f UsageFilter) ([]Usage, error) {
	args := []any{f.Account, f.From, f.Until, string(task.Completed), string(task.Failed), string(task.Cancelled)}
	param := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }

	where := "account = $1 AND completed_at > 0 AND completed_at >= $2 AND completed_at < $3"
	if f.Model != "" {
		where += " AND resolved_model = " + param(f.Model)
	}

	if f.Key != "" {
		where += " AND api_key = " + param(f.Key)
	}

	day := "0"
	model := "''"
	key := "''"

	var groupBy []string

	if f.ByDay {
		day = fmt.Sprintf("completed_at / %d * %d", dayMillis, dayMillis)

		groupBy = append(groupBy, "1")
	}

	if f.ByModel {
		model = "resolved_model"

		groupBy = append(groupBy, "2")
	}

	if f.ByKey {
		key = "api_key"

		groupBy = append(groupBy, "3")
	}

	sum := func(what string) string { return "CAST(COALESCE(SUM(" + what + "), 0) AS BIGINT)" }
	count := func(state string) string { return sum("CASE WHEN state = " + state + " THEN 1 ELSE 0 END") }

	text := "SELECT " + strings.Join([]string{
		day, model, key, count("$4"), count("$5"), count("$6"),
		sum("CASE WHEN state = $4 THEN seconds ELSE 0 END"), sum("billed"), sum("cost"),
	}, ", ") + " FROM task WHERE " + where
	if len(groupBy) > 0 {
		text += " GROUP BY " + strings.Join(groupBy, ", ") + " ORDER BY " + strings.Join(groupBy, ", ")
	}

	return queryAll(ctx, r.q, scanUsage, text+" LIMIT "+param(f.Limit), args...)
}

func scanUsage(s scanner) (u Usage, err error) {
	return u, s.Scan(&u.Day, &u.Model, &u.Key, &u.Completed, &u.Failed, &u.Cancelled, &u.Seconds, &u.Billed, &u.Cost)
}
