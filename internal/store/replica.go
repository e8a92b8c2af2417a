package store

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/internal/task"
)

// Rows of the upstream table are leases: of upstreams (task.UpstreamID), and one of the
// background work, which one replica does for all.

// BackgroundLease is the id of the lease of the background work.
const BackgroundLease = "~background"

// Replica is a process of this program that uses the database.
type Replica struct {
	ID     string   // the owner of its leases, random at each start of the process
	Name   string   // for the operator
	Serves []string // the upstreams in its configuration
}

// Lease is the row of a lease as of a given time.
type Lease struct {
	Upstream
	Remaining int64 // milliseconds until it expires; 0 is free
}

// Shared reports whether any replica can hold the lease of an upstream: not that of the
// background work, and not that of a renderer that exists only as long as its process.
func (l Lease) Shared() bool {
	return l.ID != BackgroundLease && task.ParseUpstreamID(l.ID).Process == ""
}

// Heartbeat records that a replica is alive at now, and is considered alive for
// ttl milliseconds. On PostgreSQL the time is the database's own.
func (tx *Tx) Heartbeat(ctx context.Context, r Replica, now, ttl int64) error {
	now, err := tx.leaseTime(ctx, now)
	if err != nil {
		return err
	}

	serves, err := encodeJSON(len(r.Serves) == 0, r.Serves)
	if err != nil {
		return err
	}

	_, err = tx.exec(ctx, "INSERT INTO replica (id, name, serves, expires) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET serves = excluded.serves, expires = excluded.expires",
		r.ID, r.Name, serves, now+ttl)

	return err
}

// RemoveReplica deletes a replica that ends, and releases the tasks that it was
// preparing.
func (tx *Tx) RemoveReplica(ctx context.Context, id string) error {
	n, err := tx.exec(ctx, "DELETE FROM replica WHERE id = $1", id)
	if err != nil || n == 0 {
		return err
	}

	tx.notifyReleased(id)
	_, err = tx.exec(ctx, "UPDATE task SET worker = '' WHERE state = 'preparing' AND worker = $1", id)

	return err
}

// Replicas lists the replicas that are alive at now, by id.
func (r Reader) Replicas(ctx context.Context, now int64) ([]Replica, error) {
	now, err := r.leaseTime(ctx, now)
	if err != nil {
		return nil, err
	}

	return queryAll(ctx, r.q, func(s scanner) (p Replica, err error) {
		var serves string
		if err := s.Scan(&p.ID, &p.Name, &serves); err != nil {
			return p, err
		}

		return p, decodeJSON(serves, &p.Serves)
	}, "SELECT id, name, serves FROM replica WHERE expires > $1 ORDER BY id", now)
}

// commitMarkerRetention is far longer than any write takes, in milliseconds.
const commitMarkerRetention = 24 * 60 * 60 * 1000

// DeleteDeadReplicas deletes the replicas that have been dead for deadFor
// milliseconds at now, and old commit markers.
func (tx *Tx) DeleteDeadReplicas(ctx context.Context, now, deadFor int64) error {
	now, err := tx.leaseTime(ctx, now)
	if err == nil {
		_, err = tx.exec(ctx, "DELETE FROM replica WHERE expires < $1", now-deadFor)
	}

	if err == nil {
		_, err = tx.exec(ctx, "DELETE FROM commit_marker WHERE at < $1", now-max(deadFor, commitMarkerRetention))
	}

	return err
}

// Leases lists every lease, and how long each is still held at now.
func (r Reader) Leases(ctx context.Context, now int64) ([]Lease, error) {
	now, err := r.leaseTime(ctx, now)
	if err != nil {
		return nil, err
	}

	return queryAll(ctx, r.q, func(s scanner) (l Lease, err error) {
		return l, s.Scan(append(l.scanTargets(), &l.Remaining)...)
	}, "SELECT "+upstreamColumns+", CASE WHEN owner <> '' AND expires > $1 THEN expires - $1 ELSE 0 END FROM upstream ORDER BY id", now)
}

