package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// statement is one of several statements, none of which needs the result of
// another.
type statement struct {
	text     string
	args     []any
	wantRows int64 // number of rows that it must change, or anyRows
}

const anyRows = -1

// pipeline runs statements in their order: on PostgreSQL in one round trip.
func (tx *Tx) pipeline(ctx context.Context, all []statement) error {
	_, err := tx.pipelineCounts(ctx, all)
	return err
}

// pipelineCounts is pipeline for callers that need the number of rows that each
// statement changed.
func (tx *Tx) pipelineCounts(ctx context.Context, all []statement) ([]int64, error) {
	if q, ok := tx.q.(txQuerier); ok {
		return q.sendBatch(all)
	}

	counts := make([]int64, len(all))
	for i, s := range all {
		n, err := tx.exec(ctx, s.text, s.args...)
		if err == nil {
			err = s.check(n)
		}

		if err != nil {
			return nil, err
		}

		counts[i] = n
	}

	return counts, nil
}

func (s statement) check(n int64) error {
	if s.wantRows != anyRows && n != s.wantRows {
		return fmt.Errorf("%d rows instead of %d: %.60s", n, s.wantRows, s.text)
	}

	return nil
}

func (q txQuerier) sendBatch(all []statement) ([]int64, error) {
	conn, ok := q.conn.(*sql.Conn)
	if !ok {
		return nil, errors.New("a pipeline needs a connection of its own")
	}

	counts := make([]int64, len(all))
	if len(all) == 0 {
		return counts, nil
	}

	return counts, onConn(conn, func(c *pgx.Conn) (err error) {
		var batch pgx.Batch
		for _, s := range all {
			batch.Queue(s.text, s.args...)
		}

		results := c.SendBatch(q.ctx, &batch)
		defer func() { err = errors.Join(err, results.Close()) }()

		for i, s := range all {
			tag, err := results.Exec()
			if err == nil {
				err = s.check(tag.RowsAffected())
			}

			if err != nil {
				return err
			}

			counts[i] = tag.RowsAffected()
		}

		return nil
	})
}
