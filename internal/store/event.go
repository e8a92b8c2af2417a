package store

import (
	"context"

	"github.com/unireel/unireel/internal/task"
)

// Happened is an event, and the state of its task before it: "" when it is the
// first, or the first that is kept.
type Happened struct {
	task.Event
	Before task.State
}

const happenedColumns = `e.task, e.seq, e.account, e.state, e.note, e.at,
	COALESCE((SELECT p.state FROM event AS p WHERE p.task = e.task AND p.seq < e.seq ORDER BY p.seq DESC LIMIT 1), '')`

// Happenings lists what happened to a task beyond a version, in order, at most
// limit.
func (r Reader) Happenings(ctx context.Context, id string, after int64, limit int) ([]Happened, error) {
	return collect(ctx, r.q, func(s scanner) (h Happened, err error) {
		return h, s.Scan(&h.Task, &h.Seq, &h.Account, &h.State, &h.Note, &h.At, &h.Before)
	}, "SELECT "+happenedColumns+" FROM event AS e WHERE e.task = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3", id, after, limit)
}