// RenewLease extends a lease until expires if owner holds it with this fence at
// now, otherwise it returns ErrNotOwner.
func (tx *Tx) RenewLease(ctx context.Context, l Lease, now, expires int64) error {
	at, err := tx.leaseTime(ctx, now)
	if err != nil {
		return err
	}

	now, expires = at, at+expires-now

	n, err := tx.exec(ctx, "UPDATE upstream SET expires = $5 WHERE id = $1 AND owner = $2 AND fence = $3 AND expires > $4", l.ID, l.Owner, l.Fence, now, expires)
	if err == nil && n == 0 {
		return fmt.Errorf("lease of %s: %w", l.ID, ErrNotOwner)
	}

	return err
}

// ReleaseLease releases a lease at once, if owner still holds it with this
// fence, and notifies every replica. The fence stays, so that the next owner
// gets a higher one.
func (tx *Tx) ReleaseLease(ctx context.Context, id, owner string, fence int64) error {
	n, err := tx.exec(ctx, "UPDATE upstream SET owner = '', expires = 0 WHERE id = $1 AND owner = $2 AND fence = $3", id, owner, fence)
	if err == nil && n > 0 {
		tx.notifyReleased(id)
	}

	return err
}

// DeleteLease deletes a lease that nobody will need again: that of a renderer
// whose process has ended.
func (tx *Tx) DeleteLease(ctx context.Context, id, owner string, fence int64) error {
	_, err := tx.exec(ctx, "DELETE FROM upstream WHERE id = $1 AND owner = $2 AND fence = $3", id, owner, fence)
	return err
}

// notifyReleased notifies every replica that something was released and waits
// for a new owner.
func (tx *Tx) notifyReleased(what string) { tx.changes = append(tx.changes, Change{Released: what}) }

// ClaimPreparation makes a replica the one that prepares a task, if no replica
// that is alive at now does. It returns false if another one does, or if the
// task is not preparing.
func (tx *Tx) ClaimPreparation(ctx context.Context, id, replica string, now int64) (bool, error) {
	now, err := tx.leaseTime(ctx, now)
	if err != nil {
		return false, err
	}

	n, err := tx.exec(ctx, `UPDATE task SET worker = $2 WHERE id = $1 AND state = 'preparing'
		AND (worker = '' OR worker = $2 OR worker NOT IN (SELECT id FROM replica WHERE expires > $3))`, id, replica, now)

	return n == 1, err
}

// UnclaimedPreparing lists the preparing tasks that no replica that is alive at
// now prepares, and those of the given replica ("": none), oldest first.
func (r Reader) UnclaimedPreparing(ctx context.Context, replica string, now int64, limit int) ([]string, error) {
	now, err := r.leaseTime(ctx, now)
	if err != nil {
		return nil, err
	}

	return queryAll(ctx, r.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM task WHERE state = 'preparing' AND (worker = $1 OR worker NOT IN (SELECT id FROM replica WHERE expires > $2)) ORDER BY id LIMIT $3", replica, now, limit)
}

// UnfinishedOnUpstream is Unfinished for the tasks of one upstream.
func (r Reader) UnfinishedOnUpstream(ctx context.Context, upstream string, state task.State, after string, limit int) ([]task.Task, error) {
	return queryAll(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE state = CAST($2 AS TEXT) AND state IN ('submitting', 'running', 'collecting') AND upstream = $1 AND id > $3 ORDER BY id LIMIT $4",
		upstream, string(state), after, limit)
}

// InProgress lists the tasks that a supplier renders or that are being
// collected, of all upstreams, with only the fields that an estimate of their
// progress needs.
func (r Reader) InProgress(ctx context.Context) ([]task.Task, error) {
	return queryAll(ctx, r.q, func(s scanner) (t task.Task, err error) {
		return t, s.Scan(&t.ID, &t.State, &t.Queue, &t.Upstream, &t.ResolvedModel, &t.Preview, &t.Progress, &t.StartedAt)
	}, "SELECT id, state, queue, upstream, resolved_model, preview, progress, started_at FROM task WHERE state IN ('running', 'collecting')")
}

// PreviewDurations is RenderDurations for previews of any model.
func (r Reader) PreviewDurations(ctx context.Context, limit int) ([]int64, error) {
	return queryAll(ctx, r.q, func(s scanner) (ms int64, err error) { return ms, s.Scan(&ms) },
		"SELECT rendered_at - started_at FROM task WHERE rendered_at > 0 AND preview = 1 ORDER BY rendered_at DESC LIMIT $1", limit)
}
