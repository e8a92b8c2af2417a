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

// The fair order (rules.md): start-time fair queueing over one row per lane and
// account. A turn's rank is the virtual time at which its next task may start;
// the lane's v is the highest rank that was claimed. A task moves its account's
// rank by its seconds, divided by the account's weight.

// rankScale is how far one second of video moves a rank of weight 1.
const rankScale = 1 << 20

// isReady is the rule for a turn's ready column, over the row's own columns.
const isReady = "(CASE WHEN queued > 0 AND (cap = 0 OR running < cap) THEN 1 ELSE 0 END)"

// joinBy counts one more queued task in the account's turn of the lane, which is
// made if there is none: then its account stays as it is until the commit.
func (tx *Tx) joinBy(t task.Task) []statement {
	return append([]statement{
		{"INSERT INTO lane (id, v) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING", []any{t.Lane}, anyRows},
		{`INSERT INTO turn (lane, account, rank, weight, cap, queued, running, ready)
			SELECT $1, id, 0, weight, cap, 0, 0, 0 FROM account WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM turn WHERE lane = $1 AND account = $2)` + tx.d.forShare + `
			ON CONFLICT (lane, account) DO NOTHING`, []any{t.Lane, t.Account}, anyRows},
	}, turnBy(t, 1, 0, 0)...)
}

// turnBy adds to the counts and the rank of an account's turn. Whenever that makes
// it ready, or gives rank back, its rank is at least the lane's v.
func turnBy(t task.Task, queued, running, rank int64) []statement {
	return []statement{
		{
			"UPDATE turn SET queued = queued + $3, running = running + $4, rank = rank + $5 / weight WHERE lane = $1 AND account = $2",
			[]any{t.Lane, t.Account, queued, running, rank},
			1,
		},
		{
			`UPDATE turn SET ready = ` + isReady + `,
			rank = CASE WHEN (ready = 0 OR CAST($3 AS BIGINT) < 0) AND ` + isReady + ` = 1 AND rank < (SELECT v FROM lane WHERE id = $1)
				THEN (SELECT v FROM lane WHERE id = $1) ELSE rank END
			WHERE lane = $1 AND account = $2`, []any{t.Lane, t.Account, rank}, 1,
		},
	}
}

// moveTurn keeps the account's turns true for a step of one of its tasks.
func (tx *Tx) moveTurn(was, t task.Task) ([]statement, error) {
	from := was.State

	to := t.State
	switch {
	case from == task.Queued && to == task.Queued && was.Lane != t.Lane:
		return append(turnBy(was, -1, 0, 0), tx.joinBy(t)...), nil
	case from == to:
		return nil, nil
	case from == task.Preparing && to == task.Queued:
		return tx.joinBy(t), nil
	case from == task.Queued && to.Final():
		return turnBy(t, -1, 0, 0), nil
	case from.Submitted() && to == task.Queued:
		return turnBy(t, 1, -1, -t.Seconds*rankScale), nil
	case from.Submitted() && to.Final():
		return turnBy(t, 0, -1, 0), nil
	case from == task.Queued:
		return nil, fmt.Errorf("task %s: only a claim makes a queued task %s", t.ID, to)
	}

	return nil, nil
}

// ChangeAccount lets edit change an account's weight and cap, and with it its turns,
// and returns it as it is then, or ErrNotFound. The account is locked before the
// turns: whoever makes a new one shares that lock.
func (tx *Tx) ChangeAccount(ctx context.Context, id string, edit func(*account.Account)) (account.Account, error) {
	a, err := one(ctx, tx.q, scanAccount, "SELECT "+accountColumns+" FROM account WHERE id = $1"+tx.d.forUpdate, id)
	if err != nil {
		return a, err
	}

	edit(&a)

	if err := tx.together(ctx, []statement{
		{"UPDATE account SET weight = $2, cap = $3 WHERE id = $1", []any{id, a.Weight, a.Cap}, 1},
		{"SELECT 1 FROM turn WHERE account = $1 ORDER BY lane" + tx.d.forUpdate, []any{id}, anyRows},
		{"UPDATE turn SET weight = $2, cap = $3 WHERE account = $1", []any{id, a.Weight, a.Cap}, anyRows},
		{`UPDATE turn SET ready = ` + isReady + `, rank = CASE WHEN ready = 0 AND ` + isReady + ` = 1 AND rank < (SELECT v FROM lane WHERE id = turn.lane)
			THEN (SELECT v FROM lane WHERE id = turn.lane) ELSE rank END WHERE account = $1`, []any{id}, anyRows},
	}); err != nil {
		return a, fmt.Errorf("change account %s: %w", id, err)
	}

	tx.events = append(tx.events, Change{}) // a turn may be ready now: everybody looks

	return a, nil
}

