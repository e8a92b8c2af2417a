package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/unireel/unireel/internal/task"
)

// Delivery is one event for one endpoint. It is tried until it is delivered or
// given up. Times are unix milliseconds, 0 is never.
type Delivery struct {
	Endpoint       string
	ID             string // of the event; the same for each endpoint that receives it
	Account        string
	Task           string // "" for a test
	Event          string // "video.completed"
	Seq            int64  // the task's version
	URL            string // that the request named; "" is the endpoint's URL
	CreatedAt      int64
	DueAt          int64 // when it is due for the next try
	GiveUpAt       int64 // when it is given up
	State          DeliveryState
	Tries          int64
	ResponseStatus int64  // the last HTTP status; 0 is none
	Error          string // why the last try failed, in words for the customer
	LastTriedAt    int64
	EndedAt        int64
}

// DeliveryState says whether a delivery is pending or how it ended.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryFailed    DeliveryState = "failed"
)

// How long a delivery is tried, and how long nobody else claims a claimed one, in
// milliseconds.
const (
	deliveryLifetime  = 24 * 60 * 60 * 1000
	deliveryClaimTime = 60 * 1000
)

const deliveryColumns = "d.endpoint, d.id, d.account, d.task, d.event, d.seq, d.url, d.created_at, d.due, d.until, d.state, d.tries, d.status, d.error, d.tried_at, d.ended_at"

func scanDelivery(s scanner) (d Delivery, err error) {
	return d, s.Scan(&d.Endpoint, &d.ID, &d.Account, &d.Task, &d.Event, &d.Seq, &d.URL, &d.CreatedAt, &d.DueAt, &d.GiveUpAt, &d.State, &d.Tries, &d.ResponseStatus, &d.Error, &d.LastTriedAt, &d.EndedAt)
}

// statusChange is a change of a task's status that customers may be notified of.
type statusChange struct {
	task, account string
	seq, at       int64
}

// fanOut returns the statements that write deliveries of status changes of tasks
// to status (the name that customers see): one delivery for each endpoint that
// subscribes to it, which may be the account's own endpoints and the one that
// the task's request named.
//
// The id of an event consists of the task and the status, and ON CONFLICT DO
// NOTHING skips an id that exists. So a status that a task reaches again
// (queued, after it was in progress) is not delivered twice.
//
// The second statement makes the endpoints due. It changes only an endpoint that
// is not due yet, so that the tasks of one account do not wait for each other at
// its row. Endpoints are the last rows in the order of locks.
func (tx *Tx) fanOut(status string, all ...statusChange) []statement {
	rows := make([][]any, len(all))
	for i, change := range all {
		rows[i] = []any{change.task, change.account, change.seq, change.at}
	}

	// The changes are a small table of their own, x, so that one statement serves one step
	// and a whole batch of creations. SQLite has no arrays, and always has one change here.
	from := "(SELECT $1 AS task, $2 AS account, $3 AS seq, $4 AS at)"
	args := rows[0]

	if tx.d.arrays {
		from = "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])"
		args = []any{column[string](rows, 0), column[string](rows, 1), intColumn(rows, 2), intColumn(rows, 3)}
	}

	from += " AS x"
	if tx.d.arrays {
		from += "(task, account, seq, at)"
	}

	const eventID = "'evt_' || substr(x.task, 6) || '_" // the event's id: the task's id and the status

	selectDelivery := func(url string) string {
		return eventID + status + `', x.account, x.task, 'video.` + status + `', x.seq, ` + url + `, x.at, x.at, x.at + ` + strconv.Itoa(deliveryLifetime) + `, 'pending'`
	}

	return []statement{
		{`INSERT INTO delivery (endpoint, id, account, task, event, seq, url, created_at, due, until, state)
			SELECT e.id, ` + selectDelivery("''") + ` FROM ` + from + ` JOIN endpoint AS e ON e.account = x.account
				WHERE e.kind = 'account' AND e.disabled_at = 0 AND (e.events = '' OR e.events LIKE '% video.` + status + ` %')
			UNION ALL SELECT h.endpoint, ` + selectDelivery("h.url") + ` FROM ` + from + ` JOIN task_hook AS h ON h.task = x.task WHERE true
			ON CONFLICT DO NOTHING`, args, anyRows},
		{`UPDATE endpoint SET next_due = x.at FROM ` + from + ` WHERE endpoint.account = x.account AND endpoint.next_due > x.at AND endpoint.disabled_at = 0
			AND EXISTS (SELECT 1 FROM delivery AS d WHERE d.endpoint = endpoint.id AND d.task = x.task AND d.seq = x.seq AND d.state = 'pending')`, args, anyRows},
	}
}

