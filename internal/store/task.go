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

const taskColumns = "id, account, api_key, version, state, object, model, resolved_model, prompt, size, seconds, preview, metadata, warnings, " +
	"hold, unit_price, billing, billed, cost, queue, attempt, upstream, remote_id, result, progress, retries, " +
	"created_at, queued_at, submitted_at, started_at, rendered_at, completed_at, expires_at, start_by, swept_at, cancel_requested_at, cancel_refused_at, hidden_at, error"

const taskPlaceholders = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, " +
	"$27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39"

func scanTask(s scanner) (task.Task, error) {
	var (
		t                           task.Task
		metadata, warnings, failure string
	)

	err := s.Scan(&t.ID, &t.Account, &t.Key, &t.Version, &t.State, &t.Object, &t.Model, &t.ResolvedModel, &t.Prompt, &t.Size, &t.Seconds, &t.Preview, &metadata, &warnings,
		&t.Hold, &t.UnitPrice, &t.Billing, &t.Billed, &t.Cost, &t.Queue, &t.Attempt, &t.Upstream, &t.RemoteID, &t.Result, &t.Progress, &t.Retries,
		&t.CreatedAt, &t.QueuedAt, &t.SubmittedAt, &t.StartedAt, &t.RenderedAt, &t.CompletedAt, &t.ExpiresAt, &t.StartBy, &t.SweptAt, &t.CancelRequestedAt, &t.CancelRefusedAt, &t.HiddenAt, &failure)
	if err != nil {
		return t, err
	}

	return t, errors.Join(decodeJSON(metadata, &t.Metadata), decodeJSON(warnings, &t.Warnings), decodeJSON(failure, &t.Error))
}

func decodeJSON(text string, into any) error {
	if text == "" {
		return nil
	}

	return json.Unmarshal([]byte(text), into)
}

func encodeJSON(empty bool, v any) (string, error) {
	if empty {
		return "", nil
	}

	text, err := json.Marshal(v)

	return string(text), err
}

func taskValues(t task.Task) ([]any, error) {
	metadata, err1 := encodeJSON(len(t.Metadata) == 0, t.Metadata)
	warnings, err2 := encodeJSON(len(t.Warnings) == 0, t.Warnings)
	failure, err3 := encodeJSON(t.Error == nil, t.Error)

	preview := 0
	if t.Preview {
		preview = 1
	}

	return []any{
		t.ID, t.Account, t.Key, t.Version, string(t.State), t.Object, t.Model, t.ResolvedModel, t.Prompt, t.Size, t.Seconds, preview, metadata, warnings,
		int64(t.Hold), int64(t.UnitPrice), t.Billing, t.Billed, int64(t.Cost), t.Queue, t.Attempt, t.Upstream, t.RemoteID, t.Result, t.Progress, t.Retries,
		t.CreatedAt, t.QueuedAt, t.SubmittedAt, t.StartedAt, t.RenderedAt, t.CompletedAt, t.ExpiresAt, t.StartBy, t.SweptAt, t.CancelRequestedAt, t.CancelRefusedAt, t.HiddenAt, failure,
	}, errors.Join(err1, err2, err3)
}

// InsertTask adds a task in its first state (preparing, or queued: then it joins
// its queue), with its request as JSON and its first event.
func (tx *Tx) InsertTask(ctx context.Context, t task.Task, request []byte) error {
	values, err := taskValues(t)
	if err != nil {
		return err
	}

	var all []statement
	if t.State == task.Queued {
		all = tx.enqueueStatements(t)
	}

	event, change := tx.eventStatement(task.Event{Task: t.ID, Account: t.Account, Seq: t.Version, State: t.State, At: t.CreatedAt})
	tx.changes = append(tx.changes, change)

	return tx.pipeline(ctx, append(all,
		statement{"INSERT INTO task (" + taskColumns + ") VALUES (" + taskPlaceholders + ")", values, 1},
		statement{"INSERT INTO request (task, body, prepared) VALUES ($1, $2, '')", []any{t.ID, string(request)}, 1},
		event))
}

