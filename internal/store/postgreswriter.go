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
	writeTimeout     = 20 * time.Second // one Write with all its attempts
	maxWriteAttempts = 12
	maxWaitingWrites = 4096 // calls of Write that may wait for a connection
)

// postgresWriter is the committer for PostgreSQL. It runs each Write in a
// transaction of its own, and again if the database reports a conflict with
// another transaction. Each transaction leaves a commit marker, by which the
// writer finds out whether it was committed when the answer to its COMMIT was
// lost.
type postgresWriter struct {
	db              *sql.DB
	dialect         *dialect
	hub             *changeHub
	notifier        *notifier
	batcher         *createBatcher
	waiting         chan struct{} // one slot for each waiting Write
	slots           chan string   // one for each writing connection: the id of its commit marker
	backgroundSlots chan struct{} // how many of them background writes may use
	ctx             context.Context
	cancel          context.CancelFunc
	closing         chan struct{}
	replica         string // this process's id among the replicas, random at each start
	log             *slog.Logger
	goroutines      sync.WaitGroup
}

func startPostgresWriter(ctx context.Context, db *sql.DB, d *dialect, hub *changeHub, o Options) *postgresWriter {
	connections := db.Stats().MaxOpenConnections

	w := &postgresWriter{
		db:              db,
		dialect:         d,
		hub:             hub,
		replica:         crand.Text(),
		log:             o.Log,
		closing:         make(chan struct{}),
		waiting:         make(chan struct{}, maxWaitingWrites),
		slots:           make(chan string, max(1, connections-createWorkers)), // the batcher has connections of its own
		backgroundSlots: make(chan struct{}, max(1, connections/2)),
	}
	for i := range cap(w.slots) {
		w.slots <- fmt.Sprintf("%s/%d", w.replica, i)
	}

	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.notifier = startNotifier(w.ctx, db, w.replica, o.Log)
	w.batcher = startCreateBatcher(w)

	if !o.TestClock {
		hub.setListenerDown(true) // until the listener is connected
		w.goroutines.Go(func() { listen(w.ctx, hub, w.replica, o) })
	}

	return w
}

// stop lets the running transactions end and then stops the writer.
func (w *postgresWriter) stop() {
	close(w.closing)
	w.batcher.stop()

	for range cap(w.slots) { // every running Write returns its slot
		<-w.slots
	}

	w.notifier.stop()
	w.cancel()
	w.goroutines.Wait()
}

func (w *postgresWriter) write(ctx context.Context, fn func(*Tx) error, background bool) error {
	select {
	case <-w.closing:
		return ErrClosed
	case w.waiting <- struct{}{}:
		defer func() { <-w.waiting }()
	default:
		return fmt.Errorf("%w: too many writes wait for it", ErrUnavailable)
	}

	if background {
		select {
		case w.backgroundSlots <- struct{}{}:
			defer func() { <-w.backgroundSlots }()
		case <-ctx.Done():
			return ctx.Err()
		case <-w.closing:
			return ErrClosed
		}
	}

	select {
	case slot := <-w.slots:
		defer func() { w.slots <- slot }()

		if err := w.checkOpen(ctx); err != nil {
			return err
		}

		return w.runTx(slot, fn)
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}
}

// checkOpen returns nil if the caller may still begin a transaction.
func (w *postgresWriter) checkOpen(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	select {
	case <-w.closing:
		return ErrClosed
	default:
		return nil
	}
}

func (w *postgresWriter) create(ctx context.Context, c *Creation) error { return w.batcher.add(ctx, c) }

// runTx runs f in a transaction until it is committed or fails for good.
func (w *postgresWriter) runTx(slot string, fn func(*Tx) error) error {
	ctx, cancel := context.WithTimeout(w.ctx, writeTimeout)
	defer cancel()

	for attempt := 1; ; attempt++ {
		tx, retryable, err := w.tryTx(ctx, fmt.Sprintf("%s.%d", slot, attempt), fn) // not the marker of the attempt before: its row may still be locked
		if err == nil {
			w.hub.publish(tx.changes)
			w.notifier.add(tx.changes)

			for _, fn := range tx.afterCommit {
				fn()
			}

			return nil
		}

		if !retryable || attempt == maxWriteAttempts || ctx.Err() != nil {
			return classifyError(err)
		}

		select { // back off, with jitter so that conflicting transactions do not meet again
		case <-ctx.Done():
			return classifyError(err)
		case <-time.After(time.Duration(attempt)*4*time.Millisecond + rand.N(time.Duration(attempt)*8*time.Millisecond)):
		}
	}
}

// errConnectionLost means that the connection broke before the database
// answered.
var errConnectionLost = errors.New("the connection to the database broke")

// tryTx runs f in one transaction. retryable means that the transaction
// certainly had no effect and may be run again.
//
// Until COMMIT is sent, a failure of any kind had no effect: PostgreSQL rolls
// back a transaction whose connection breaks. After COMMIT was sent, a broken
// connection leaves the outcome open. Running f again could then charge an
// account twice, and returning an error could hide a committed task. So
// resolveCommit asks the database for the outcome.
func (w *postgresWriter) tryTx(ctx context.Context, slot string, fn func(*Tx) error) (tx *Tx, retryable bool, err error) {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return nil, true, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()

	marker := commitMarker{slot: slot, value: crand.Text()}

	err = begin(ctx, conn, &marker)
	if err != nil {
		return nil, isRetryable(err) || isBroken(conn), fmt.Errorf("begin: %w", err)
	}

	tx = &Tx{Reader: Reader{q: txQuerier{directQuerier{conn}, ctx}, d: w.dialect}}

	done := false
	defer func() {
		if !done { // f panicked: the panic continues after the rollback
			rollback(ctx, conn)
		}
	}()

	err = fn(tx)
	done = true

	if err != nil {
		retryable = isRetryable(err) || isBroken(conn)
		rollback(ctx, conn)

		return nil, retryable, err
	}

	err = commit(ctx, conn)
	switch {
	case err == nil:
		return tx, false, nil
	case isBroken(conn):
		_ = conn.Close() // resolveCommit needs its slot in the pool
		return w.resolveCommit(ctx, tx, marker, err)
	}

	rollback(ctx, conn)

	return nil, isRetryable(err), fmt.Errorf("commit: %w", err)
}