// deliveriesOfStep returns the deliveries of a step. There are none if the step
// does not change the status that customers see.
func (tx *Tx) deliveriesOfStep(before, after task.Task, at int64) []statement {
	if before.State.Status() == after.State.Status() {
		return nil
	}

	return tx.fanOut(after.State.Status(), statusChange{after.ID, after.Account, after.Version, at})
}

// TaskWebhook is where a request wants the events of its task to be sent.
type TaskWebhook struct {
	Origin Endpoint // is created unless it exists
	Signer Endpoint // the account's DefaultEndpoint, created unless it exists
	URL    string
}

// webhookStatements writes the webhook of each creation that named one.
func webhookStatements(all []*Creation) []statement {
	var writes []statement

	for _, c := range all {
		if webhook := c.Webhook; webhook != nil {
			writes = append(writes, endpointStatement(webhook.Signer), endpointStatement(webhook.Origin), statement{
				"INSERT INTO task_hook (task, endpoint, url) SELECT $1, id, $2 FROM endpoint WHERE account = $3 AND kind = 'request' AND url = $4",
				[]any{c.Task.ID, webhook.URL, webhook.Origin.Account, webhook.Origin.URL},
				1,
			})
		}
	}

	return writes
}

// deliveriesOfCreations writes the webhooks of new tasks, and the deliveries of
// their first event.
func (tx *Tx) deliveriesOfCreations(all []*Creation) []statement {
	if len(all) == 0 {
		return nil
	}

	changes := make([]statusChange, len(all))
	for i, c := range all {
		changes[i] = statusChange{c.Task.ID, c.Task.Account, c.Task.Version, c.Task.CreatedAt}
	}

	return append(webhookStatements(all), tx.fanOut(task.Queued.Status(), changes...)...)
}

// DueEndpoints lists endpoints with due deliveries, the longest waiting first:
// with failing only those whose last try failed, otherwise only those whose last
// try succeeded.
func (r Reader) DueEndpoints(ctx context.Context, now int64, failing bool, limit int) ([]Endpoint, error) {
	condition := "failures = 0"
	if failing {
		condition = "failures > 0"
	}

	return queryAll(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE disabled_at = 0 AND next_due <= $1 AND suspended_until <= $1 AND "+condition+
		" ORDER BY next_due, id LIMIT $2", now, limit)
}

// claimable is the condition for a delivery of an endpoint that may be tried: no
// earlier event of the same task is still pending, so that the events of a task
// arrive in order.
const claimable = `d.endpoint = $1 AND d.state = 'pending'
	AND NOT EXISTS (SELECT 1 FROM delivery AS p WHERE p.endpoint = d.endpoint AND p.task = d.task AND p.seq < d.seq AND p.state = 'pending' AND p.task <> '')`

// ClaimDeliveries claims an endpoint's oldest due deliveries, at most limit:
// nobody else claims them for a minute. It returns none if another replica is
// claiming at this endpoint, or nothing is due.
func (tx *Tx) ClaimDeliveries(ctx context.Context, endpoint string, now int64, limit int) ([]Delivery, error) {
	_, err := queryOne(ctx, tx.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM endpoint WHERE id = $1 AND disabled_at = 0 AND next_due <= $2 AND suspended_until <= $2"+tx.d.skipLocked, endpoint, now)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	list, err := queryAll(ctx, tx.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE "+claimable+" AND d.due <= $2 ORDER BY d.due, d.seq LIMIT $3", endpoint, now, limit)
	if err != nil {
		return nil, err
	}

	var writes []statement

	for i := range list {
		d := &list[i]
		d.Tries = d.Tries + 1
		d.LastTriedAt = now
		d.DueAt = now + deliveryClaimTime
		writes = append(writes, statement{"UPDATE delivery SET tries = $3, tried_at = $4, due = $5 WHERE endpoint = $1 AND id = $2", []any{d.Endpoint, d.ID, d.Tries, now, d.DueAt}, 1})
	}

	return list, tx.pipeline(ctx, append(writes, nextDueStatement(endpoint)))
}

// nextDueStatement updates when an endpoint is next due.
func nextDueStatement(endpoint string) statement {
	return statement{"UPDATE endpoint SET next_due = COALESCE((SELECT d.due FROM delivery AS d WHERE " + claimable + " ORDER BY d.due LIMIT 1), $2) WHERE id = $1", []any{endpoint, int64(neverDue)}, anyRows}
}