// SaveTask locks the share that the step changes, and writes the fields of a
// task that may change if its version is still before's.
func (tx *Tx) SaveTask(ctx context.Context, before, t task.Task) (bool, error) {
	warnings, err1 := encodeJSON(len(t.Warnings) == 0, t.Warnings)

	failure, err2 := encodeJSON(t.Error == nil, t.Error)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}

	counts, err := tx.pipelineCounts(ctx, append(tx.lockShares(before, t), statement{`UPDATE task SET version = $3, state = $4, warnings = $5, billed = $6, cost = $7, queue = $8, attempt = $9, upstream = $10,
		remote_id = $11, result = $12, progress = $13, retries = $14, queued_at = $15, submitted_at = $16, started_at = $17, rendered_at = $18,
		completed_at = $19, expires_at = $20, swept_at = $21, cancel_requested_at = $22, cancel_refused_at = $23, hidden_at = $24, error = $25
		WHERE id = $1 AND version = $2`, []any{
		t.ID, before.Version, t.Version, string(t.State), warnings, t.Billed, int64(t.Cost), t.Queue, t.Attempt, t.Upstream,
		t.RemoteID, t.Result, t.Progress, t.Retries, t.QueuedAt, t.SubmittedAt, t.StartedAt, t.RenderedAt,
		t.CompletedAt, t.ExpiresAt, t.SweptAt, t.CancelRequestedAt, t.CancelRefusedAt, t.HiddenAt, failure,
	}, anyRows}))

	return err == nil && counts[len(counts)-1] == 1, err
}

// SaveEffects writes everything else that a saved step changes: on PostgreSQL in
// one round trip.
func (tx *Tx) SaveEffects(ctx context.Context, effects task.Effects) error {
	all, err := tx.shareChanges(effects.Before, effects.After)
	if err != nil {
		return err
	}

	if effects.Balance != nil {
		all = slices.Concat(all, balanceStatements(effects.After.Account, *effects.Balance, effects.Entries), tx.settleKeySpending(effects.After))
	}

	event, change := tx.eventStatement(effects.Event)
	tx.changes = append(tx.changes, change)

	return tx.pipeline(ctx, slices.Concat(append(all, event), tx.deliveriesOfStep(effects.Before, effects.After, effects.Event.At)))
}

