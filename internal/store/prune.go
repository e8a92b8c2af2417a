package store

import (
	"context"
	"strings"
)

// PruneTasks deletes details of tasks that ended before a time: their events
// except for the last one, their requests, webhooks and attempts. The tasks
// themselves and the entries of the ledger stay. It returns the number of tasks
// that it pruned, at most limit.
func (tx *Tx) PruneTasks(ctx context.Context, before int64, limit int) (int, error) {
	ids, err := queryAll(ctx, tx.q, func(s scanner) (id string, err error) { return id, s.Scan(&id) },
		"SELECT id FROM task WHERE completed_at > 0 AND pruned = 0 AND completed_at <= $1 ORDER BY completed_at LIMIT $2", before, limit)
	if err != nil || len(ids) == 0 {
		return 0, err
	}

	placeholders, args := tx.inList(ids)
	for _, text := range []string{
		"DELETE FROM event WHERE task IN (" + placeholders + ") AND seq < (SELECT MAX(last.seq) FROM event last WHERE last.task = event.task)",
		"DELETE FROM request WHERE task IN (" + placeholders + ")",
		"DELETE FROM task_hook WHERE task IN (" + placeholders + ")",
		"DELETE FROM attempt WHERE task IN (" + placeholders + ")",
		"UPDATE task SET pruned = 1 WHERE id IN (" + placeholders + ")",
	} {
		if _, err := tx.exec(ctx, text, args...); err != nil {
			return 0, err
		}
	}

	return len(ids), nil
}

// inList returns the placeholders and the parameters for IN (...).
func (r Reader) inList(ids []string) (placeholders string, args []any) {
	if r.d.arrays {
		return "SELECT unnest($1::text[])", []any{ids}
	}

	for _, id := range ids {
		args = append(args, id)
	}

	return strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", "), args
}