// lockTurn locks what moveTurn will change, before the task's own row as the order
// of locks wants it. Where one writes at a time there is nothing to lock.
func (tx *Tx) lockTurn(was, t task.Task) []statement {
	same := was.State == t.State && (was.Lane == t.Lane || t.State != task.Queued)
	if tx.d.forUpdate == "" || same || was.State == task.Preparing && t.State != task.Queued {
		return nil
	}

	return []statement{{"SELECT 1 FROM turn WHERE lane IN ($1, $2) AND account = $3 ORDER BY lane" + tx.d.forUpdate, []any{was.Lane, t.Lane, t.Account}, anyRows}}
}

// Claim is what a free slot wants: the next task of a lane, in fair order.
type Claim struct {
	Lane            string
	Upstream        string
	SupplierAccount string
	Model           string // the supplier's name, for the attempt
	Owner           string // whose lease it must be
	Fence           int64
	At              int64 // unix milliseconds
}

// ErrNotOwner says that the upstream's lease is not the asker's any more.
var ErrNotOwner = errors.New("the upstream is served by somebody else")

// Claim takes the lane's next task: queued becomes submitting, its attempt is
// on disk before anything is sent. ErrNotFound says that nothing is ready,
// ErrBusy that others hold what is.
func (tx *Tx) Claim(ctx context.Context, c Claim) (task.Task, error) {
	if err := tx.Holds(ctx, c.Upstream, c.Owner, c.Fence, c.At); err != nil {
		return task.Task{}, err
	}

	for {
		var (
			account string
			rank    int64
		)

		err := tx.q.row(ctx, "SELECT account, rank FROM turn WHERE lane = $1 AND ready = 1 ORDER BY rank, account LIMIT 1"+tx.d.skipLocked, c.Lane).Scan(&account, &rank)
		if errors.Is(err, sql.ErrNoRows) {
			return task.Task{}, tx.nothingReady(ctx, c.Lane)
		}

		if err != nil {
			return task.Task{}, fmt.Errorf("next turn: %w", err)
		}

		t, err := one(ctx, tx.q, scanTask, `UPDATE task SET state = 'submitting', attempt = attempt + 1, version = version + 1, upstream = $3, submitted_at = $4, ticket = '', result = ''
			WHERE id = (SELECT id FROM task WHERE lane = $1 AND account = $2 AND state = 'queued' ORDER BY id LIMIT 1) AND state = 'queued'
			RETURNING `+taskColumns, c.Lane, account, c.Upstream, c.At)
		if errors.Is(err, ErrNotFound) {
			// A turn that counts what is not there would block its lane: it is set
			// right here, and doctor tells.
			if _, err := tx.changed(ctx, "UPDATE turn SET queued = 0, ready = 0 WHERE lane = $1 AND account = $2", c.Lane, account); err != nil {
				return task.Task{}, err
			}

			continue
		}

		if err != nil {
			return task.Task{}, fmt.Errorf("claim: %w", err)
		}

		return t, tx.claimed(ctx, t, c, rank)
	}
}

// ErrBusy says that a lane's ready turns are all being claimed from by others: it
// is not empty, and worth another look in a moment.
var ErrBusy = errors.New("every ready turn of the lane is taken by another claim")

// nothingReady is ErrNotFound for a lane that is empty, ErrBusy for one whose
// turns others hold.
func (tx *Tx) nothingReady(ctx context.Context, lane string) error {
	if tx.d.skipLocked == "" {
		return ErrNotFound
	}

	n, err := one(ctx, tx.q, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
		"SELECT COUNT(*) FROM (SELECT 1 FROM turn WHERE lane = $1 AND ready = 1 LIMIT 1) AS taken", lane)
	switch {
	case err != nil:
		return err
	case n > 0:
		return ErrBusy
	}

	return ErrNotFound
}

