package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// Rows of the upstream table are leases. Most are a configured upstream's; two
// kinds are not, and are told by their ids: "name@owner" is a renderer that lives
// and dies with its process, "~name" is work that one replica does for all.

// Replica is a process of this program that works on the database.
type Replica struct {
	ID     string   // the owner of its leases: random per process start
	Name   string   // for the operator
	Serves []string // the upstreams that it is configured for
}

// Lease is who holds a row, as of the time that was asked about.
type Lease struct {
	Upstream
	Left int64 // milliseconds that it still holds; 0 is free
}

// Beat says that a replica lives at now, and is believed to for so many
// milliseconds. On PostgreSQL the time is the database's own.
func (tx *Tx) Beat(ctx context.Context, r Replica, now, believed int64) error {
	now, err := tx.clock(ctx, now)
	if err != nil {
		return err
	}

	_, err = tx.changed(ctx, "INSERT INTO replica (id, name, serves, expires) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET serves = excluded.serves, expires = excluded.expires",
		r.ID, r.Name, strings.Join(r.Serves, "|"), now+believed)

	return err
}

// Leave forgets a replica at its end and lets go of the tasks that it prepared.
func (tx *Tx) Leave(ctx context.Context, id string) error {
	n, err := tx.changed(ctx, "DELETE FROM replica WHERE id = $1", id)
	if err != nil || n == 0 {
		return err
	}

	tx.announce(id)
	_, err = tx.changed(ctx, "UPDATE task SET worker = '' WHERE state = 'preparing' AND worker = $1", id)

	return err
}

// Replicas lists those that live at now, by id.
func (r Reader) Replicas(ctx context.Context, now int64) ([]Replica, error) {
	now, err := r.clock(ctx, now)
	if err != nil {
		return nil, err
	}

	return collect(ctx, r.q, func(s scanner) (p Replica, err error) {
		var serves string
		if err := s.Scan(&p.ID, &p.Name, &serves); err != nil {
			return p, err
		}

		p.Serves = strings.Split(serves, "|")

		return p, nil
	}, "SELECT id, name, serves FROM replica WHERE expires > $1 ORDER BY id", now)
}

// marksKept is far longer than any write takes, in milliseconds.
const marksKept = 24 * 60 * 60 * 1000

// DeleteReplicas forgets those that at now were dead for so many milliseconds.
func (tx *Tx) DeleteReplicas(ctx context.Context, now, dead int64) error {
	now, err := tx.clock(ctx, now)
	if err == nil {
		_, err = tx.changed(ctx, "DELETE FROM replica WHERE expires < $1", now-dead)
	}

	if err == nil {
		_, err = tx.changed(ctx, "DELETE FROM mark WHERE at < $1", now-max(dead, marksKept))
	}

	return err
}

// Leases lists every row that can be held, and how long each still is at now.
func (r Reader) Leases(ctx context.Context, now int64) ([]Lease, error) {
	now, err := r.clock(ctx, now)
	if err != nil {
		return nil, err
	}

	return collect(ctx, r.q, func(s scanner) (l Lease, err error) {
		return l, s.Scan(append(l.fields(), &l.Left)...)
	}, "SELECT "+upstreamColumns+", CASE WHEN owner <> '' AND expires > $1 THEN expires - $1 ELSE 0 END FROM upstream ORDER BY id", now)
}

// RenewLease lets owner go on until expires, if at now it holds the row with this
// fence; else ErrNotOwner.
func (tx *Tx) RenewLease(ctx context.Context, l Lease, now, expires int64) error {
	at, err := tx.clock(ctx, now)
	if err != nil {
		return err
	}

	now, expires = at, at+expires-now

	n, err := tx.changed(ctx, "UPDATE upstream SET expires = $5 WHERE id = $1 AND owner = $2 AND fence = $3 AND expires > $4", l.ID, l.Owner, l.Fence, now, expires)
	if err == nil && n == 0 {
		return fmt.Errorf("lease of %s: %w", l.ID, ErrNotOwner)
	}

	return err
}

// DropLease gives a row up at once, if it is still held so, and tells everybody.
// Its fence stays: whoever comes next has a higher one.
func (tx *Tx) DropLease(ctx context.Context, id, owner string, fence int64) error {
	n, err := tx.changed(ctx, "UPDATE upstream SET owner = '', expires = 0 WHERE id = $1 AND owner = $2 AND fence = $3", id, owner, fence)
	if err == nil && n > 0 {
		tx.announce(id)
	}

	return err
}

// DeleteLease forgets a row that nobody will want again: a renderer's whose
// process is gone.
func (tx *Tx) DeleteLease(ctx context.Context, id, owner string, fence int64) error {
	_, err := tx.changed(ctx, "DELETE FROM upstream WHERE id = $1 AND owner = $2 AND fence = $3", id, owner, fence)
	return err
}

// announce tells every replica that something was let go and waits for a new
// owner.
func (tx *Tx) announce(what string) { tx.events = append(tx.events, Change{Freed: what}) }

// TakePreparing makes a replica the one that prepares a task, if nobody does who
// lives at now. false says that somebody does, or that it is not preparing.
func (tx *Tx) TakePreparing(ctx context.Context, id, replica string, now int64) (bool, error) {
	now, err := tx.clock(ctx, now)
	if err != nil {
		return false, err
	}

	n, err := tx.changed(ctx, `UPDATE task SET worker = $2 WHERE id = $1 AND state = 'preparing'
		AND (worker = '' OR worker = $2 OR worker NOT IN (SELECT id FROM replica WHERE expires > $3))`, id, replica, now)

	return n == 1, err
}

// Unprepared lists preparing tasks that nobody prepares who lives at now, and those
// of one replica ("": none), oldest first.
func (r Reader) Unprepared(ctx context.Context, replica string, now int64, limit int) ([]string, error) {
	now, err := r.clock(ctx, now)
	if err != nil {
		return nil, err
	}

	return collect(ctx, r.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM task WHERE state = 'preparing' AND (worker = $1 OR worker NOT IN (SELECT id FROM replica WHERE expires > $2)) ORDER BY id LIMIT $3", replica, now, limit)
}

// UnfinishedAt is Unfinished for the tasks of one upstream.
func (r Reader) UnfinishedAt(ctx context.Context, upstream string, state task.State, after string, limit int) ([]task.Task, error) {
	return collect(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE state = CAST($2 AS TEXT) AND state IN ('submitting', 'running', 'collecting') AND upstream = $1 AND id > $3 ORDER BY id LIMIT $4",
		upstream, string(state), after, limit)
}

// InProgress lists the tasks that a supplier renders or that are being collected,
// of all upstreams, with what an estimate of their progress needs and no more.
func (r Reader) InProgress(ctx context.Context) ([]task.Task, error) {
	return collect(ctx, r.q, func(s scanner) (t task.Task, err error) {
		return t, s.Scan(&t.ID, &t.State, &t.Lane, &t.Upstream, &t.Resolved, &t.Preview, &t.Progress, &t.StartedAt)
	}, "SELECT id, state, lane, upstream, resolved, preview, progress, started_at FROM task WHERE state IN ('running', 'collecting')")
}

// PreviewPaces is Paces for previews, of whatever model.
func (r Reader) PreviewPaces(ctx context.Context, limit int) ([]int64, error) {
	return collect(ctx, r.q, func(s scanner) (ms int64, err error) { return ms, s.Scan(&ms) },
		"SELECT rendered_at - started_at FROM task WHERE rendered_at > 0 AND preview = 1 ORDER BY rendered_at DESC LIMIT $1", limit)
}
