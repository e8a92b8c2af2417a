package store

import (
	"context"
	"math"
	"strings"
)

// EndpointKind says how an endpoint was created.
type EndpointKind string

// The kinds of endpoint. The URL of a RequestEndpoint is only an origin: each of its
// deliveries has its own URL. A DefaultEndpoint has no URL: its secret signs the
// deliveries to the account's RequestEndpoints.
const (
	AccountEndpoint EndpointKind = "account"
	RequestEndpoint EndpointKind = "request"
	DefaultEndpoint EndpointKind = "default"
)

// Endpoint is where a customer wants events to be sent. Times are unix
// milliseconds, 0 is never.
type Endpoint struct {
	ID                  string
	Account             string
	Kind                EndpointKind
	URL                 string
	Events              []string // that it receives; none is all
	Secret              string   // as shown to the customer
	PreviousSecret      string   // the secret before, which also signs until PreviousSecretUntil
	PreviousSecretUntil int64
	CreatedAt           int64
	DisabledAt          int64
	Failures            int64 // number of consecutive failures up to now
	SuspendedUntil      int64
}

// neverDue is the due time of an endpoint that has no pending delivery.
const neverDue = math.MaxInt64

const endpointColumns = "id, account, kind, url, events, secret, previous_secret, previous_secret_until, created_at, disabled_at, failures, suspended_until"

func scanEndpoint(s scanner) (e Endpoint, err error) {
	var events string

	err = s.Scan(&e.ID, &e.Account, &e.Kind, &e.URL, &events, &e.Secret, &e.PreviousSecret, &e.PreviousSecretUntil, &e.CreatedAt, &e.DisabledAt, &e.Failures, &e.SuspendedUntil)
	e.Events = strings.Fields(events)

	return e, err
}

// joinSpaced joins a list so that LIKE finds each of its items: separated and
// surrounded by spaces.
func joinSpaced(list []string) string {
	if len(list) == 0 {
		return ""
	}

	return " " + strings.Join(list, " ") + " "
}

func endpointStatement(e Endpoint) statement {
	return statement{
		`INSERT INTO endpoint (id, account, kind, url, events, secret, created_at, next_due) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		[]any{e.ID, e.Account, string(e.Kind), e.URL, joinSpaced(e.Events), e.Secret, e.CreatedAt, int64(neverDue)},
		anyRows,
	}
}

// InsertEndpoint writes a new endpoint, unless the account has one of this kind
// and URL and may have only one.
func (tx *Tx) InsertEndpoint(ctx context.Context, e Endpoint) error {
	return tx.pipeline(ctx, []statement{endpointStatement(e)})
}

// Endpoint reads an endpoint of an account, or ErrNotFound.
func (r Reader) Endpoint(ctx context.Context, account, id string) (Endpoint, error) {
	return queryOne(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND id = $2", account, id)
}

// DefaultEndpoint reads the endpoint whose secret signs deliveries to the URLs
// that the account's requests name, or ErrNotFound if no request has named a
// webhook_url yet.
func (r Reader) DefaultEndpoint(ctx context.Context, account string) (Endpoint, error) {
	return queryOne(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND kind = 'default'", account)
}

// Endpoints lists the endpoints that an account created, oldest first.
func (r Reader) Endpoints(ctx context.Context, account string) ([]Endpoint, error) {
	return queryAll(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND kind = 'account' ORDER BY id", account)
}

// SaveEndpoint writes the fields of an endpoint that may change. An endpoint
// that is not disabled becomes due at once.
func (tx *Tx) SaveEndpoint(ctx context.Context, e Endpoint, now int64) error {
	due := now
	if e.DisabledAt > 0 || e.Kind == DefaultEndpoint {
		due = neverDue
	}

	_, err := tx.exec(ctx, `UPDATE endpoint SET url = $3, events = $4, secret = $5, previous_secret = $6, previous_secret_until = $7, disabled_at = $8, failures = $9, suspended_until = $10, next_due = $11
		WHERE account = $1 AND id = $2`, e.Account, e.ID, e.URL, joinSpaced(e.Events), e.Secret, e.PreviousSecret, e.PreviousSecretUntil, e.DisabledAt, e.Failures, e.SuspendedUntil, due)

	return err
}

// DeleteEndpoint deletes an endpoint that an account created, with its
// deliveries. It returns false if there is none.
func (tx *Tx) DeleteEndpoint(ctx context.Context, account, id string) (bool, error) {
	n, err := tx.exec(ctx, "DELETE FROM endpoint WHERE account = $1 AND id = $2 AND kind = 'account'", account, id)
	if err != nil || n == 0 {
		return false, err
	}

	_, err = tx.exec(ctx, "DELETE FROM delivery WHERE endpoint = $1", id)

	return true, err
}
