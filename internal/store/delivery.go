package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/unireel/unireel/internal/task"
)

// Delivery is one event for one endpoint: tried until it is delivered or given up.
// Times are unix milliseconds, 0 is never.
type Delivery struct {
	Endpoint  string
	ID        string // of the event; the same for each endpoint that is told of it
	Account   string
	Task      string // "" for a test
	Event     string // "video.completed"
	Seq       int64  // the task's version
	URL       string // that the request named; "" is the endpoint's
	CreatedAt int64
	Due       int64 // when it is tried next
	Until     int64 // when it is given up
	State     DeliveryState
	Tries     int64
	Status    int64  // the last HTTP status; 0 is none
	Error     string // what the last try failed with, in words for the customer
	TriedAt   int64
	EndedAt   int64
}

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	GivenUp   DeliveryState = "failed"
)

// How long a delivery is tried, and how long a claimed one is left to its claimer,
// in milliseconds.
const (
	deliveryLife  = 24 * 60 * 60 * 1000
	deliveryClaim = 60 * 1000
)

const deliveryColumns = "d.endpoint, d.id, d.account, d.task, d.event, d.seq, d.url, d.created_at, d.due, d.until, d.state, d.tries, d.status, d.error, d.tried_at, d.ended_at"

func scanDelivery(s scanner) (d Delivery, err error) {
	return d, s.Scan(&d.Endpoint, &d.ID, &d.Account, &d.Task, &d.Event, &d.Seq, &d.URL, &d.CreatedAt, &d.Due, &d.Until, &d.State, &d.Tries, &d.Status, &d.Error, &d.TriedAt, &d.EndedAt)
}

// happened is an event that customers may be told of.
type happened struct {
	task, account string
	seq, at       int64
}

// fanOut writes a delivery of what happened, which customers call by status, for
// each endpoint that wants it. Something that happens again (queued, after it was
// in progress) was told already. Endpoints are locked last of all, and only when
// nothing of theirs was due yet.
func (tx *Tx) fanOut(status string, all ...happened) []statement {
	rows := make([][]any, len(all))
	for i, h := range all {
		rows[i] = []any{h.task, h.account, h.seq, h.at}
	}

	from := "(SELECT $1 AS task, $2 AS account, $3 AS seq, $4 AS at)"
	args := rows[0]

	if tx.d.arrays {
		from = "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])"
		args = []any{column[string](rows, 0), column[string](rows, 1), integers(rows, 2), integers(rows, 3)}
	}

	from += " AS x"
	if tx.d.arrays {
		from += "(task, account, seq, at)"
	}

	const values = "'evt_' || substr(x.task, 6) || '_" // the event's id: its task's, and what happened

	told := func(url string) string {
		return values + status + `', x.account, x.task, 'video.` + status + `', x.seq, ` + url + `, x.at, x.at, x.at + ` + strconv.Itoa(deliveryLife) + `, 'pending'`
	}

	return []statement{
		{`INSERT INTO delivery (endpoint, id, account, task, event, seq, url, created_at, due, until, state)
			SELECT e.id, ` + told("''") + ` FROM ` + from + ` JOIN endpoint AS e ON e.account = x.account
				WHERE e.kind = 'account' AND e.disabled_at = 0 AND (e.events = '' OR e.events LIKE '% video.` + status + ` %')
			UNION ALL SELECT h.endpoint, ` + told("h.url") + ` FROM ` + from + ` JOIN task_hook AS h ON h.task = x.task WHERE true
			ON CONFLICT DO NOTHING`, args, anyRows},
		{`UPDATE endpoint SET next_due = x.at FROM ` + from + ` WHERE endpoint.account = x.account AND endpoint.next_due > x.at AND endpoint.disabled_at = 0
			AND EXISTS (SELECT 1 FROM delivery AS d WHERE d.endpoint = endpoint.id AND d.task = x.task AND d.seq = x.seq AND d.state = 'pending')`, args, anyRows},
	}
}

// told are the deliveries of a step; none when customers see no difference.
func (tx *Tx) told(was, now task.Task, at int64) []statement {
	if was.State.Status() == now.State.Status() {
		return nil
	}

	return tx.fanOut(now.State.Status(), happened{now.ID, now.Account, now.Version, at})
}

