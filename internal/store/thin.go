package store

import (
	"context"
	"strings"
)

// Thin forgets what nobody asks for any more of tasks that ended before a time:
// their events but for the last one, their requests, their attempts. The tasks
// themselves and the ledger's entries stay. It says how many it thinned, at most
// limit.
func (tx *Tx) Thin(ctx context.Context, before int64, limit int) (int, error) {
	ids, err := collect(ctx, tx.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM task WHERE completed_at > 0 AND thinned = 0 AND completed_at <= $1 ORDER BY completed_at LIMIT $2", before, limit)
	if err != nil || len(ids) == 0 {
		return 0, err
	}

	marks, args := tx.list(ids)
	for _, text := range []string{
		"DELETE FROM event WHERE task IN (" + marks + ") AND seq < (SELECT MAX(last.seq) FROM event last WHERE last.task = event.task)",
		"DELETE FROM request WHERE task IN (" + marks + ")",
		"DELETE FROM task_hook WHERE task IN (" + marks + ")",
		"DELETE FROM attempt WHERE task IN (" + marks + ")",
		"UPDATE task SET thinned = 1 WHERE id IN (" + marks + ")",
	} {
		if _, err := tx.changed(ctx, text, args...); err != nil {
			return 0, err
		}
	}

	return len(ids), nil
}

// list gives the marks and the parameters for IN (...).
func (r Reader) list(ids []string) (marks string, args []any) {
	if r.d.arrays {
		return "SELECT unnest($1::text[])", []any{ids}
	}

	for _, id := range ids {
		args = append(args, id)
	}

	return strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", "), args
}
