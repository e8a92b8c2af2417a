package store

import (
	"cmp"
	"context"
	"fmt"
)

// Upstream is what is kept of a configured upstream: who serves it, whether it is
// parked, and what its operator wishes. Its configuration is not here, unless it was
// added while a server ran; its secret never is.
type Upstream struct {
	ID          string
	Owner       string // random per process start; "" is nobody
	Fence       int64  // grows with every new owner
	Expires     int64  // of the lease, unix milliseconds
	ParkedUntil int64  // unix milliseconds; 0 is not parked
	ParkedWhy   string // for the operator
	KeyID       string // the supplier's id of our API key, learned from a ticket of ours
	Wish        Wish
	Setup       string // JSON as in the configuration; "" for one that is configured elsewhere, or not any more
}

// Wish is what the operator wants of an upstream.
type Wish string

// The wishes.
const (
	WishServe  Wish = ""         // it takes tasks
	WishPause  Wish = "paused"   // it takes none at the moment; they wait for it
	WishDrain  Wish = "draining" // it takes none; new ones do not count on it
	WishRemove Wish = "removed"  // as draining, and forgotten when nothing of it is in progress
)

const upstreamColumns = "id, owner, fence, expires, parked_until, parked_why, key_id, wish, setup"

func (u *Upstream) fields() []any {
	return []any{&u.ID, &u.Owner, &u.Fence, &u.Expires, &u.ParkedUntil, &u.ParkedWhy, &u.KeyID, &u.Wish, &u.Setup}
}

func scanUpstream(s scanner) (u Upstream, err error) { return u, s.Scan(u.fields()...) }

// Upstream reads one, or ErrNotFound.
func (r Reader) Upstream(ctx context.Context, id string) (Upstream, error) {
	return one(ctx, r.q, scanUpstream, "SELECT "+upstreamColumns+" FROM upstream WHERE id = $1", id)
}

// Upstreams lists all that were ever configured: not the leases of other things.
func (r Reader) Upstreams(ctx context.Context) ([]Upstream, error) {
	return collect(ctx, r.q, scanUpstream, "SELECT "+upstreamColumns+" FROM upstream WHERE id NOT LIKE '~%' AND id NOT LIKE '%@%' ORDER BY id")
}

