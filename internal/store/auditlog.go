package store

import (
	"context"
	"fmt"
	"strings"
)

// AuditEntry is one change that an operator made. It is written in the
// transaction of the change and is never deleted, like the entries of the
// ledger.
type AuditEntry struct {
	ID     string // "audit_" + ULID
	At     int64  // unix milliseconds
	Actor  string // an API key's id, or another name given to WithActor
	Action string // "credit.grant"
	Object string // the id, or an upstream's name, of what was changed
	Detail map[string]any
}

// SystemActor is the actor if none was named: the program itself.
const SystemActor = "unireel"

type actorKey struct{}

// WithActor names the actor, for the audit log, of everything that is done with
// the context.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// InsertAuditEntry writes an entry to the audit log. Its actor is the context's.
// Detail must not contain a secret.
func (tx *Tx) InsertAuditEntry(ctx context.Context, e AuditEntry) error {
	actor, named := ctx.Value(actorKey{}).(string)
	if !named {
		actor = SystemActor
	}

	detail, err := encodeJSON(len(e.Detail) == 0, e.Detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}

	_, err = tx.exec(ctx, "INSERT INTO audit ("+auditColumns+") VALUES ($1, $2, $3, $4, $5, $6)", e.ID, e.At, actor, e.Action, e.Object, detail)

	return err
}

const auditColumns = "id, at, actor, action, object, detail"

// AuditFilter says which entries of the audit log to list; "" and 0 match any.
type AuditFilter struct {
	Actor, Action, Object string
	Since                 int64  // unix milliseconds
	After                 string // the id after which the page starts
	Limit                 int
}

// AuditLog lists what operators changed, newest first. more reports whether
// others follow the page.
func (r Reader) AuditLog(ctx context.Context, f AuditFilter) (list []AuditEntry, more bool, err error) {
	where := []string{"at >= $1"}
	args := []any{f.Since}
	param := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }

	for _, condition := range []struct{ column, value string }{{"actor", f.Actor}, {"action", f.Action}, {"object", f.Object}} {
		if condition.value != "" {
			where = append(where, condition.column+" = "+param(condition.value))
		}
	}

	if f.After != "" {
		where = append(where, "id < "+param(f.After))
	}

	list, err = queryAll(ctx, r.q, scanAudit, "SELECT "+auditColumns+" FROM audit WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC LIMIT "+param(f.Limit+1), args...)
	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, err
}

func scanAudit(s scanner) (e AuditEntry, err error) {
	var detail string
	if err := s.Scan(&e.ID, &e.At, &e.Actor, &e.Action, &e.Object, &detail); err != nil {
		return e, err
	}

	return e, decodeJSON(detail, &e.Detail)
}