func (tx *Tx) claimed(ctx context.Context, t task.Task, c Claim, rank int64) error {
	event, change := tx.eventBy(task.Event{Task: t.ID, Account: t.Account, Seq: t.Version, State: t.State, At: c.At, Note: "claimed for " + c.Upstream})
	tx.events = append(tx.events, change)
	attempt := attemptBy(Attempt{Task: t.ID, N: t.Attempt, Upstream: c.Upstream, SupplierAccount: c.SupplierAccount, Model: c.Model, SentAt: c.At})

	return tx.together(ctx, append(turnBy(t, -1, 1, t.Seconds*rankScale),
		statement{"UPDATE lane SET v = $2 WHERE id = $1 AND v < $2", []any{c.Lane, rank}, anyRows}, attempt, event))
}

// Turn is an account's place in a lane.
type Turn struct {
	Account string
	Rank    int64
	Weight  int64
	Cap     int64
	Queued  int64
	Running int64
}

// Turns lists the turns of a lane that have queued tasks, in claim order, at
// most limit.
func (r Reader) Turns(ctx context.Context, lane string, limit int) ([]Turn, error) {
	return collect(ctx, r.q, func(s scanner) (t Turn, err error) {
		return t, s.Scan(&t.Account, &t.Rank, &t.Weight, &t.Cap, &t.Queued, &t.Running)
	}, "SELECT account, rank, weight, cap, queued, running FROM turn WHERE lane = $1 AND ready = 1 ORDER BY rank, account LIMIT $2", lane, limit)
}

// Waiting is a queued task, as positions are counted.
type Waiting struct {
	Task    string
	Seconds int64
}

// QueuedOf lists an account's queued tasks in a lane, oldest first, beyond an
// id.
func (r Reader) QueuedOf(ctx context.Context, lane, account, after string, limit int) ([]Waiting, error) {
	return collect(ctx, r.q, func(s scanner) (w Waiting, err error) { return w, s.Scan(&w.Task, &w.Seconds) },
		"SELECT id, seconds FROM task WHERE lane = $1 AND account = $2 AND state = 'queued' AND id > $3 ORDER BY id LIMIT $4", lane, account, after, limit)
}

// QueuedIn lists the queued tasks of a lane by account and age, beyond the one that
// was seen last (its zero value: from the start).
func (r Reader) QueuedIn(ctx context.Context, lane string, last task.Task, limit int) ([]task.Task, error) {
	return collect(ctx, r.q, scanTask, "SELECT "+taskColumns+` FROM task WHERE lane = $1 AND state = 'queued' AND (account > $2 OR account = $2 AND id > $3)
		ORDER BY account, id LIMIT $4`, lane, last.Account, last.ID, limit)
}

// Head is the task that the lane's next claim would take, as it stands now, or
// ErrNotFound.
func (r Reader) Head(ctx context.Context, lane string) (id string, err error) {
	return one(ctx, r.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		`SELECT id FROM task WHERE lane = $1 AND account = (SELECT account FROM turn WHERE lane = $1 AND ready = 1 ORDER BY rank, account LIMIT 1)
		AND state = 'queued' ORDER BY id LIMIT 1`, lane)
}

// QueuedFirst lists the oldest queued tasks of the accounts whose turns come first
// in a lane, by account: at most each of every account, of about so many turns. Of
// an account that is missing nothing is said.
func (r Reader) QueuedFirst(ctx context.Context, lane string, turns, each int) (map[string][]Waiting, error) {
	type row struct {
		account string
		Waiting
	}

	most := turns*each + 1
	rows, err := collect(ctx, r.q, func(s scanner) (w row, err error) { return w, s.Scan(&w.account, &w.Task, &w.Seconds) },
		r.d.queuedFirst, lane, each, most)

	found := make(map[string][]Waiting, turns)
	for _, w := range rows {
		found[w.account] = append(found[w.account], w.Waiting)
	}

	for _, list := range found {
		slices.SortFunc(list, func(a, b Waiting) int { return strings.Compare(a.Task, b.Task) })
	}

	if n := len(rows); n == most {
		delete(found, rows[n-1].account) // it may have been cut
	}

	return found, err
}

// Lane is a lane with work.
type Lane struct {
	ID      string
	Queued  int64
	Running int64
}

// Lanes lists the lanes that have queued or running tasks.
func (r Reader) Lanes(ctx context.Context) ([]Lane, error) {
	return collect(ctx, r.q, func(s scanner) (l Lane, err error) { return l, s.Scan(&l.ID, &l.Queued, &l.Running) },
		"SELECT lane, SUM(queued), SUM(running) FROM turn GROUP BY lane HAVING SUM(queued) + SUM(running) > 0")
}
