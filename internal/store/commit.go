package store

import (
	"context"
	crand "crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/unireel/unireel/internal/task"
)

const (
	writeTime    = 20 * time.Second // one Write with all its tries
	writeTries   = 12
	writeWaiting = 4096 // Writes that may wait for a connection
)

// commits is the committer for PostgreSQL: each Write in a transaction of its
// own, run again when the database says that it collided with another one, and
// known by the mark that it leaves when the answer to its COMMIT was lost.
type commits struct {
	db      *sql.DB
	dialect *dialect
	hub     *hub
	notices *notices
	creates *creates
	waiting chan struct{} // places for those who wait
	places  chan string   // connections to write by: the names of their marks
	spare   chan struct{} // of them for the background
	ctx     context.Context
	cancel  context.CancelFunc
	closing chan struct{}
	replica string // who we are among the replicas, made anew at each start
	log     *slog.Logger
	running sync.WaitGroup
}

func startCommits(ctx context.Context, db *sql.DB, d *dialect, h *hub, o Options) *commits {
	n := db.Stats().MaxOpenConnections

	c := &commits{
		db: db, dialect: d, hub: h, replica: crand.Text(), log: o.Log, closing: make(chan struct{}),
		waiting: make(chan struct{}, writeWaiting), places: make(chan string, max(1, n-createsAtOnce)), spare: make(chan struct{}, max(1, n/2)),
	}
	for i := range cap(c.places) {
		c.places <- fmt.Sprintf("%s/%d", c.replica, i)
	}

	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.notices = startNotices(c.ctx, db, c.replica, o.Log)
	c.creates = startCreates(c)

	if !o.Quiet {
		h.setDeaf(true) // until it listens
		c.running.Go(func() { listen(c.ctx, h, c.replica, o) })
	}

	return c
}

// stop lets what was begun end, then closes.
func (c *commits) stop() {
	close(c.closing)
	c.creates.stop()

	for range cap(c.places) { // whoever writes gives a place back
		<-c.places
	}

	c.notices.stop()
	c.cancel()
	c.running.Wait()
}

func (c *commits) write(ctx context.Context, f func(*Tx) error, background bool) error {
	select {
	case <-c.closing:
		return ErrClosed
	case c.waiting <- struct{}{}:
		defer func() { <-c.waiting }()
	default:
		return fmt.Errorf("%w: too many wait for it", ErrUnavailable)
	}

	if background {
		select {
		case c.spare <- struct{}{}:
			defer func() { <-c.spare }()
		case <-ctx.Done():
			return ctx.Err()
		case <-c.closing:
			return ErrClosed
		}
	}

	select {
	case place := <-c.places:
		defer func() { c.places <- place }()

		if err := c.enter(ctx); err != nil {
			return err
		}

		return c.run(place, f)
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing:
		return ErrClosed
	}
}

// enter is nil for who may still begin.
func (c *commits) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	select {
	case <-c.closing:
		return ErrClosed
	default:
		return nil
	}
}

func (c *commits) create(ctx context.Context, n *Creation) error { return c.creates.add(ctx, n) }

// run runs f in a transaction until it is committed or refused.
func (c *commits) run(place string, f func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(c.ctx, writeTime)
	defer cancel()

	for try := 1; ; try++ {
		tx, again, err := c.once(ctx, fmt.Sprintf("%s.%d", place, try), f) // the row of the try before may still be locked
		if err == nil {
			c.hub.publish(tx.events)
			c.notices.add(tx.events)

			for _, f := range tx.after {
				f()
			}

			return nil
		}

		if !again || try == writeTries || ctx.Err() != nil {
			return explain(err)
		}

		select { // the later the longer, and not all at the same time
		case <-ctx.Done():
			return explain(err)
		case <-time.After(time.Duration(try)*4*time.Millisecond + rand.N(time.Duration(try)*8*time.Millisecond)):
		}
	}
}

// errLost says that the connection broke before the database's answer.
var errLost = errors.New("the connection to the database broke")

// once runs f in one transaction. again says that it certainly had no effect and
// is worth another try.
func (c *commits) once(ctx context.Context, place string, f func(*Tx) error) (tx *Tx, again bool, err error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, true, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()

	m := mark{place: place, value: crand.Text()}

	err = begin(ctx, conn, &m)
	if err != nil {
		return nil, collided(err) || broken(conn), fmt.Errorf("begin: %w", err)
	}

	tx = &Tx{Reader: Reader{q: bound{plain{conn}, ctx}, d: c.dialect}}

	done := false
	defer func() {
		if !done { // f panicked
			rollback(ctx, conn)
		}
	}()

	err = f(tx)
	done = true

	if err != nil {
		again = collided(err) || broken(conn)
		rollback(ctx, conn)

		return nil, again, err
	}

	err = commit(ctx, conn)
	switch {
	case err == nil:
		return tx, false, nil
	case broken(conn):
		_ = conn.Close() // its place in the pool is needed for the question
		return c.askAgain(ctx, tx, m, err)
	}

	rollback(ctx, conn)

	return nil, collided(err), fmt.Errorf("commit: %w", err)
}