// Task reads a task of any account, or ErrNotFound.
func (r Reader) Task(ctx context.Context, id string) (task.Task, error) {
	return queryOne(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE id = $1", id)
}

// TaskOf reads an account's task that the customer has not deleted, or
// ErrNotFound.
func (r Reader) TaskOf(ctx context.Context, account, id string) (task.Task, error) {
	return queryOne(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE id = $1 AND account = $2 AND hidden_at = 0", id, account)
}

// TaskFilter says which of an account's tasks to list.
type TaskFilter struct {
	Account     string
	ID          string       // "": any
	States      []task.State // none: any
	Including   ObjectState  // listed as well, whatever States says
	Excluding   ObjectState  // never listed
	Model       string       // as requested or as resolved; "": any
	Key         string       // "": any
	From, Until int64        // when they were created, in unix milliseconds, Until excluded; 0: any time
	After       string       // the id after which the page starts, "": from the start
	Offset      int          // number of tasks to skip before the page
	Ascending   bool         // oldest first instead of newest first
	Limit       int
}

// ObjectState matches the tasks of one kind of object ("video") in one state;
// the zero ObjectState matches none.
type ObjectState struct {
	Object string
	State  task.State
}

// conditions returns the filter as SQL conditions, without the start of its
// page.
func (f TaskFilter) conditions() (where []string, args []any) {
	where = []string{"account = $1", "hidden_at = 0"}
	args = []any{f.Account}
	param := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	inState := func(o ObjectState) string {
		return "(object = " + param(o.Object) + " AND state = " + param(string(o.State)) + ")"
	}

	if f.ID != "" {
		where = append(where, "id = "+param(f.ID))
	}

	if len(f.States) > 0 {
		marks := make([]string, len(f.States))
		for i, s := range f.States {
			marks[i] = param(string(s))
		}

		in := "state IN (" + strings.Join(marks, ", ") + ")"
		if f.Including != (ObjectState{}) {
			in = "(" + in + " OR " + inState(f.Including) + ")"
		}

		where = append(where, in)
	}

	if f.Excluding != (ObjectState{}) {
		where = append(where, "NOT "+inState(f.Excluding))
	}

	if f.Model != "" {
		m := param(f.Model)
		where = append(where, "(model = "+m+" OR resolved_model = "+m+")")
	}

	if f.Key != "" {
		where = append(where, "api_key = "+param(f.Key))
	}

	if f.From > 0 {
		where = append(where, "id >= "+param(firstIDAt(f.From)))
	}

	if f.Until > 0 {
		where = append(where, "id < "+param(firstIDAt(f.Until)))
	}

	return where, args
}

// firstIDAt returns an id that sorts before the ids of all tasks created at that
// time (unix milliseconds) or later: an id begins with the time of its creation.
func firstIDAt(millis int64) string {
	var id ulid.ULID

	_ = id.SetTime(uint64(millis)) // fails in the year 10889

	return "task_" + id.String()
}

// Tasks lists an account's tasks that the customer has not deleted. more reports
// whether others follow the page.
func (r Reader) Tasks(ctx context.Context, f TaskFilter) (list []task.Task, more bool, err error) {
	where, args := f.conditions()
	order := "DESC"
	comparison := "<"

	if f.Ascending {
		order = "ASC"
		comparison = ">"
	}

	param := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	if f.After != "" {
		where = append(where, "id "+comparison+" "+param(f.After))
	}

	text := "SELECT " + taskColumns + " FROM task WHERE " + strings.Join(where, " AND ") + " ORDER BY id " + order + " LIMIT " + param(f.Limit+1)
	if f.Offset > 0 {
		text += " OFFSET " + param(f.Offset)
	}

	if list, err = queryAll(ctx, r.q, scanTask, text, args...); err != nil {
		return nil, false, err
	}

	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, nil
}

// CountTasks returns how many tasks the filter matches, regardless of the page.
func (r Reader) CountTasks(ctx context.Context, f TaskFilter) (int64, error) {
	where, args := f.conditions()

	return queryOne(ctx, r.q, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
		"SELECT COUNT(*) FROM task WHERE "+strings.Join(where, " AND "), args...)
}

// Unfinished lists the tasks in one of the states preparing, submitting, running
// or collecting (not queued), of all accounts, oldest first, whose ids are after
// the given one. The cast keeps SQLite from planning by the bound value, as in
// dialect.limitTemplate.
func (r Reader) Unfinished(ctx context.Context, state task.State, after string, limit int) ([]task.Task, error) {
	return queryAll(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE state = CAST($1 AS TEXT) AND state IN ('preparing', 'submitting', 'running', 'collecting') AND id > $2 ORDER BY id LIMIT $3",
		string(state), after, limit)
}

// OverdueTasks lists tasks that were not submitted by their start_by (unix
// milliseconds).
func (r Reader) OverdueTasks(ctx context.Context, now int64, limit int) ([]task.Task, error) {
	return queryAll(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE start_by > 0 AND start_by <= $1 AND state IN ('preparing', 'queued') ORDER BY start_by LIMIT $2", now, limit)
}

// ExpiredTasks lists final tasks whose artifacts have expired or were deleted by
// the customer, and have not been swept yet.
func (r Reader) ExpiredTasks(ctx context.Context, now int64, limit int) ([]task.Task, error) {
	return queryAll(ctx, r.q, scanTask, "SELECT "+taskColumns+" FROM task WHERE expires_at > 0 AND swept_at = 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2", now, limit)
}

// RenderDurations lists how long the latest tasks of a model took from the
// remote ID to the end of rendering, in milliseconds, newest first, at most
// limit.
func (r Reader) RenderDurations(ctx context.Context, resolved string, limit int) ([]int64, error) {
	return queryAll(ctx, r.q, func(s scanner) (ms int64, err error) { return ms, s.Scan(&ms) },
		"SELECT rendered_at - started_at FROM task WHERE resolved_model = $1 AND rendered_at > 0 AND preview = 0 ORDER BY rendered_at DESC LIMIT $2", resolved, limit)
}

// CountStates counts the unfinished tasks by state.
func (r Reader) CountStates(ctx context.Context) (map[task.State]int64, error) {
	type count struct {
		state task.State
		n     int64
	}

	list, err := queryAll(ctx, r.q, func(s scanner) (c count, err error) { return c, s.Scan(&c.state, &c.n) },
		`SELECT state, COUNT(*) FROM task WHERE state IN ('preparing', 'submitting', 'running', 'collecting') GROUP BY state
		UNION ALL SELECT 'queued', COALESCE(SUM(queued), 0) FROM share`)

	counts := map[task.State]int64{}
	for _, c := range list {
		counts[c.state] = c.n
	}

	return counts, err
}

// Request reads a task's request as checkout wrote it, and the result of
// preparing its references ("" before that), both as JSON.
func (r Reader) Request(ctx context.Context, task string) (body, prepared []byte, err error) {
	pair, err := queryOne(ctx, r.q, func(s scanner) (p [2]string, err error) { return p, s.Scan(&p[0], &p[1]) },
		"SELECT body, prepared FROM request WHERE task = $1", task)

	return []byte(pair[0]), []byte(pair[1]), err
}

// SavePrepared writes the result of preparing a task's references.
func (tx *Tx) SavePrepared(ctx context.Context, task string, prepared []byte) error {
	_, err := tx.exec(ctx, "UPDATE request SET prepared = $2 WHERE task = $1", task, string(prepared))
	return err
}

// Events lists a task's events after a version, in order, at most limit.
func (r Reader) Events(ctx context.Context, id string, after int64, limit int) ([]task.Event, error) {
	return queryAll(ctx, r.q, func(s scanner) (e task.Event, err error) {
		return e, s.Scan(&e.Task, &e.Seq, &e.Account, &e.State, &e.Note, &e.At)
	}, "SELECT task, seq, account, state, note, at FROM event WHERE task = $1 AND seq > $2 ORDER BY seq LIMIT $3", id, after, limit)
}

const artifactColumns = "task, kind, blob, type, bytes, sha256, width, height, millis, sound"

func scanArtifact(s scanner) (a task.Artifact, err error) {
	return a, s.Scan(&a.Task, &a.Kind, &a.Blob, &a.Type, &a.Bytes, &a.SHA256, &a.Width, &a.Height, &a.Millis, &a.Sound)
}

// Artifact reads one of a task's artifacts, or ErrNotFound.
func (r Reader) Artifact(ctx context.Context, id string, kind task.ArtifactKind) (task.Artifact, error) {
	return queryOne(ctx, r.q, scanArtifact, "SELECT "+artifactColumns+" FROM artifact WHERE task = $1 AND kind = $2", id, string(kind))
}

// Artifacts lists a task's artifacts.
func (r Reader) Artifacts(ctx context.Context, id string) ([]task.Artifact, error) {
	return queryAll(ctx, r.q, scanArtifact, "SELECT "+artifactColumns+" FROM artifact WHERE task = $1 ORDER BY kind", id)
}

// InsertArtifact adds a task's artifact, unless it has one of the kind: two
// replicas may draw the same thumbnail.
func (tx *Tx) InsertArtifact(ctx context.Context, a task.Artifact) error {
	sound := 0
	if a.Sound {
		sound = 1
	}

	_, err := tx.exec(ctx, "INSERT INTO artifact ("+artifactColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (task, kind) DO NOTHING",
		a.Task, string(a.Kind), a.Blob, a.Type, a.Bytes, a.SHA256, a.Width, a.Height, a.Millis, sound)

	return err
}

// DeleteArtifacts deletes the rows of a task's artifacts.
func (tx *Tx) DeleteArtifacts(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, "DELETE FROM artifact WHERE task = $1", id)
	return err
}
