package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// statement is one of several of which none needs another's answer.
type statement struct {
	text string
	args []any
	rows int64 // that it must change, or anyRows
}

const anyRows = -1

// together runs statements in their order: on PostgreSQL in one exchange.
func (tx *Tx) together(ctx context.Context, all []statement) error {
	_, err := tx.exchange(ctx, all)
	return err
}

// exchange is together for who wants to know how many rows each statement changed.
func (tx *Tx) exchange(ctx context.Context, all []statement) ([]int64, error) {
	if q, ok := tx.q.(bound); ok {
		return q.exchange(all)
	}

	counts := make([]int64, len(all))
	for i, s := range all {
		n, err := tx.changed(ctx, s.text, s.args...)
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
	if s.rows != anyRows && n != s.rows {
		return fmt.Errorf("%d rows in place of %d: %.60s", n, s.rows, s.text)
	}

	return nil
}

func (b bound) exchange(all []statement) ([]int64, error) {
	conn, ok := b.on.(*sql.Conn)
	if !ok {
		return nil, errors.New("statements are sent together on a connection of their own only")
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

		results := c.SendBatch(b.ctx, &batch)
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
