package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/unireel/unireel/internal/task"
)

const taskColumns = "id, account, api_key, version, state, object, model, resolved, prompt, size, seconds, preview, metadata, warnings, " +
	"hold, unit_price, billing, billed, cost, lane, attempt, upstream, ticket, result, progress, retries, " +
	"created_at, queued_at, submitted_at, started_at, rendered_at, completed_at, expires_at, start_by, swept_at, cancel_requested_at, hidden_at, error"

const taskMarks = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, " +
	"$27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38"

func scanTask(s scanner) (task.Task, error) {
	var (
		t                           task.Task
		metadata, warnings, failure string
	)

	err := s.Scan(&t.ID, &t.Account, &t.Key, &t.Version, &t.State, &t.Object, &t.Model, &t.Resolved, &t.Prompt, &t.Size, &t.Seconds, &t.Preview, &metadata, &warnings,
		&t.Hold, &t.UnitPrice, &t.Billing, &t.Billed, &t.Cost, &t.Lane, &t.Attempt, &t.Upstream, &t.Ticket, &t.Result, &t.Progress, &t.Retries,
		&t.CreatedAt, &t.QueuedAt, &t.SubmittedAt, &t.StartedAt, &t.RenderedAt, &t.CompletedAt, &t.ExpiresAt, &t.StartBy, &t.SweptAt, &t.CancelRequestedAt, &t.HiddenAt, &failure)
	if err != nil {
		return t, err
	}

	return t, errors.Join(parse(metadata, &t.Metadata), parse(warnings, &t.Warnings), parse(failure, &t.Error))
}

func parse(text string, into any) error {
	if text == "" {
		return nil
	}

	return json.Unmarshal([]byte(text), into)
}

func compose(empty bool, v any) (string, error) {
	if empty {
		return "", nil
	}

	text, err := json.Marshal(v)

	return string(text), err
}

func taskValues(t task.Task) ([]any, error) {
	metadata, err1 := compose(len(t.Metadata) == 0, t.Metadata)
	warnings, err2 := compose(len(t.Warnings) == 0, t.Warnings)
	failure, err3 := compose(t.Error == nil, t.Error)

	preview := 0
	if t.Preview {
		preview = 1
	}

	return []any{
		t.ID, t.Account, t.Key, t.Version, string(t.State), t.Object, t.Model, t.Resolved, t.Prompt, t.Size, t.Seconds, preview, metadata, warnings,
		int64(t.Hold), int64(t.UnitPrice), t.Billing, t.Billed, int64(t.Cost), t.Lane, t.Attempt, t.Upstream, t.Ticket, t.Result, t.Progress, t.Retries,
		t.CreatedAt, t.QueuedAt, t.SubmittedAt, t.StartedAt, t.RenderedAt, t.CompletedAt, t.ExpiresAt, t.StartBy, t.SweptAt, t.CancelRequestedAt, t.HiddenAt, failure,
	}, errors.Join(err1, err2, err3)
}

// InsertTask adds a task in its first state (preparing, or queued: then it joins
// its lane) with its request as JSON and its first event.
func (tx *Tx) InsertTask(ctx context.Context, t task.Task, request []byte) error {
	values, err := taskValues(t)
	if err != nil {
		return err
	}

	var all []statement
	if t.State == task.Queued {
		all = tx.joinBy(t)
	}

	event, change := tx.eventBy(task.Event{Task: t.ID, Account: t.Account, Seq: t.Version, State: t.State, At: t.CreatedAt})
	tx.events = append(tx.events, change)

	return tx.together(ctx, append(all,
		statement{"INSERT INTO task (" + taskColumns + ") VALUES (" + taskMarks + ")", values, 1},
		statement{"INSERT INTO request (task, body, prepared) VALUES ($1, $2, '')", []any{t.ID, string(request)}, 1},
		event))
}

// SaveTask locks the turn that the step moves and writes what may change of a task
// if its version still is was's.
func (tx *Tx) SaveTask(ctx context.Context, was, t task.Task) (bool, error) {
	warnings, err1 := compose(len(t.Warnings) == 0, t.Warnings)

	failure, err2 := compose(t.Error == nil, t.Error)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}

	counts, err := tx.exchange(ctx, append(tx.lockTurn(was, t), statement{`UPDATE task SET version = $3, state = $4, warnings = $5, billed = $6, cost = $7, lane = $8, attempt = $9, upstream = $10,
		ticket = $11, result = $12, progress = $13, retries = $14, queued_at = $15, submitted_at = $16, started_at = $17, rendered_at = $18,
		completed_at = $19, expires_at = $20, swept_at = $21, cancel_requested_at = $22, hidden_at = $23, error = $24
		WHERE id = $1 AND version = $2`, []any{
		t.ID, was.Version, t.Version, string(t.State), warnings, t.Billed, int64(t.Cost), t.Lane, t.Attempt, t.Upstream,
		t.Ticket, t.Result, t.Progress, t.Retries, t.QueuedAt, t.SubmittedAt, t.StartedAt, t.RenderedAt,
		t.CompletedAt, t.ExpiresAt, t.SweptAt, t.CancelRequestedAt, t.HiddenAt, failure,
	}, anyRows}))

	return err == nil && counts[len(counts)-1] == 1, err
}

