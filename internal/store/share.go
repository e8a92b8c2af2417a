package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/task"
)

// The fair order (docs/architecture.md) is start-time fair queueing over one row,
// the share, for each queue and account. A share's virtual start is the virtual time
// at which its next task may start; the queue's virtual time is the highest virtual
// start that was claimed. Each claimed task advances the virtual start of its share
// by its seconds of video, divided by the account's weight.
//
// The claim takes the ready share with the smallest virtual start. So an account
// with many tasks falls behind with each one that is claimed, and an account with
// few tasks is served before it, however many tasks the other one has queued. A
// share that becomes ready starts at the queue's virtual time at the earliest:
// an account that was idle has no advantage over the accounts that were not.

// virtualTimeScale is how far one second of video advances the virtual start of
// a share of weight 1.
const virtualTimeScale = 1 << 20

// readyExpr is the rule for a share's ready column, as an expression over the
// other columns of the row.
const readyExpr = "(CASE WHEN queued > 0 AND (cap = 0 OR running < cap) THEN 1 ELSE 0 END)"

// enqueueStatements adds one queued task to the account's share of the queue. It
// creates the share if there is none, and then locks the account's row until the
// commit, so that the weight and cap that it copies stay current.
func (tx *Tx) enqueueStatements(t task.Task) []statement {
	return append([]statement{
		{"INSERT INTO queue (id, virtual_time) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING", []any{t.Queue}, anyRows},
		{`INSERT INTO share (queue, account, virtual_start, weight, cap, queued, running, ready)
			SELECT $1, id, 0, weight, cap, 0, 0, 0 FROM account WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM share WHERE queue = $1 AND account = $2)` + tx.d.forShare + `
			ON CONFLICT (queue, account) DO NOTHING`, []any{t.Queue, t.Account}, anyRows},
	}, shareStatements(t, 1, 0, 0)...)
}

// shareStatements adds to the counts and the virtual start of an account's
// share. If that makes the share ready, or returns virtual time, its virtual
// start is raised to the queue's virtual time where it is lower: otherwise the
// account could claim ahead of everybody with time that it did not use.
func shareStatements(t task.Task, queued, running, virtualTime int64) []statement {
	return []statement{
		{
			"UPDATE share SET queued = queued + $3, running = running + $4, virtual_start = virtual_start + $5 / weight WHERE queue = $1 AND account = $2",
			[]any{t.Queue, t.Account, queued, running, virtualTime},
			1,
		},
		{
			`UPDATE share SET ready = ` + readyExpr + `,
			virtual_start = CASE WHEN (ready = 0 OR CAST($3 AS BIGINT) < 0) AND ` + readyExpr + ` = 1 AND virtual_start < (SELECT virtual_time FROM queue WHERE id = $1)
				THEN (SELECT virtual_time FROM queue WHERE id = $1) ELSE virtual_start END
			WHERE queue = $1 AND account = $2`, []any{t.Queue, t.Account, virtualTime}, 1,
		},
	}
}

// shareChanges returns the statements that update the account's shares for a
// step of one of its tasks.
func (tx *Tx) shareChanges(before, t task.Task) ([]statement, error) {
	// A share counts what is queued and what is submitted. So only steps over one of these
	// two borders change it; a step from submitting to running, for example, does not.
	from := before.State
	to := t.State

	switch {
	case from == task.Queued && to == task.Queued && before.Queue != t.Queue:
		return append(shareStatements(before, -1, 0, 0), tx.enqueueStatements(t)...), nil
	case from == to:
		return nil, nil
	case from == task.Preparing && to == task.Queued:
		return tx.enqueueStatements(t), nil
	case from == task.Queued && to.Final():
		return shareStatements(t, -1, 0, 0), nil
	case from.Submitted() && to == task.Queued:
		// The task was not rendered: its account gets the virtual time back that the claim took.
		return shareStatements(t, 1, -1, -t.Seconds*virtualTimeScale), nil
	case from.Submitted() && to.Final():
		return shareStatements(t, 0, -1, 0), nil
	case from == task.Queued:
		return nil, fmt.Errorf("task %s: only a claim makes a queued task %s", t.ID, to)
	}

	return nil, nil
}

// UpdateAccount lets edit change an account's weight and cap, updates the
// account's shares, and returns the changed account, or ErrNotFound. The account
// is locked before its shares: a transaction that creates a new share holds a
// shared lock on the account, so no share is missed.
func (tx *Tx) UpdateAccount(ctx context.Context, id string, edit func(*account.Account)) (account.Account, error) {
	a, err := queryOne(ctx, tx.q, scanAccount, "SELECT "+accountColumns+" FROM account WHERE id = $1"+tx.d.forUpdate, id)
	if err != nil {
		return a, err
	}

	edit(&a)

	if err := tx.pipeline(ctx, []statement{
		{"UPDATE account SET weight = $2, cap = $3 WHERE id = $1", []any{id, a.Weight, a.Cap}, 1},
		{"SELECT 1 FROM share WHERE account = $1 ORDER BY queue" + tx.d.forUpdate, []any{id}, anyRows},
		{"UPDATE share SET weight = $2, cap = $3 WHERE account = $1", []any{id, a.Weight, a.Cap}, anyRows},
		{`UPDATE share SET ready = ` + readyExpr + `, virtual_start = CASE WHEN ready = 0 AND ` + readyExpr + ` = 1 AND virtual_start < (SELECT virtual_time FROM queue WHERE id = share.queue)
			THEN (SELECT virtual_time FROM queue WHERE id = share.queue) ELSE virtual_start END WHERE account = $1`, []any{id}, anyRows},
	}); err != nil {
		return a, fmt.Errorf("change account %s: %w", id, err)
	}

	tx.changes = append(tx.changes, Change{}) // a share may have become ready: let every watcher look

	return a, nil
}