// Hook is where a request wants to be told of its task.
type Hook struct {
	Origin Endpoint // is made unless there is one
	Signer Endpoint // the account's DefaultEndpoint: is made unless there is one
	URL    string
}

// hooksBy writes where each of these creations is to be told.
func hooksBy(all []*Creation) []statement {
	var writes []statement

	for _, c := range all {
		if h := c.Hook; h != nil {
			writes = append(writes, endpointBy(h.Signer), endpointBy(h.Origin), statement{
				"INSERT INTO task_hook (task, endpoint, url) SELECT $1, id, $2 FROM endpoint WHERE account = $3 AND kind = 'request' AND url = $4",
				[]any{c.Task.ID, h.URL, h.Origin.Account, h.Origin.URL},
				1,
			})
		}
	}

	return writes
}

// toldOf are the hooks of new tasks, and the deliveries of their creation.
func (tx *Tx) toldOf(all []*Creation) []statement {
	if len(all) == 0 {
		return nil
	}

	list := make([]happened, len(all))
	for i, c := range all {
		list[i] = happened{c.Task.ID, c.Task.Account, c.Task.Version, c.Task.CreatedAt}
	}

	return append(hooksBy(all), tx.fanOut(task.Queued.Status(), list...)...)
}

// DueEndpoints lists endpoints that have something due, the longest waiting first.
// Those that failed last come only when doubtful is asked for, and then alone.
func (r Reader) DueEndpoints(ctx context.Context, now int64, doubtful bool, limit int) ([]Endpoint, error) {
	which := "failures = 0"
	if doubtful {
		which = "failures > 0"
	}

	return collect(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE disabled_at = 0 AND next_due <= $1 AND parked_until <= $1 AND "+which+
		" ORDER BY next_due, id LIMIT $2", now, limit)
}

// free is what of an endpoint's deliveries may be tried: not while an earlier event
// of the same task still is.
const free = `d.endpoint = $1 AND d.state = 'pending'
	AND NOT EXISTS (SELECT 1 FROM delivery AS p WHERE p.endpoint = d.endpoint AND p.task = d.task AND p.seq < d.seq AND p.state = 'pending' AND p.task <> '')`

// ClaimDeliveries takes an endpoint's oldest due deliveries to be tried now, at most
// limit: nobody else takes them for a minute. It gives none when another has just
// claimed there, or nothing is due.
func (tx *Tx) ClaimDeliveries(ctx context.Context, endpoint string, now int64, limit int) ([]Delivery, error) {
	_, err := one(ctx, tx.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM endpoint WHERE id = $1 AND disabled_at = 0 AND next_due <= $2 AND parked_until <= $2"+tx.d.skipLocked, endpoint, now)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	list, err := collect(ctx, tx.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE "+free+" AND d.due <= $2 ORDER BY d.due, d.seq LIMIT $3", endpoint, now, limit)
	if err != nil {
		return nil, err
	}

	var writes []statement

	for i := range list {
		d := &list[i]
		d.Tries = d.Tries + 1
		d.TriedAt = now
		d.Due = now + deliveryClaim
		writes = append(writes, statement{"UPDATE delivery SET tries = $3, tried_at = $4, due = $5 WHERE endpoint = $1 AND id = $2", []any{d.Endpoint, d.ID, d.Tries, now, d.Due}, 1})
	}

	return list, tx.together(ctx, append(writes, nextDue(endpoint)))
}

// nextDue sets when an endpoint is to be looked at again.
func nextDue(endpoint string) statement {
	return statement{"UPDATE endpoint SET next_due = COALESCE((SELECT d.due FROM delivery AS d WHERE " + free + " ORDER BY d.due LIMIT 1), $2) WHERE id = $1", []any{endpoint, int64(never)}, anyRows}
}

// SaveDelivery writes what became of a try that ClaimDeliveries gave out. A delivery
// that was claimed again since, or is gone, stays as it is. A try that went well
// clears its endpoint; one that failed parks it until parkedUntil, where that is
// later.
func (tx *Tx) SaveDelivery(ctx context.Context, d Delivery, parkedUntil int64) error {
	n, err := tx.changed(ctx, `UPDATE delivery SET due = $4, state = $5, status = $6, error = $7, ended_at = $8
		WHERE endpoint = $1 AND id = $2 AND tries = $3 AND state = 'pending'`, d.Endpoint, d.ID, d.Tries, d.Due, string(d.State), d.Status, d.Error, d.EndedAt)
	if err != nil || n == 0 {
		return err
	}

	mood := statement{"UPDATE endpoint SET failures = 0, parked_until = 0 WHERE id = $1 AND failures > 0", []any{d.Endpoint}, anyRows}
	if d.State != Delivered {
		mood = statement{"UPDATE endpoint SET failures = failures + 1, parked_until = CASE WHEN parked_until < $2 THEN $2 ELSE parked_until END WHERE id = $1", []any{d.Endpoint, parkedUntil}, anyRows}
	}

	return tx.together(ctx, []statement{mood, nextDue(d.Endpoint)})
}

