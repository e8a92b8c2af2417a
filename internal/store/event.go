package store

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// EventPosition is the position of an event among the events of its account. The
// numbers are the database's own. EventsOfAccount returns events strictly in the
// order of their positions.
type EventPosition struct{ Xid, N int64 }

// After reports whether p is after q.
func (p EventPosition) After(q EventPosition) bool {
	return p.Xid > q.Xid || p.Xid == q.Xid && p.N > q.N
}

// String returns the position as text that ParseEventPosition understands.
func (p EventPosition) String() string {
	return strconv.FormatInt(p.Xid, 10) + "." + strconv.FormatInt(p.N, 10)
}

// ParseEventPosition returns the position that String returned as text; false for any
// other text.
func ParseEventPosition(text string) (EventPosition, bool) {
	xid, n, _ := strings.Cut(text, ".")

	var (
		p         EventPosition
		err, nErr error
	)

	p.Xid, err = strconv.ParseInt(xid, 10, 64)
	p.N, nErr = strconv.ParseInt(n, 10, 64)

	return p, err == nil && nErr == nil && p.Xid >= 0 && p.N >= 0 && text == p.String()
}

// PositionedEvent is an event, its position, and the state of its task before
// it: "" if it is the first event, or the first that was not pruned.
type PositionedEvent struct {
	task.Event
	Position      EventPosition
	PreviousState task.State
}

const positionedEventColumns = `e.task, e.seq, e.account, e.state, e.note, e.at, e.xid, e.n,
	COALESCE((SELECT p.state FROM event AS p WHERE p.task = e.task AND p.seq < e.seq ORDER BY p.seq DESC LIMIT 1), '')`

func (e *PositionedEvent) scanTargets() []any {
	return []any{&e.Task, &e.Seq, &e.Account, &e.State, &e.Note, &e.At, &e.Position.Xid, &e.Position.N, &e.PreviousState}
}

// EventsOfTask lists a task's events after a version, in order, at most limit.
func (r Reader) EventsOfTask(ctx context.Context, id string, after int64, limit int) ([]PositionedEvent, error) {
	return queryAll(ctx, r.q, func(s scanner) (e PositionedEvent, err error) { return e, s.Scan(e.scanTargets()...) },
		"SELECT "+positionedEventColumns+" FROM event AS e WHERE e.task = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3", id, after, limit)
}

// EventsOfAccount lists the events of an account's tasks after a position, in
// order, at most limit. An event that was written while an older transaction is
// still running is held back, since that transaction may still write an event
// before it. pending reports that there is such an event, and that the caller
// should look again.
func (r Reader) EventsOfAccount(ctx context.Context, account string, after EventPosition, limit int) (list []PositionedEvent, pending bool, err error) {
	type row struct {
		PositionedEvent
		committed bool
	}

	rows, err := queryAll(ctx, r.q, func(s scanner) (w row, err error) { return w, s.Scan(append(w.scanTargets(), &w.committed)...) },
		"SELECT "+positionedEventColumns+", e.xid < "+r.d.xidHorizon+` FROM event AS e
		WHERE e.account = $1 AND e.n > 0 AND (e.xid, e.n) > ($2, $3) ORDER BY e.xid, e.n LIMIT $4`, account, after.Xid, after.N, limit)
	for _, w := range rows {
		if !w.committed {
			return list, true, err
		}

		list = append(list, w.PositionedEvent)
	}

	return list, false, err
}

// LastEventPosition returns the position of an account's last event; the zero
// EventPosition is before all events.
func (r Reader) LastEventPosition(ctx context.Context, account string) (EventPosition, error) {
	p, err := queryOne(ctx, r.q, func(s scanner) (p EventPosition, err error) { return p, s.Scan(&p.Xid, &p.N) },
		"SELECT xid, n FROM event WHERE account = $1 AND n > 0 AND xid < "+r.d.xidHorizon+" ORDER BY xid DESC, n DESC LIMIT 1", account)
	if errors.Is(err, ErrNotFound) {
		return EventPosition{}, nil
	}

	return p, err
}

const eventColumns = "event (task, seq, account, state, note, at, xid, n)"

// eventStatement returns the statement that writes an event, and the change to
// publish after the commit.
func (tx *Tx) eventStatement(e task.Event) (statement, Change) {
	return statement{
		"INSERT INTO " + eventColumns + " VALUES ($1, $2, $3, $4, $5, $6, " + tx.d.eventPosition + ")",
		[]any{e.Task, e.Seq, e.Account, string(e.State), e.Note, e.At},
		1,
	}, Change{Task: e.Task, Account: e.Account, State: e.State}
}

// eventsStatement is eventStatement for PostgreSQL's batches. rows has the first
// six columns.
func (tx *Tx) eventsStatement(rows [][]any) statement {
	s := insertMany(eventColumns, rows, "")
	s.text = "INSERT INTO " + eventColumns + " SELECT e.*, " + tx.d.eventPosition +
		" FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS e"

	return s
}