// Record writes what follows from a step that is saved: on PostgreSQL in one
// exchange.
func (tx *Tx) Record(ctx context.Context, c task.Consequence) error {
	all, err := tx.moveTurn(c.Was, c.Task)
	if err != nil {
		return err
	}

	if c.Balance != nil {
		all = slices.Concat(all, saveBalance(c.Task.Account, *c.Balance, c.Entries), tx.settleBudgets(c.Task))
	}

	event, change := tx.eventBy(c.Event)
	tx.events = append(tx.events, change)

	return tx.together(ctx, slices.Concat(append(all, event), tx.told(c.Was, c.Task, c.Event.At)))
}

// Task reads a task, whoever's it is, or ErrNotFound.
func (r Reader) Task(ctx context.Context, id string) (task.Task, error) {
	return one(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE id = $1", id)
}

// TaskOf reads an account's task that it did not delete, or ErrNotFound.
func (r Reader) TaskOf(ctx context.Context, account, id string) (task.Task, error) {
	return one(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE id = $1 AND account = $2 AND hidden_at = 0", id, account)
}

// Filter says which of an account's tasks to list.
type Filter struct {
	Account     string
	ID          string       // "": any
	States      []task.State // none: any
	Besides     ObjectIn     // listed too, whatever States says
	Without     ObjectIn     // never listed
	Model       string       // as asked or resolved; "": any
	Key         string       // "": any
	From, Until int64        // when they were made, in milliseconds, Until excluded; 0: any time
	After       string       // the id after which the page starts, "": from the start
	Skip        int          // tasks before the page
	Ascending   bool         // oldest first; else newest first
	Limit       int
}

// ObjectIn is the tasks of one object ("video") in one state; the zero one is none.
type ObjectIn struct {
	Object string
	State  task.State
}

// where is the filter as a condition, but for where its page starts.
func (f Filter) where() (where []string, args []any) {
	where = []string{"account = $1", "hidden_at = 0"}
	args = []any{f.Account}
	mark := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	are := func(o ObjectIn) string {
		return "(object = " + mark(o.Object) + " AND state = " + mark(string(o.State)) + ")"
	}

	if f.ID != "" {
		where = append(where, "id = "+mark(f.ID))
	}

	if len(f.States) > 0 {
		marks := make([]string, len(f.States))
		for i, s := range f.States {
			marks[i] = mark(string(s))
		}

		in := "state IN (" + strings.Join(marks, ", ") + ")"
		if f.Besides != (ObjectIn{}) {
			in = "(" + in + " OR " + are(f.Besides) + ")"
		}

		where = append(where, in)
	}

	if f.Without != (ObjectIn{}) {
		where = append(where, "NOT "+are(f.Without))
	}

	if f.Model != "" {
		m := mark(f.Model)
		where = append(where, "(model = "+m+" OR resolved = "+m+")")
	}

	if f.Key != "" {
		where = append(where, "api_key = "+mark(f.Key))
	}

	if f.From > 0 {
		where = append(where, "id >= "+mark(madeAt(f.From)))
	}

	if f.Until > 0 {
		where = append(where, "id < "+mark(madeAt(f.Until)))
	}

	return where, args
}

// madeAt sorts before the ids of all tasks made at that time, in milliseconds, or
// later: an id begins with the time of its making.
func madeAt(millis int64) string {
	var id ulid.ULID

	_ = id.SetTime(uint64(millis)) // fails in the year 10889

	return "task_" + id.String()
}

// Tasks lists an account's tasks that it did not delete; more says whether there
// are others behind the page.
func (r Reader) Tasks(ctx context.Context, f Filter) (list []task.Task, more bool, err error) {
	where, args := f.where()
	order := "DESC"
	beyond := "<"

	if f.Ascending {
		order = "ASC"
		beyond = ">"
	}

	mark := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	if f.After != "" {
		where = append(where, "id "+beyond+" "+mark(f.After))
	}

	text := "SELECT " + taskColumns + " FROM task WHERE " + strings.Join(where, " AND ") + " ORDER BY id " + order + " LIMIT " + mark(f.Limit+1)
	if f.Skip > 0 {
		text += " OFFSET " + mark(f.Skip)
	}

	if list, err = collect(ctx, r.q, scanTask, text, args...); err != nil {
		return nil, false, err
	}

	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, nil
}

// CountTasks is how many tasks a list would have in all, whatever its page.
func (r Reader) CountTasks(ctx context.Context, f Filter) (int64, error) {
	where, args := f.where()

	return one(ctx, r.q, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
		"SELECT COUNT(*) FROM task WHERE "+strings.Join(where, " AND "), args...)
}

// Unfinished lists tasks in one of the states between preparing and collecting
// (not queued), of all accounts, oldest first, with ids beyond after. The cast keeps
// SQLite from planning by what is bound, as in dialect.limit.
func (r Reader) Unfinished(ctx context.Context, state task.State, after string, limit int) ([]task.Task, error) {
	return collect(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE state = CAST($1 AS TEXT) AND state IN ('preparing', 'submitting', 'running', 'collecting') AND id > $2 ORDER BY id LIMIT $3",
		string(state), after, limit)
}

// TooLate lists tasks that were not submitted by their start_by (unix
// milliseconds).
func (r Reader) TooLate(ctx context.Context, now int64, limit int) ([]task.Task, error) {
	return collect(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE start_by > 0 AND start_by <= $1 AND state IN ('preparing', 'queued') ORDER BY start_by LIMIT $2", now, limit)
}

// Sweepable lists final tasks whose artifacts are past their time or were
// deleted by the customer, and are not swept yet.
func (r Reader) Sweepable(ctx context.Context, now int64, limit int) ([]task.Task, error) {
	return collect(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE expires_at > 0 AND swept_at = 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2", now, limit)
}

// Paces lists how long the latest tasks of a model took from ticket to rendered,
// in milliseconds, newest first, at most limit.
func (r Reader) Paces(ctx context.Context, resolved string, limit int) ([]int64, error) {
	return collect(ctx, r.q, func(s scanner) (ms int64, err error) { return ms, s.Scan(&ms) },
		"SELECT rendered_at - started_at FROM task WHERE resolved = $1 AND rendered_at > 0 AND preview = 0 ORDER BY rendered_at DESC LIMIT $2", resolved, limit)
}

// CountStates counts the unfinished tasks by state.
func (r Reader) CountStates(ctx context.Context) (map[task.State]int64, error) {
	type count struct {
		state task.State
		n     int64
	}

	list, err := collect(ctx, r.q, func(s scanner) (c count, err error) { return c, s.Scan(&c.state, &c.n) },
		`SELECT state, COUNT(*) FROM task WHERE state IN ('preparing', 'submitting', 'running', 'collecting') GROUP BY state
		UNION ALL SELECT 'queued', COALESCE(SUM(queued), 0) FROM turn`)

	counts := map[task.State]int64{}
	for _, c := range list {
		counts[c.state] = c.n
	}

	return counts, err
}

// Request reads a task's request as checkout wrote it, and what preparing made
// of its references ("" before that), both JSON.
func (r Reader) Request(ctx context.Context, task string) (body, prepared []byte, err error) {
	pair, err := one(ctx, r.q, func(s scanner) (p [2]string, err error) { return p, s.Scan(&p[0], &p[1]) },
		"SELECT body, prepared FROM request WHERE task = $1", task)

	return []byte(pair[0]), []byte(pair[1]), err
}

// SavePrepared writes what preparing made of a task's references.
func (tx *Tx) SavePrepared(ctx context.Context, task string, prepared []byte) error {
	_, err := tx.changed(ctx, "UPDATE request SET prepared = $2 WHERE task = $1", task, string(prepared))
	return err
}

// Events lists what happened to a task beyond a version, in order.
func (r Reader) Events(ctx context.Context, id string, after int64, limit int) ([]task.Event, error) {
	return collect(ctx, r.q, func(s scanner) (e task.Event, err error) {
		return e, s.Scan(&e.Task, &e.Seq, &e.Account, &e.State, &e.Note, &e.At)
	}, "SELECT task, seq, account, state, note, at FROM event WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3", id, after, limit)
}

const artifactColumns = "task, kind, blob, type, bytes, sha256, width, height, millis, sound"

func scanArtifact(s scanner) (a task.Artifact, err error) {
	return a, s.Scan(&a.Task, &a.Kind, &a.Blob, &a.Type, &a.Bytes, &a.SHA256, &a.Width, &a.Height, &a.Millis, &a.Sound)
}

// Artifact reads one of a task's files, or ErrNotFound.
func (r Reader) Artifact(ctx context.Context, id string, kind task.ArtifactKind) (task.Artifact, error) {
	return one(ctx, r.q, scanArtifact, "SELECT "+artifactColumns+" FROM artifact WHERE task = $1 AND kind = $2", id, string(kind))
}

// Artifacts lists a task's files.
func (r Reader) Artifacts(ctx context.Context, id string) ([]task.Artifact, error) {
	return collect(ctx, r.q, scanArtifact, "SELECT "+artifactColumns+" FROM artifact WHERE task = $1 ORDER BY kind", id)
}

// InsertArtifact adds a task's file, unless it has one of the kind: two replicas
// may draw the same thumbnail.
func (tx *Tx) InsertArtifact(ctx context.Context, a task.Artifact) error {
	sound := 0
	if a.Sound {
		sound = 1
	}

	_, err := tx.changed(ctx, "INSERT INTO artifact ("+artifactColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (task, kind) DO NOTHING",
		a.Task, string(a.Kind), a.Blob, a.Type, a.Bytes, a.SHA256, a.Width, a.Height, a.Millis, sound)

	return err
}

// DeleteArtifacts forgets a task's files.
func (tx *Tx) DeleteArtifacts(ctx context.Context, id string) error {
	_, err := tx.changed(ctx, "DELETE FROM artifact WHERE task = $1", id)
	return err
}
