package store

import (
	"cmp"
	"context"
	"fmt"
)

// Upstream is the stored state of a configured upstream: who serves it, whether
// it is suspended, and the operator's desired state. Its configuration is not
// stored, unless it was added while a server was running; its secret never is.
type Upstream struct {
	ID              string
	Owner           string // random at each start of a process; "" is nobody
	Fence           int64  // increases with every new owner
	Expires         int64  // of the lease, unix milliseconds
	SuspendedUntil  int64  // unix milliseconds; 0 is not suspended
	SuspendedReason string // for the operator
	SupplierKeyID   string // the supplier's id of our API key, learned from a task of ours
	DesiredState    DesiredState
	Setup           string // JSON as in the configuration; "" if it is configured elsewhere, or no longer configured
}

// DesiredState is what the operator wants of an upstream.
type DesiredState string

// The desired states.
const (
	DesiredServing  DesiredState = ""         // it takes tasks
	DesiredPaused   DesiredState = "paused"   // it takes no tasks for now; tasks wait for it
	DesiredDraining DesiredState = "draining" // it takes no tasks; new tasks are not routed to it
	DesiredRemoved  DesiredState = "removed"  // like draining, and deleted when none of its tasks is in progress
)

const upstreamColumns = "id, owner, fence, expires, suspended_until, suspended_reason, key_id, desired_state, setup"

func (u *Upstream) scanTargets() []any {
	return []any{&u.ID, &u.Owner, &u.Fence, &u.Expires, &u.SuspendedUntil, &u.SuspendedReason, &u.SupplierKeyID, &u.DesiredState, &u.Setup}
}

func scanUpstream(s scanner) (u Upstream, err error) { return u, s.Scan(u.scanTargets()...) }

// Upstream reads one upstream, or ErrNotFound.
func (r Reader) Upstream(ctx context.Context, id string) (Upstream, error) {
	return queryOne(ctx, r.q, scanUpstream, "SELECT "+upstreamColumns+" FROM upstream WHERE id = $1", id)
}

// Upstreams lists all upstreams that were ever configured, without the leases of
// other kinds.
func (r Reader) Upstreams(ctx context.Context) ([]Upstream, error) {
	return queryAll(ctx, r.q, scanUpstream, "SELECT "+upstreamColumns+" FROM upstream WHERE id NOT LIKE '~%' AND id NOT LIKE '%@%' ORDER BY id")
}

// AcquireLease makes owner the one that serves the upstream until expires, if
// nobody else does at now, and returns the fence. ErrNotOwner means that
// somebody else does. The fence increases unless the same owner still holds the
// lease, so a former owner can always be told from the present one. On
// PostgreSQL the time is the database's: now and expires only give the duration.
func (tx *Tx) AcquireLease(ctx context.Context, id, owner string, now, expires int64) (int64, error) {
	if err := tx.EnsureUpstream(ctx, id); err != nil {
		return 0, err
	}

	at, err := tx.leaseTime(ctx, now)
	if err != nil {
		return 0, err
	}

	now, expires = at, at+expires-now

	n, err := tx.exec(ctx, `UPDATE upstream SET fence = fence + CASE WHEN owner = $2 AND expires > $3 THEN 0 ELSE 1 END, owner = $2, expires = $4
		WHERE id = $1 AND (owner = $2 OR expires < $3)`, id, owner, now, expires)
	if err != nil {
		return 0, err
	}

	if n == 0 {
		return 0, ErrNotOwner
	}

	u, err := tx.Upstream(ctx, id)

	return u.Fence, err
}

// EnsureUpstream creates an upstream's row if there is none.
func (tx *Tx) EnsureUpstream(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, "INSERT INTO upstream ("+upstreamColumns+") VALUES ($1, '', 0, 0, 0, '', '', '', '') ON CONFLICT (id) DO NOTHING", id)
	return err
}

// RevokeLease ends an upstream's lease, whoever holds it. Only a caller that
// knows that the owner is dead may do so.
func (tx *Tx) RevokeLease(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, "UPDATE upstream SET owner = '', expires = 0 WHERE id = $1", id)
	return err
}

// CheckLease returns nil if owner holds the upstream's lease with this fence at
// now, otherwise ErrNotOwner. Decisions (claim, requeue, give up) call it first,
// in their transaction: the row stays locked until the commit, so the lease
// cannot change hands in between.
func (tx *Tx) CheckLease(ctx context.Context, id, owner string, fence, now int64) error {
	var at int64 // read in the same statement, after the row is locked

	clock := cmp.Or(tx.d.clockExpr, "0")

	u, err := queryOne(ctx, tx.q, func(s scanner) (u Upstream, err error) { return u, s.Scan(&u.Owner, &u.Fence, &u.Expires, &at) },
		"SELECT owner, fence, expires, "+clock+" FROM upstream WHERE id = $1"+tx.d.forShare, id)
	if err != nil {
		return fmt.Errorf("lease of %s: %w", id, err)
	}

	if u.Owner != owner || u.Fence != fence || u.Expires <= cmp.Or(at, now) {
		return fmt.Errorf("lease of %s: %w", id, ErrNotOwner)
	}

	return nil
}

// SuspendUpstream suspends an upstream until a time, with the reason for the
// operator; until 0 ends the suspension.
func (tx *Tx) SuspendUpstream(ctx context.Context, id string, until int64, reason string) error {
	_, err := tx.exec(ctx, "UPDATE upstream SET suspended_until = $2, suspended_reason = $3 WHERE id = $1", id, until, reason)
	return err
}