// mark is what a transaction leaves in the row of its connection: random, so that
// it is there exactly if this transaction was committed. The transaction's id alone
// would not do: a server that crashed gives ids away again that it had not written
// down, to transactions that then commit.
type mark struct {
	place, value string
	transaction  string
}

// askAgain finds out what became of a transaction whose COMMIT was not answered.
func (c *commits) askAgain(ctx context.Context, tx *Tx, m mark, lost error) (*Tx, bool, error) {
	c.log.Warn("the answer to a commit was lost; asking what became of it", "transaction", m.transaction, "error", lost)

	for {
		var status, value sql.NullString

		err := c.db.QueryRowContext(ctx, "SELECT pg_xact_status(CAST($1 AS xid8))", m.transaction).Scan(&status)
		if err == nil && status.String != "in progress" || ofTheFuture(err) {
			// Only now: whatever it did is done.
			err = c.db.QueryRowContext(ctx, "SELECT (SELECT value FROM mark WHERE id = $1)", m.place).Scan(&value)
			switch {
			case err == nil && value.String == m.value:
				return tx, false, nil
			case err == nil:
				return nil, true, fmt.Errorf("commit: %w: %w", errLost, lost)
			}
		}

		select { // not in reach, or it has not seen yet that we are gone
		case <-ctx.Done():
			return nil, false, fmt.Errorf("commit: %w, and it stays unknown whether it took effect: %w", errLost, lost)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ofTheFuture says that the database has not given a transaction's id away yet: it
// crashed, or another one took its place, and nothing of that transaction goes on.
func ofTheFuture(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Code == "22023"
}

// collided says whether a transaction met another one that was faster, or a
// server that is going down: then it is run again.
func collided(err error) bool {
	var said *pgconn.PgError
	return errors.Is(err, task.ErrStale) || errors.As(err, &said) && (said.Code == "40001" || said.Code == "40P01" || (said.Code != "57014" && outOfReach(said.Code)))
}

func onConn(conn *sql.Conn, f func(*pgx.Conn) error) error {
	return conn.Raw(func(c any) error { return f(c.(*stdlib.Conn).Conn()) })
}

func broken(conn *sql.Conn) bool {
	return onConn(conn, func(c *pgx.Conn) error {
		if c.IsClosed() {
			return driver.ErrBadConn
		}

		return nil
	}) != nil
}

// begin opens a transaction and leaves its mark, in one exchange.
func begin(ctx context.Context, conn *sql.Conn, m *mark) error {
	const text = `BEGIN ISOLATION LEVEL READ COMMITTED;
		INSERT INTO mark (id, value, at) VALUES (%s, %s, %d) ON CONFLICT (id) DO UPDATE SET value = excluded.value, at = excluded.at
		RETURNING CAST(pg_current_xact_id() AS text)`

	return onConn(conn, func(c *pgx.Conn) error {
		results, err := c.PgConn().Exec(ctx, fmt.Sprintf(text, quoted(m.place), quoted(m.value), time.Now().UnixMilli())).ReadAll()
		if err != nil {
			return err
		}

		if len(results) != 2 || len(results[1].Rows) != 1 {
			return errors.New("the transaction has no id")
		}

		m.transaction = string(results[1].Rows[0][0])

		return nil
	})
}

// quoted writes one of our own names as a constant: the exchange that begins a
// transaction has no parameters.
func quoted(name string) string { return "'" + strings.ReplaceAll(name, "'", "''") + "'" }

func commit(ctx context.Context, conn *sql.Conn) error {
	return onConn(conn, func(c *pgx.Conn) error {
		results, err := c.PgConn().Exec(ctx, "COMMIT").ReadAll()
		if err != nil {
			return err
		}

		if len(results) != 1 || results[0].CommandTag.String() != "COMMIT" {
			return errors.New("a statement of the transaction had failed")
		}

		return nil
	})
}

// rollback ends a transaction; where it cannot, the connection is given up.
func rollback(ctx context.Context, conn *sql.Conn) {
	_ = onConn(conn, func(c *pgx.Conn) error {
		if c.IsClosed() || c.PgConn().TxStatus() == 'I' {
			return nil
		}

		if _, err := c.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			return driver.ErrBadConn
		}

		return nil
	})
}

// bound runs statements under the writer's context, whatever the caller's is.
type bound struct {
	plain
	ctx context.Context
}

func (b bound) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	return b.plain.query(b.ctx, text, args...)
}

func (b bound) row(_ context.Context, text string, args ...any) *sql.Row {
	return b.plain.row(b.ctx, text, args...)
}

func (b bound) exec(_ context.Context, text string, args ...any) (sql.Result, error) {
	return b.plain.exec(b.ctx, text, args...)
}