// InsertDelivery adds a delivery by hand: a test.
func (tx *Tx) InsertDelivery(ctx context.Context, d Delivery) error {
	return tx.together(ctx, []statement{
		{
			`INSERT INTO delivery (endpoint, id, account, task, event, seq, url, created_at, due, until, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, 'pending')`,
			[]any{d.Endpoint, d.ID, d.Account, d.Task, d.Event, d.Seq, d.URL, d.CreatedAt, d.CreatedAt + deliveryLife},
			1,
		},
		nextDue(d.Endpoint),
	})
}

// Redeliver has a delivery that ended tried once more, for as long as a new one; false
// says that it has not ended.
func (tx *Tx) Redeliver(ctx context.Context, endpoint, id string, now int64) (bool, error) {
	n, err := tx.changed(ctx, "UPDATE delivery SET state = 'pending', tries = 0, due = $3, until = $4, ended_at = 0 WHERE endpoint = $1 AND id = $2 AND state <> 'pending'",
		endpoint, id, now, now+deliveryLife)
	if err != nil || n == 0 {
		return false, err
	}

	return true, tx.together(ctx, []statement{nextDue(endpoint)})
}

// Delivery reads a delivery of an account, or ErrNotFound. One that a request asked
// for is found under "" as its endpoint, too.
func (r Reader) Delivery(ctx context.Context, account, endpoint, id string) (Delivery, error) {
	if endpoint == "" {
		return one(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE d.account = $1 AND d.url <> '' AND d.id = $2", account, id)
	}

	return one(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE d.account = $1 AND d.endpoint = $2 AND d.id = $3", account, endpoint, id)
}

// DeliveryFilter says which deliveries of an account to list.
type DeliveryFilter struct {
	Account  string
	Endpoint string        // "": those that requests asked for
	State    DeliveryState // "": any
	After    Delivery      // behind which the page starts; the zero one is the start
	Limit    int
}

// Deliveries lists deliveries, newest first; more says whether there are others
// behind the page.
func (r Reader) Deliveries(ctx context.Context, f DeliveryFilter) (list []Delivery, more bool, err error) {
	where := "d.account = $1 AND d.url <> ''"

	args := []any{f.Account, f.Limit + 1, string(f.State), f.After.CreatedAt, f.After.Seq, f.After.ID}
	if f.Endpoint != "" {
		where = "d.endpoint = $7 AND d.account = $1"

		args = append(args, f.Endpoint)
	}

	list, err = collect(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE "+where+
		" AND ($3 = '' OR d.state = $3) AND ($6 = '' OR (d.created_at, d.seq, d.id) < ($4, $5, $6)) ORDER BY d.created_at DESC, d.seq DESC, d.id DESC LIMIT $2", args...)
	if len(list) > f.Limit {
		return list[:f.Limit], true, err
	}

	return list, false, err
}

// SweepDeliveries gives up what is past its time at now, and forgets what ended at or
// before a time, at most limit of each. It says how many of both.
func (tx *Tx) SweepDeliveries(ctx context.Context, now, ended int64, limit int) (int64, error) {
	gave, err := tx.changed(ctx, `UPDATE delivery SET state = 'failed', ended_at = $1 WHERE (endpoint, id) IN
		(SELECT endpoint, id FROM delivery WHERE state = 'pending' AND until <= $1 AND due <= $1 LIMIT $2)`, now, limit)
	if err != nil {
		return 0, err
	}

	forgot, err := tx.changed(ctx, `DELETE FROM delivery WHERE (endpoint, id) IN (SELECT endpoint, id FROM delivery WHERE ended_at > 0 AND ended_at <= $1 LIMIT $2)`, ended, limit)

	return gave + forgot, err
}