// SetDesiredState stores what the operator wants of an upstream. ErrNotFound
// means that no upstream of this name was ever served.
func (tx *Tx) SetDesiredState(ctx context.Context, id string, desired DesiredState) error {
	n, err := tx.exec(ctx, "UPDATE upstream SET desired_state = $2 WHERE id = $1", id, string(desired))
	if err == nil && n == 0 {
		return fmt.Errorf("upstream %s: %w", id, ErrNotFound)
	}

	return err
}

// AddUpstream stores the configuration of an upstream that was added while a
// server is running. It returns false if there is one of this name.
func (tx *Tx) AddUpstream(ctx context.Context, id, setup string) (bool, error) {
	n, err := tx.exec(ctx, "INSERT INTO upstream ("+upstreamColumns+`) VALUES ($1, '', 0, 0, 0, '', '', '', $2)
		ON CONFLICT (id) DO UPDATE SET desired_state = '', suspended_until = 0, suspended_reason = '', key_id = '', setup = excluded.setup WHERE upstream.setup = ''`, id, setup)

	return n == 1, err
}

// RemoveSetup deletes the configuration of a removed upstream that has no task
// in progress. It returns false if a task is in progress. The row stays, because
// its fence must never start again.
func (tx *Tx) RemoveSetup(ctx context.Context, id string) (bool, error) {
	n, err := tx.exec(ctx, `UPDATE upstream SET setup = '' WHERE id = $1 AND desired_state = 'removed'
		AND NOT EXISTS (SELECT 1 FROM task WHERE upstream = $1 AND state IN ('submitting', 'running', 'collecting'))`, id)

	return n == 1, err
}

// SaveSupplierKeyID stores the supplier's id of our API key.
func (tx *Tx) SaveSupplierKeyID(ctx context.Context, id, key string) error {
	_, err := tx.exec(ctx, "UPDATE upstream SET key_id = $2 WHERE id = $1", id, key)
	return err
}

// Attempt is one submission to an upstream. It is written before anything is
// sent, and kept for 48 h.
type Attempt struct {
	Task            string
	N               int64
	Upstream        string
	SupplierAccount string
	Model           string // the supplier's name of the model
	SentAt          int64  // unix milliseconds
	UncertainAt     int64  // when Unireel stopped waiting for the answer; 0 if it did not
	RequestID       string // the supplier's id of the HTTP request
	RemoteID        string
	Outcome         string // "accepted", "not_accepted", "uncertain", "recovered", "unknown"; "" while it is open
}

const attemptColumns = "task, n, upstream, supplier_account, model, sent_at, uncertain_at, request_id, remote_id, outcome"

func scanAttempt(s scanner) (a Attempt, err error) {
	return a, s.Scan(&a.Task, &a.N, &a.Upstream, &a.SupplierAccount, &a.Model, &a.SentAt, &a.UncertainAt, &a.RequestID, &a.RemoteID, &a.Outcome)
}

// attemptStatement writes an attempt before its submission is sent.
func attemptStatement(a Attempt) statement {
	return statement{
		"INSERT INTO attempt (" + attemptColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		[]any{a.Task, a.N, a.Upstream, a.SupplierAccount, a.Model, a.SentAt, a.UncertainAt, a.RequestID, a.RemoteID, a.Outcome},
		1,
	}
}

// SaveAttempt writes the outcome of a submission. The table rejects a remote ID
// that another attempt with the same supplier account has.
func (tx *Tx) SaveAttempt(ctx context.Context, a Attempt) error {
	n, err := tx.exec(ctx, "UPDATE attempt SET sent_at = $3, uncertain_at = $4, request_id = $5, remote_id = $6, outcome = $7 WHERE task = $1 AND n = $2",
		a.Task, a.N, a.SentAt, a.UncertainAt, a.RequestID, a.RemoteID, a.Outcome)
	if err == nil && n != 1 {
		return fmt.Errorf("attempt %d of %s: %w", a.N, a.Task, ErrNotFound)
	}

	return err
}

// Attempt reads one attempt, or ErrNotFound.
func (r Reader) Attempt(ctx context.Context, task string, n int64) (Attempt, error) {
	return queryOne(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE task = $1 AND n = $2", task, n)
}

// AttemptsOf lists a task's stored attempts, in order.
func (r Reader) AttemptsOf(ctx context.Context, task string, limit int) ([]Attempt, error) {
	return queryAll(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE task = $1 ORDER BY n LIMIT $2", task, limit)
}

// AttemptsSince lists a supplier account's attempts of one model ("": all) sent
// at or after since, newest first.
func (r Reader) AttemptsSince(ctx context.Context, supplierAccount, model string, since int64) ([]Attempt, error) {
	return queryAll(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE sent_at >= $3 AND supplier_account = $1 AND (model = $2 OR $2 = '') ORDER BY sent_at DESC", supplierAccount, model, since)
}

// DeleteAttempts deletes attempts sent before a time, except those of tasks that
// are not final.
func (tx *Tx) DeleteAttempts(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM attempt WHERE (task, n) IN (SELECT a.task, a.n FROM attempt a JOIN task t ON t.id = a.task
		WHERE a.sent_at < $1 AND t.state IN ('completed', 'failed', 'cancelled') ORDER BY a.sent_at LIMIT $2)`, before, limit)
}