// lockShares locks the shares that shareChanges will change, before the row of
// the task, as the order of locks requires. SQLite has one writer and needs no
// locks.
func (tx *Tx) lockShares(before, t task.Task) []statement {
	same := before.State == t.State && (before.Queue == t.Queue || t.State != task.Queued)
	if tx.d.forUpdate == "" || same || before.State == task.Preparing && t.State != task.Queued {
		return nil
	}

	return []statement{{"SELECT 1 FROM share WHERE queue IN ($1, $2) AND account = $3 ORDER BY queue" + tx.d.forUpdate, []any{before.Queue, t.Queue, t.Account}, anyRows}}
}

// Claim describes who claims the next task of a queue, and for which upstream.
type Claim struct {
	Queue           string
	Upstream        string
	SupplierAccount string
	Model           string // the supplier's name of the model, for the attempt
	Owner           string // the owner that must hold the upstream's lease
	Fence           int64
	At              int64 // unix milliseconds
}

// ErrNotOwner means that the caller does not hold the upstream's lease (any
// more).
var ErrNotOwner = errors.New("the upstream is served by another instance")

// Claim takes the next task of the queue in fair order and changes it from
// queued to submitting. ErrNotFound means that no share is ready, ErrBusy that
// other transactions hold all ready shares.
//
// The lease is checked in the same transaction, so an instance that lost it
// cannot claim. The attempt is written before anything is sent: if the process
// dies after this commit, recovery knows that a submission may exist. Two claims
// cannot take the same task, since the share's row is locked until the commit
// and SKIP LOCKED lets the other claim pass to the next share.
func (tx *Tx) Claim(ctx context.Context, c Claim) (task.Task, error) {
	if err := tx.CheckLease(ctx, c.Upstream, c.Owner, c.Fence, c.At); err != nil {
		return task.Task{}, err
	}

	for {
		var (
			account      string
			virtualStart int64
		)

		// The ready share with the smallest virtual start that no other claim holds.
		err := tx.q.row(ctx, "SELECT account, virtual_start FROM share WHERE queue = $1 AND ready = 1 ORDER BY virtual_start, account LIMIT 1"+tx.d.skipLocked, c.Queue).Scan(&account, &virtualStart)
		if errors.Is(err, sql.ErrNoRows) {
			return task.Task{}, tx.emptyOrBusy(ctx, c.Queue)
		}

		if err != nil {
			return task.Task{}, fmt.Errorf("next share: %w", err)
		}

		// The oldest queued task of that account.
		t, err := queryOne(ctx, tx.q, scanTask, `UPDATE task SET state = 'submitting', attempt = attempt + 1, version = version + 1, upstream = $3, submitted_at = $4, remote_id = '', result = ''
			WHERE id = (SELECT id FROM task WHERE queue = $1 AND account = $2 AND state = 'queued' ORDER BY id LIMIT 1) AND state = 'queued'
			RETURNING `+taskColumns, c.Queue, account, c.Upstream, c.At)
		if errors.Is(err, ErrNotFound) {
			// A share that counts tasks that do not exist would block its queue:
			// correct it here. unireel doctor reports shares that do not match their tasks.
			if _, err := tx.exec(ctx, "UPDATE share SET queued = 0, ready = 0 WHERE queue = $1 AND account = $2", c.Queue, account); err != nil {
				return task.Task{}, err
			}

			continue
		}

		if err != nil {
			return task.Task{}, fmt.Errorf("claim: %w", err)
		}

		return t, tx.recordClaim(ctx, t, c, virtualStart)
	}
}

// ErrBusy means that other transactions hold every ready share of a queue: the
// queue is not empty, and the caller should look again soon.
var ErrBusy = errors.New("every ready share of the queue is locked by another claim")

// emptyOrBusy returns ErrNotFound if the queue has no ready share, and ErrBusy
// if other transactions hold its ready shares.
func (tx *Tx) emptyOrBusy(ctx context.Context, queue string) error {
	if tx.d.skipLocked == "" {
		return ErrNotFound
	}

	n, err := queryOne(ctx, tx.q, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
		"SELECT COUNT(*) FROM (SELECT 1 FROM share WHERE queue = $1 AND ready = 1 LIMIT 1) AS taken", queue)
	switch {
	case err != nil:
		return err
	case n > 0:
		return ErrBusy
	}

	return ErrNotFound
}

