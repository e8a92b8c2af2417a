// Package store is the only package with SQL. It saves what other packages
// decided: checkout and task.Advance write through a Tx, and every package may
// read. What must happen together is one Write; effects outside the database
// happen only after its commit. It decides nothing about tasks or money itself.
// The claim and the arithmetic of shares are here because they are single
// statements, and tests compare them with the table of transitions in package
// task.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrNotFound means that there is no such row, or none that belongs to this
// account.
var ErrNotFound = errors.New("not found")

// ErrFull means that the disk or the database is full; nothing was written.
var ErrFull = errors.New("no space left for the database")

// ErrUnavailable means that the database does not answer at the moment. It is
// temporary.
var ErrUnavailable = errors.New("the database does not answer")

// ErrClosed means that the store is closing.
var ErrClosed = errors.New("store is closed")

// Options configures a store.
type Options struct {
	Path     string // the SQLite file; its folder must exist
	Database string // postgres://..., instead of the file
	Readers  int    // number of connections for reading; 0 is the default
	Writers  int    // PostgreSQL: number of connections for writing; 0 is the default
	// TestClock is for tests with their own clock: no connection listens for other
	// replicas' changes, and leases expire by Now instead of the database's clock.
	TestClock bool
	Now       func() time.Time
	Log       *slog.Logger
}

// connect opens the connections for writing and returns the database's dialect.
func (o Options) connect(ctx context.Context) (*sql.DB, dialect, error) {
	if o.Database == "" {
		db, err := openSQLite(o.Path, 1, false)
		return db, sqlite, err
	}

	writers := o.Writers
	if writers == 0 {
		writers = 16
	}

	db, err := openPostgres(ctx, o.Database, writers)
	if o.TestClock {
		return db, postgres.withCallerClock(), err
	}

	return db, postgres, err
}

// readers opens the connections for reading.
func (o Options) readers(ctx context.Context) (*sql.DB, error) {
	n := o.Readers
	if n == 0 {
		n = 8
	}

	if o.Database == "" {
		return openSQLite(o.Path, n, true)
	}

	return openPostgres(ctx, o.Database, n)
}

// Store is the open database. Its read methods are those of Reader.
type Store struct {
	Reader
	hub    *changeHub
	writer committer
	reads  *sql.DB
	writes *sql.DB
}

// committer runs write transactions: on SQLite one goroutine that groups them,
// on PostgreSQL one transaction for each Write and batches of creations.
type committer interface {
	// write runs f in a transaction. A background write waits for those of customers.
	write(ctx context.Context, f func(*Tx) error, background bool) error
	// create writes a new task with all that belongs to it.
	create(ctx context.Context, c *Creation) error
	// stop finishes the waiting writes and ends the committer.
	stop()
}

// Open opens the database and starts the writer. A SQLite file is created if it
// is missing, and its schema is migrated; a PostgreSQL database must be migrated
// with Migrate before. A schema that is newer than this program is an error.
func Open(ctx context.Context, o Options) (s *Store, err error) {
	writes, d, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}

	if o.Database == "" {
		_, _, err = migrate(ctx, writes, d)
	} else {
		err = checkSchema(ctx, writes, d)
	}

	if err != nil {
		return nil, errors.Join(err, writes.Close())
	}

	reads, err := o.readers(ctx)
	if err != nil {
		return nil, errors.Join(err, writes.Close())
	}

	s = &Store{hub: newChangeHub(), reads: reads, writes: writes}
	if o.Database == "" {
		s.Reader = Reader{q: newReadPool(reads, &d), d: &d}
		s.writer, err = startSQLiteWriter(ctx, writes, &d, s.hub, o)
	} else {
		s.Reader = Reader{q: directQuerier{reads}, d: &d}
		s.writer = startPostgresWriter(ctx, writes, &d, s.hub, o)
	}

	if err != nil {
		return nil, errors.Join(err, reads.Close(), writes.Close())
	}

	return s, nil
}