// TakeLease makes owner the one who serves the upstream until expires, if nobody
// else does at now, and returns the fence. ErrNotOwner says that somebody does.
// On PostgreSQL the time is the database's: now and expires only say for how long.
func (tx *Tx) TakeLease(ctx context.Context, id, owner string, now, expires int64) (int64, error) {
	if err := tx.EnsureUpstream(ctx, id); err != nil {
		return 0, err
	}

	at, err := tx.clock(ctx, now)
	if err != nil {
		return 0, err
	}

	now, expires = at, at+expires-now

	n, err := tx.changed(ctx, `UPDATE upstream SET fence = fence + CASE WHEN owner = $2 AND expires > $3 THEN 0 ELSE 1 END, owner = $2, expires = $4
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

// EnsureUpstream makes an upstream's row if there is none.
func (tx *Tx) EnsureUpstream(ctx context.Context, id string) error {
	_, err := tx.changed(ctx, "INSERT INTO upstream ("+upstreamColumns+") VALUES ($1, '', 0, 0, 0, '', '', '', '') ON CONFLICT (id) DO NOTHING", id)
	return err
}

// VoidLease ends an upstream's lease, whoever has it. Only who knows that the
// owner is dead may do so.
func (tx *Tx) VoidLease(ctx context.Context, id string) error {
	_, err := tx.changed(ctx, "UPDATE upstream SET owner = '', expires = 0 WHERE id = $1", id)
	return err
}

// Holds returns nil when owner serves the upstream with this fence at now, else
// ErrNotOwner. Decisions (claim, requeue, give up) ask it first, in their
// transaction.
func (tx *Tx) Holds(ctx context.Context, id, owner string, fence, now int64) error {
	var at int64 // asked for in the same exchange, and after the row is locked

	clock := cmp.Or(tx.d.clock, "0")

	u, err := one(ctx, tx.q, func(s scanner) (u Upstream, err error) { return u, s.Scan(&u.Owner, &u.Fence, &u.Expires, &at) },
		"SELECT owner, fence, expires, "+clock+" FROM upstream WHERE id = $1"+tx.d.forShare, id)
	if err != nil {
		return fmt.Errorf("lease of %s: %w", id, err)
	}

	if u.Owner != owner || u.Fence != fence || u.Expires <= cmp.Or(at, now) {
		return fmt.Errorf("lease of %s: %w", id, ErrNotOwner)
	}

	return nil
}

// Park closes an upstream until a time, with the reason for the operator;
// until 0 opens it.
func (tx *Tx) Park(ctx context.Context, id string, until int64, why string) error {
	_, err := tx.changed(ctx, "UPDATE upstream SET parked_until = $2, parked_why = $3 WHERE id = $1", id, until, why)
	return err
}

// SetWish notes what the operator wants of an upstream; ErrNotFound says that
// nobody ever served one of this name.
func (tx *Tx) SetWish(ctx context.Context, id string, wish Wish) error {
	n, err := tx.changed(ctx, "UPDATE upstream SET wish = $2 WHERE id = $1", id, string(wish))
	if err == nil && n == 0 {
		return fmt.Errorf("upstream %s: %w", id, ErrNotFound)
	}

	return err
}

// SetUp keeps how an upstream is set up that was added while a server runs; false
// says that there is one of this name.
func (tx *Tx) SetUp(ctx context.Context, id, setup string) (bool, error) {
	n, err := tx.changed(ctx, "INSERT INTO upstream ("+upstreamColumns+`) VALUES ($1, '', 0, 0, 0, '', '', '', $2)
		ON CONFLICT (id) DO UPDATE SET wish = '', parked_until = 0, parked_why = '', key_id = '', setup = excluded.setup WHERE upstream.setup = ''`, id, setup)

	return n == 1, err
}

// Forget drops the set-up of a removed upstream at which nothing is in progress; false
// says that something is. The row stays: its fence must never begin anew.
func (tx *Tx) Forget(ctx context.Context, id string) (bool, error) {
	n, err := tx.changed(ctx, `UPDATE upstream SET setup = '' WHERE id = $1 AND wish = 'removed'
		AND NOT EXISTS (SELECT 1 FROM task WHERE upstream = $1 AND state IN ('submitting', 'running', 'collecting'))`, id)

	return n == 1, err
}

// LearnKey keeps the supplier's id of our API key.
func (tx *Tx) LearnKey(ctx context.Context, id, key string) error {
	_, err := tx.changed(ctx, "UPDATE upstream SET key_id = $2 WHERE id = $1", id, key)
	return err
}

// Attempt is one submission to an upstream. It is written before anything is
// sent, and kept 48 h.
type Attempt struct {
	Task            string
	N               int64
	Upstream        string
	SupplierAccount string
	Model           string // the supplier's name
	SentAt          int64  // unix milliseconds
	LostAt          int64  // when the answer was given up; 0 is not
	RequestID       string // the supplier's id of the exchange
	Ticket          string
	Outcome         string // "taken", "not taken", "unsure", "adopted", "unknown"; "" is open
}

const attemptColumns = "task, n, upstream, supplier_account, model, sent_at, lost_at, request_id, ticket, outcome"

func scanAttempt(s scanner) (a Attempt, err error) {
	return a, s.Scan(&a.Task, &a.N, &a.Upstream, &a.SupplierAccount, &a.Model, &a.SentAt, &a.LostAt, &a.RequestID, &a.Ticket, &a.Outcome)
}

// attemptBy writes the intention.
func attemptBy(a Attempt) statement {
	return statement{
		"INSERT INTO attempt (" + attemptColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		[]any{a.Task, a.N, a.Upstream, a.SupplierAccount, a.Model, a.SentAt, a.LostAt, a.RequestID, a.Ticket, a.Outcome},
		1,
	}
}

// SaveAttempt writes what became of a submission. A ticket that another attempt
// of the same supplier account has is refused by the table.
func (tx *Tx) SaveAttempt(ctx context.Context, a Attempt) error {
	n, err := tx.changed(ctx, "UPDATE attempt SET sent_at = $3, lost_at = $4, request_id = $5, ticket = $6, outcome = $7 WHERE task = $1 AND n = $2",
		a.Task, a.N, a.SentAt, a.LostAt, a.RequestID, a.Ticket, a.Outcome)
	if err == nil && n != 1 {
		return fmt.Errorf("attempt %d of %s: %w", a.N, a.Task, ErrNotFound)
	}

	return err
}

// Attempt reads one, or ErrNotFound.
func (r Reader) Attempt(ctx context.Context, task string, n int64) (Attempt, error) {
	return one(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE task = $1 AND n = $2", task, n)
}

// AttemptsOf lists a task's attempts that are kept, in order.
func (r Reader) AttemptsOf(ctx context.Context, task string, limit int) ([]Attempt, error) {
	return collect(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE task = $1 ORDER BY n LIMIT $2", task, limit)
}

// AttemptsSince lists a supplier account's attempts sent at or after since, of
// one model ("": all), newest first.
func (r Reader) AttemptsSince(ctx context.Context, supplierAccount, model string, since int64) ([]Attempt, error) {
	return collect(ctx, r.q, scanAttempt, "SELECT "+attemptColumns+" FROM attempt WHERE sent_at >= $3 AND supplier_account = $1 AND (model = $2 OR $2 = '') ORDER BY sent_at DESC", supplierAccount, model, since)
}

// DeleteAttempts forgets attempts sent before a time, but for those of tasks
// that are not final.
func (tx *Tx) DeleteAttempts(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.changed(ctx, `DELETE FROM attempt WHERE (task, n) IN (SELECT a.task, a.n FROM attempt a JOIN task t ON t.id = a.task
		WHERE a.sent_at < $1 AND t.state IN ('completed', 'failed', 'cancelled') ORDER BY a.sent_at LIMIT $2)`, before, limit)
}
