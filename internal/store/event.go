package store

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/task"
)

// Place is where an event stands among its account's. Its numbers are the
// database's own; a later place is told after an earlier one, always.
type Place struct{ Xid, N int64 }

// After says whether p is behind q.
func (p Place) After(q Place) bool { return p.Xid > q.Xid || p.Xid == q.Xid && p.N > q.N }

// Happened is an event, its place, and the state of its task before it: "" when
// it is the first, or the first that is kept.
type Happened struct {
	task.Event
	Place  Place
	Before task.State
}

const happenedColumns = `e.task, e.seq, e.account, e.state, e.note, e.at, e.xid, e.n,
	COALESCE((SELECT p.state FROM event AS p WHERE p.task = e.task AND p.seq < e.seq ORDER BY p.seq DESC LIMIT 1), '')`

func (h *Happened) columns() []any {
	return []any{&h.Task, &h.Seq, &h.Account, &h.State, &h.Note, &h.At, &h.Place.Xid, &h.Place.N, &h.Before}
}

// Happenings lists what happened to a task beyond a version, in order, at most
// limit.
func (r Reader) Happenings(ctx context.Context, id string, after int64, limit int) ([]Happened, error) {
	return collect(ctx, r.q, func(s scanner) (h Happened, err error) { return h, s.Scan(h.columns()...) },
		"SELECT "+happenedColumns+" FROM event AS e WHERE e.task = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3", id, after, limit)
}

// HappeningsOf lists what happened to an account's tasks behind a place, in order,
// at most limit. What was written while an older transaction still goes on is held
// back, since that one may yet put something before it: unsettled says that there
// is some, and that it is worth another look.
func (r Reader) HappeningsOf(ctx context.Context, account string, after Place, limit int) (list []Happened, unsettled bool, err error) {
	type row struct {
		Happened
		settled bool
	}

	rows, err := collect(ctx, r.q, func(s scanner) (w row, err error) { return w, s.Scan(append(w.columns(), &w.settled)...) },
		"SELECT "+happenedColumns+", e.xid < "+r.d.horizon+` FROM event AS e
		WHERE e.account = $1 AND e.n > 0 AND (e.xid, e.n) > ($2, $3) ORDER BY e.xid, e.n LIMIT $4`, account, after.Xid, after.N, limit)
	for _, w := range rows {
		if !w.settled {
			return list, true, err
		}

		list = append(list, w.Happened)
	}

	return list, false, err
}

// LastPlace is the place of an account's last event; the zero Place before all.
func (r Reader) LastPlace(ctx context.Context, account string) (Place, error) {
	p, err := one(ctx, r.q, func(s scanner) (p Place, err error) { return p, s.Scan(&p.Xid, &p.N) },
		"SELECT xid, n FROM event WHERE account = $1 AND n > 0 AND xid < "+r.d.horizon+" ORDER BY xid DESC, n DESC LIMIT 1", account)
	if errors.Is(err, ErrNotFound) {
		return Place{}, nil
	}

	return p, err
}

const eventColumns = "event (task, seq, account, state, note, at, xid, n)"

// eventBy is the statement that writes an event, and what is told of it after the
// commit.
func (tx *Tx) eventBy(e task.Event) (statement, Change) {
	return statement{
		"INSERT INTO " + eventColumns + " VALUES ($1, $2, $3, $4, $5, $6, " + tx.d.place + ")",
		[]any{e.Task, e.Seq, e.Account, string(e.State), e.Note, e.At},
		1,
	}, Change{Task: e.Task, Account: e.Account, State: e.State}
}

// eventsBy is eventBy for PostgreSQL's batches: rows are the first six columns.
func (tx *Tx) eventsBy(rows [][]any) statement {
	s := insertMany(eventColumns, rows, "")
	s.text = "INSERT INTO " + eventColumns + " SELECT e.*, " + tx.d.place +
		" FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS e"

	return s
}