// commitMarker is the value that a transaction writes into the commit_marker row
// of its connection. The value is random, so the row has it if and only if this
// transaction was committed. The transaction's id alone would not be enough:
// after a crash the server assigns ids again that it had not written to disk, to
// transactions that may then commit.
type commitMarker struct {
	slot, value string
	xid         string
}

// resolveCommit finds out the outcome of a transaction whose COMMIT was not
// answered.
//
// It first waits until the transaction is no longer in progress on the server;
// before that, a missing marker proves nothing, since the COMMIT may still be
// executed. An id that the server has not assigned yet (isFutureXID) belongs to
// a transaction that a crash or a failover erased. Then the marker decides: if
// the row has this transaction's value, it was committed; otherwise it was not
// and never will be, and running it again is safe. If the database does not
// answer until the deadline, the error says that the outcome is unknown, and
// nothing is run again.
func (w *postgresWriter) resolveCommit(ctx context.Context, tx *Tx, marker commitMarker, commitErr error) (*Tx, bool, error) {
	w.log.Warn("the answer to a commit was lost; asking the database for its outcome", "xid", marker.xid, "error", commitErr)

	for {
		var status, value sql.NullString

		err := w.db.QueryRowContext(ctx, "SELECT pg_xact_status(CAST($1 AS xid8))", marker.xid).Scan(&status)
		if err == nil && status.String != "in progress" || isFutureXID(err) {
			// Only now: the transaction has ended, so the marker is final.
			err = w.db.QueryRowContext(ctx, "SELECT (SELECT value FROM commit_marker WHERE id = $1)", marker.slot).Scan(&value)
			switch {
			case err == nil && value.String == marker.value:
				return tx, false, nil
			case err == nil:
				return nil, true, fmt.Errorf("commit: %w: %w", errConnectionLost, commitErr)
			}
		}

		select { // the database is unreachable, or has not noticed the broken connection yet
		case <-ctx.Done():
			return nil, false, fmt.Errorf("commit: %w, and it is unknown whether the transaction was committed: %w", errConnectionLost, commitErr)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// isFutureXID reports whether the database has not assigned a transaction's id
// yet. Then it crashed, or a standby took its place, and nothing of that
// transaction is still running.
func isFutureXID(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "22023"
}

// isRetryable reports whether a transaction failed because of a concurrent
// transaction, or because the server is shutting down: then it is run again.
func isRetryable(err error) bool {
	if errors.Is(err, task.ErrStale) {
		return true
	}

	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return false
	}

	switch pgErr.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	case "57014": // the statement was cancelled or timed out, and would be again
		return false
	}

	return isUnavailableCode(pgErr.Code)
}

func onConn(conn *sql.Conn, f func(*pgx.Conn) error) error {
	return conn.Raw(func(c any) error { return f(c.(*stdlib.Conn).Conn()) })
}

func isBroken(conn *sql.Conn) bool {
	return onConn(conn, func(c *pgx.Conn) error {
		if c.IsClosed() {
			return driver.ErrBadConn
		}

		return nil
	}) != nil
}

// begin opens a transaction and writes its commit marker, in one round trip.
func begin(ctx context.Context, conn *sql.Conn, marker *commitMarker) error {
	const text = `BEGIN ISOLATION LEVEL READ COMMITTED;
		INSERT INTO commit_marker (id, value, at) VALUES (%s, %s, %d) ON CONFLICT (id) DO UPDATE SET value = excluded.value, at = excluded.at
		RETURNING CAST(pg_current_xact_id() AS text)`

	return onConn(conn, func(c *pgx.Conn) error {
		results, err := c.PgConn().Exec(ctx, fmt.Sprintf(text, quoteLiteral(marker.slot), quoteLiteral(marker.value), time.Now().UnixMilli())).ReadAll()
		if err != nil {
			return err
		}

		if len(results) != 2 || len(results[1].Rows) != 1 {
			return errors.New("the transaction has no id")
		}

		marker.xid = string(results[1].Rows[0][0])

		return nil
	})
}

// quoteLiteral quotes one of our own names as an SQL literal: the simple query
// that begins a transaction has no parameters.
func quoteLiteral(name string) string { return "'" + strings.ReplaceAll(name, "'", "''") + "'" }

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

// rollback ends a transaction. If that fails, the connection is discarded.
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

// txQuerier runs statements under the writer's context; the caller's context is
// ignored.
type txQuerier struct {
	directQuerier
	ctx context.Context
}

func (q txQuerier) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	return q.directQuerier.query(q.ctx, text, args...)
}

func (q txQuerier) row(_ context.Context, text string, args ...any) *sql.Row {
	return q.directQuerier.row(q.ctx, text, args...)
}

func (q txQuerier) exec(_ context.Context, text string, args ...any) (sql.Result, error) {
	return q.directQuerier.exec(q.ctx, text, args...)
}