// SaveDelivery writes the result of a delivery that ClaimDeliveries returned. A
// delivery that was claimed again in the meantime, or was deleted, does not
// change. A success resets the endpoint's failures; a failure suspends the
// endpoint until suspendedUntil, unless it is suspended for longer already.
func (tx *Tx) SaveDelivery(ctx context.Context, d Delivery, suspendedUntil int64) error {
	n, err := tx.exec(ctx, `UPDATE delivery SET due = $4, state = $5, status = $6, error = $7, ended_at = $8
		WHERE endpoint = $1 AND id = $2 AND tries = $3 AND state = 'pending'`, d.Endpoint, d.ID, d.Tries, d.DueAt, string(d.State), d.ResponseStatus, d.Error, d.EndedAt)
	if err != nil || n == 0 {
		return err
	}

	endpointUpdate := statement{"UPDATE endpoint SET failures = 0, suspended_until = 0 WHERE id = $1 AND failures > 0", []any{d.Endpoint}, anyRows}
	if d.State != DeliveryDelivered {
		endpointUpdate = statement{"UPDATE endpoint SET failures = failures + 1, suspended_until = CASE WHEN suspended_until < $2 THEN $2 ELSE suspended_until END WHERE id = $1", []any{d.Endpoint, suspendedUntil}, anyRows}
	}

	return tx.pipeline(ctx, []statement{endpointUpdate, nextDueStatement(d.Endpoint)})
}

// InsertDelivery adds a single delivery: a test that the customer requested.
func (tx *Tx) InsertDelivery(ctx context.Context, d Delivery) error {
	return tx.pipeline(ctx, []statement{
		{
			`INSERT INTO delivery (endpoint, id, account, task, event, seq, url, created_at, due, until, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, 'pending')`,
			[]any{d.Endpoint, d.ID, d.Account, d.Task, d.Event, d.Seq, d.URL, d.CreatedAt, d.CreatedAt + deliveryLifetime},
			1,
		},
		nextDueStatement(d.Endpoint),
	})
}

// Redeliver makes an ended delivery pending again, for as long as a new one. It
// returns false if the delivery has not ended.
func (tx *Tx) Redeliver(ctx context.Context, endpoint, id string, now int64) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE delivery SET state = 'pending', tries = 0, due = $3, until = $4, ended_at = 0 WHERE endpoint = $1 AND id = $2 AND state <> 'pending'",
		endpoint, id, now, now+deliveryLifetime)
	if err != nil || n == 0 {
		return false, err
	}

	return true, tx.pipeline(ctx, []statement{nextDueStatement(endpoint)})
}

// Delivery reads a delivery of an account, or ErrNotFound. A delivery to a
// request's own URL is also found with "" as its endpoint.
func (r Reader) Delivery(ctx context.Context, account, endpoint, id string) (Delivery, error) {
	if endpoint == "" {
		return queryOne(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE d.account = $1 AND d.url <> '' AND d.id = $2", account, id)
	}

	return queryOne(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE d.account = $1 AND d.endpoint = $2 AND d.id = $3", account, endpoint, id)
}

// DeliveryFilter says which deliveries of an account to list.
type DeliveryFilter struct {
	Account  string
	Endpoint string        // "": those to the URLs that requests named
	State    DeliveryState // "": any
	After    Delivery      // the page starts after this one; the zero Delivery starts from the beginning
	Limit    int
}

// Deliveries lists deliveries, newest first. more reports whether others follow
// the page.
func (r Reader) Deliveries(ctx context.Context, f DeliveryFilter) (list []Delivery, more bool, err error) {
	where := "d.account = $1 AND d.url <> ''"

	args := []any{f.Account, f.Limit + 1, string(f.State), f.After.CreatedAt, f.After.Seq, f.After.ID}
	if f.Endpoint != "" {
		where = "d.endpoint = $7 AND d.account = $1"

		args = append(args, f.Endpoint)
	}

	list, err = queryAll(ctx, r.q, scanDelivery, "SELECT "+deliveryColumns+" FROM delivery AS d WHERE "+where+
		" AND ($3 = '' OR d.state = $3) AND ($6 = '' OR (d.created_at, d.seq, d.id) < ($4, $5, $6)) ORDER BY d.created_at DESC, d.seq DESC, d.id DESC LIMIT $2", args...)
	if len(list) > f.Limit {
		return list[:f.Limit], true, err
	}

	return list, false, err
}

// SweepDeliveries gives up pending deliveries whose time is over at now, and
// deletes deliveries that ended at or before endedBefore, at most limit of each.
// It returns the number of both together.
func (tx *Tx) SweepDeliveries(ctx context.Context, now, endedBefore int64, limit int) (int64, error) {
	gaveUp, err := tx.exec(ctx, `UPDATE delivery SET state = 'failed', ended_at = $1 WHERE (endpoint, id) IN
		(SELECT endpoint, id FROM delivery WHERE state = 'pending' AND until <= $1 AND due <= $1 LIMIT $2)`, now, limit)
	if err != nil {
		return 0, err
	}

	deleted, err := tx.exec(ctx, `DELETE FROM delivery WHERE (endpoint, id) IN (SELECT endpoint, id FROM delivery WHERE ended_at > 0 AND ended_at <= $1 LIMIT $2)`, endedBefore, limit)

	return gaveUp + deleted, err
}
