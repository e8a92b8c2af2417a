package store

import (
	"context"
	"math"
	"strings"
)

// EndpointKind is how an endpoint came about.
type EndpointKind string

// The kinds. Of AskedEndpoint the URL is an origin: its deliveries name the rest.
// DefaultEndpoint is nowhere: its secret signs what goes to an account's
// AskedEndpoints.
const (
	SetEndpoint     EndpointKind = "account"
	AskedEndpoint   EndpointKind = "request"
	DefaultEndpoint EndpointKind = "default"
)

// Endpoint is where a customer wants to be told. Times are unix milliseconds, 0 is
// never.
type Endpoint struct {
	ID           string
	Account      string
	Kind         EndpointKind
	URL          string
	Events       []string // that it is told of; none is all
	Secret       string   // as the customer is shown it
	Earlier      string   // the secret before, which signs too until EarlierUntil
	EarlierUntil int64
	CreatedAt    int64
	DisabledAt   int64
	Failures     int64 // one after another, until now
	ParkedUntil  int64
}

// never is the due time of an endpoint for which nothing waits.
const never = math.MaxInt64

const endpointColumns = "id, account, kind, url, events, secret, earlier, earlier_until, created_at, disabled_at, failures, parked_until"

func scanEndpoint(s scanner) (e Endpoint, err error) {
	var events string

	err = s.Scan(&e.ID, &e.Account, &e.Kind, &e.URL, &events, &e.Secret, &e.Earlier, &e.EarlierUntil, &e.CreatedAt, &e.DisabledAt, &e.Failures, &e.ParkedUntil)
	e.Events = strings.Fields(events)

	return e, err
}

// spaced writes a list so that LIKE finds each of it: parted and surrounded by
// spaces.
func spaced(list []string) string {
	if len(list) == 0 {
		return ""
	}

	return " " + strings.Join(list, " ") + " "
}

func endpointBy(e Endpoint) statement {
	return statement{
		`INSERT INTO endpoint (id, account, kind, url, events, secret, created_at, next_due) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		[]any{e.ID, e.Account, string(e.Kind), e.URL, spaced(e.Events), e.Secret, e.CreatedAt, int64(never)},
		anyRows,
	}
}

// InsertEndpoint writes a new endpoint, unless its account has one of this kind and
// URL already and may have only one.
func (tx *Tx) InsertEndpoint(ctx context.Context, e Endpoint) error {
	return tx.together(ctx, []statement{endpointBy(e)})
}

// Endpoint reads an endpoint of an account, or ErrNotFound.
func (r Reader) Endpoint(ctx context.Context, account, id string) (Endpoint, error) {
	return one(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND id = $2", account, id)
}

// DefaultEndpoint reads what signs for an account's requests, or ErrNotFound while
// none has named a webhook_url.
func (r Reader) DefaultEndpoint(ctx context.Context, account string) (Endpoint, error) {
	return one(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND kind = 'default'", account)
}

// Endpoints lists the endpoints that an account set up, oldest first.
func (r Reader) Endpoints(ctx context.Context, account string) ([]Endpoint, error) {
	return collect(ctx, r.q, scanEndpoint, "SELECT "+endpointColumns+" FROM endpoint WHERE account = $1 AND kind = 'account' ORDER BY id", account)
}

// SaveEndpoint writes what may change of an endpoint. One that is not disabled is
// looked at anew at once.
func (tx *Tx) SaveEndpoint(ctx context.Context, e Endpoint, now int64) error {
	due := now
	if e.DisabledAt > 0 || e.Kind == DefaultEndpoint {
		due = never
	}

	_, err := tx.changed(ctx, `UPDATE endpoint SET url = $3, events = $4, secret = $5, earlier = $6, earlier_until = $7, disabled_at = $8, failures = $9, parked_until = $10, next_due = $11
		WHERE account = $1 AND id = $2`, e.Account, e.ID, e.URL, spaced(e.Events), e.Secret, e.Earlier, e.EarlierUntil, e.DisabledAt, e.Failures, e.ParkedUntil, due)

	return err
}

// DeleteEndpoint takes an endpoint that an account set up away, with its deliveries;
// false says that there is none.
func (tx *Tx) DeleteEndpoint(ctx context.Context, account, id string) (bool, error) {
	n, err := tx.changed(ctx, "DELETE FROM endpoint WHERE account = $1 AND id = $2 AND kind = 'account'", account, id)
	if err != nil || n == 0 {
		return false, err
	}

	_, err = tx.changed(ctx, "DELETE FROM delivery WHERE endpoint = $1", id)

	return true, err
}