// Close finishes the writes in the queues, stops the writer and closes the
// connections.
func (s *Store) Close() error {
	s.writer.stop()
	return errors.Join(s.reads.Close(), s.writes.Close())
}

// Ping returns nil if the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var n int64
	return classifyError(s.reads.QueryRowContext(ctx, "SELECT 1").Scan(&n))
}

// Write runs f in a transaction, which is committed and durable when Write
// returns nil. f may run more than once, so it must assign its results and must
// not append to variables outside of it. f must not use the network and must not
// call Write. ctx counts only until f starts.
func (s *Store) Write(ctx context.Context, f func(*Tx) error) error {
	return s.writer.write(ctx, f, false)
}

// WriteBackground is Write for work that no customer waits for: it runs after
// the writes of customers.
func (s *Store) WriteBackground(ctx context.Context, f func(*Tx) error) error {
	return s.writer.write(ctx, f, true)
}

// querier runs statements on a connection of the pool of readers or inside a
// transaction.
type querier interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, text string, args ...any) *sql.Row
	exec(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// Reader has the read methods. On the Store they see the last commit; on a Tx
// they also see what the Tx has written.
type Reader struct {
	q querier
	d *dialect
}

// Tx is one transaction. Its statements run under the writer's context.
type Tx struct {
	Reader
	afterCommit []func()
	changes     []Change
	hasBudget   bool // it locked the balance of an account whose keys have budgets
}

// AfterCommit schedules f to run after the commit. f does not run if the
// transaction is not committed.
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := tx.q.exec(ctx, text, args...)
	if err != nil {
		return 0, err
	}

	return result.RowsAffected()
}

// readPool runs each statement on any reading connection and prepares it only
// once.
type readPool struct {
	db    *sql.DB
	d     *dialect
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newReadPool(db *sql.DB, d *dialect) *readPool {
	return &readPool{db: db, d: d, stmts: map[string]*sql.Stmt{}}
}

func (p *readPool) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt := p.stmts[text]
	p.mu.RUnlock()

	if stmt != nil {
		return stmt, nil
	}

	stmt, err := p.db.PrepareContext(ctx, p.d.rewrite(text))
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if old := p.stmts[text]; old != nil {
		_ = stmt.Close()
		return old, nil
	}

	p.stmts[text] = stmt

	return stmt, nil
}

func (p *readPool) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := p.prepare(ctx, text)
	if err != nil {
		return nil, err
	}

	return stmt.QueryContext(ctx, args...)
}

func (p *readPool) row(ctx context.Context, text string, args ...any) *sql.Row {
	stmt, err := p.prepare(ctx, text)
	if err != nil {
		return p.db.QueryRowContext(ctx, text, args...)
	}

	return stmt.QueryRowContext(ctx, args...)
}

func (p *readPool) exec(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("a reading connection cannot write")
}

// queryAll reads all rows of a query with scan.
func queryAll[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, text, args...)
	if err != nil {
		return nil, classifyError(err)
	}
	defer func() { _ = rows.Close() }()

	var list []T

	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, classifyError(err)
		}

		list = append(list, item)
	}

	return list, classifyError(rows.Err())
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

// queryOne reads one row with scan. It returns ErrNotFound if there is none.
func queryOne[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) (T, error) {
	item, err := scan(q.row(ctx, text, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return item, ErrNotFound
	}

	return item, classifyError(err)
}

// directQuerier runs each statement on any connection of a pool or on the
// connection of a transaction, without preparing it: pgx caches prepared
// statements.
type directQuerier struct {
	conn interface {
		QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
		ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	}
}

func (q directQuerier) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return q.conn.QueryContext(ctx, text, args...)
}

func (q directQuerier) row(ctx context.Context, text string, args ...any) *sql.Row {
	return q.conn.QueryRowContext(ctx, text, args...)
}

func (q directQuerier) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return q.conn.ExecContext(ctx, text, args...)
}