// recordClaim updates the share and the queue's virtual time, and writes the
// attempt and the event of a claim.
func (tx *Tx) recordClaim(ctx context.Context, t task.Task, c Claim, virtualStart int64) error {
	event, change := tx.eventStatement(task.Event{Task: t.ID, Account: t.Account, Seq: t.Version, State: t.State, At: c.At, Note: "claimed for " + c.Upstream})
	tx.changes = append(tx.changes, change)
	attempt := attemptStatement(Attempt{Task: t.ID, N: t.Attempt, Upstream: c.Upstream, SupplierAccount: c.SupplierAccount, Model: c.Model, SentAt: c.At})

	return tx.pipeline(ctx, append(shareStatements(t, -1, 1, t.Seconds*virtualTimeScale),
		statement{"UPDATE queue SET virtual_time = $2 WHERE id = $1 AND virtual_time < $2", []any{c.Queue, virtualStart}, anyRows}, attempt, event))
}

// Share is an account's place in a queue.
type Share struct {
	Account      string
	VirtualStart int64
	Weight       int64
	Cap          int64
	Queued       int64
	Running      int64
}

// Shares lists the ready shares of a queue, in the order of claims, at most
// limit.
func (r Reader) Shares(ctx context.Context, queue string, limit int) ([]Share, error) {
	return queryAll(ctx, r.q, func(s scanner) (share Share, err error) {
		return share, s.Scan(&share.Account, &share.VirtualStart, &share.Weight, &share.Cap, &share.Queued, &share.Running)
	}, "SELECT account, virtual_start, weight, cap, queued, running FROM share WHERE queue = $1 AND ready = 1 ORDER BY virtual_start, account LIMIT $2", queue, limit)
}

// QueuedTask is a queued task with what computing positions needs.
type QueuedTask struct {
	Task    string
	Seconds int64
}

// QueuedByAccount lists an account's queued tasks in a queue, oldest first,
// after the given id.
func (r Reader) QueuedByAccount(ctx context.Context, queue, account, after string, limit int) ([]QueuedTask, error) {
	return queryAll(ctx, r.q, func(s scanner) (q QueuedTask, err error) { return q, s.Scan(&q.Task, &q.Seconds) },
		"SELECT id, seconds FROM task WHERE queue = $1 AND account = $2 AND state = 'queued' AND id > $3 ORDER BY id LIMIT $4", queue, account, after, limit)
}

// QueuedTasks lists the queued tasks of a queue by account and age, after the
// task last (the zero Task starts from the beginning).
func (r Reader) QueuedTasks(ctx context.Context, queue string, last task.Task, limit int) ([]task.Task, error) {
	return queryAll(ctx, r.q, scanTask, "SELECT "+taskColumns+` FROM task WHERE queue = $1 AND state = 'queued' AND (account > $2 OR account = $2 AND id > $3)
		ORDER BY account, id LIMIT $4`, queue, last.Account, last.ID, limit)
}

// QueueHead returns the task that the queue's next claim would take, or
// ErrNotFound.
func (r Reader) QueueHead(ctx context.Context, queue string) (id string, err error) {
	return queryOne(ctx, r.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		`SELECT id FROM task WHERE queue = $1 AND account = (SELECT account FROM share WHERE queue = $1 AND ready = 1 ORDER BY virtual_start, account LIMIT 1)
		AND state = 'queued' ORDER BY id LIMIT 1`, queue)
}

// QueueHeads lists the oldest queued tasks of the accounts whose shares come
// first in a queue: at most perShare tasks of each account, of about as many
// accounts as shares says. If an account is missing in the result, nothing is
// known about its tasks.
func (r Reader) QueueHeads(ctx context.Context, queue string, shares, perShare int) (map[string][]QueuedTask, error) {
	type row struct {
		account string
		QueuedTask
	}

	maxRows := shares*perShare + 1
	rows, err := queryAll(ctx, r.q, func(s scanner) (w row, err error) { return w, s.Scan(&w.account, &w.Task, &w.Seconds) },
		r.d.queueHeads, queue, perShare, maxRows)

	found := make(map[string][]QueuedTask, shares)
	for _, w := range rows {
		found[w.account] = append(found[w.account], w.QueuedTask)
	}

	for _, list := range found {
		slices.SortFunc(list, func(a, b QueuedTask) int { return strings.Compare(a.Task, b.Task) })
	}

	if n := len(rows); n == maxRows {
		delete(found, rows[n-1].account) // its list may be incomplete
	}

	return found, err
}

// Queue is a queue that has tasks.
type Queue struct {
	ID      string
	Queued  int64
	Running int64
}

// Queues lists the queues that have queued or running tasks.
func (r Reader) Queues(ctx context.Context) ([]Queue, error) {
	return queryAll(ctx, r.q, func(s scanner) (q Queue, err error) { return q, s.Scan(&q.ID, &q.Queued, &q.Running) },
		"SELECT queue, SUM(queued), SUM(running) FROM share GROUP BY queue HAVING SUM(queued) + SUM(running) > 0")
}
