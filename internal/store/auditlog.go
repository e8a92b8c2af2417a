package store

import (
	"context"
	"fmt"
	"strings"
)

// AuditLine is one change that an operator made. It is written in the transaction
// of the change, and kept for good, as the ledger's entries are.
type AuditLine struct {
	ID     string // "audit_" + ULID
	At     int64  // unix milliseconds
	Actor  string // an API key's id, or who else As named
	Action string // "credit.grant"
	Object string // the id, or an upstream's name, of what was changed
	Detail map[string]any
}

// Nobody is the actor where none was named: the program itself.
const Nobody = "unireel"

type actorKey struct{}

// As says who acts in all that is done with the context, for the audit log.
func As(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// NoteAudit writes a line into the audit log; its actor is the context's. Detail
// must have no secret.
func (tx *Tx) NoteAudit(ctx context.Context, l AuditLine) error {
	actor, named := ctx.Value(actorKey{}).(string)
	if !named {
		actor = Nobody
	}

	detail, err := compose(len(l.Detail) == 0, l.Detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", l.Action, err)
	}

	_, err = tx.changed(ctx, "INSERT INTO audit ("+auditColumns+") VALUES ($1, $2, $3, $4, $5, $6)", l.ID, l.At, actor, l.Action, l.Object, detail)

	return err
}

const auditColumns = "id, at, actor, action, object, detail"

// AuditFilter says which lines of the audit log to list; "" and 0 are any.
type AuditFilter struct {
	Actor, Action, Object string
	Since                 int64  // unix milliseconds
	After                 string // the id after which the page starts
	Limit                 int
}

// AuditLog lists what operators changed, newest first; more says whether there is
// more behind the page.
func (r Reader) AuditLog(ctx context.Context, f AuditFilter) (list []AuditLine, more bool, err error) {
	where := []string{"at >= $1"}
	args := []any{f.Since}
	mark := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }

	for _, is := range []struct{ column, value string }{{"actor", f.Actor}, {"action", f.Action}, {"object", f.Object}} {
		if is.value != "" {
			where = append(where, is.column+" = "+mark(is.value))
		}
	}

	if f.After != "" {
		where = append(where, "id < "+mark(f.After))
	}

	list, err = collect(ctx, r.q, scanAudit, "SELECT "+auditColumns+" FROM audit WHERE "+strings.Join(where, " AND ")+" ORDER BY id DESC LIMIT "+mark(f.Limit+1), args...)
	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, err
}

func scanAudit(s scanner) (l AuditLine, err error) {
	var detail string
	if err := s.Scan(&l.ID, &l.At, &l.Actor, &l.Action, &l.Object, &detail); err != nil {
		return l, err
	}

	return l, parse(detail, &l.Detail)
}
