// Package store is the only place with SQL. It keeps what the rooms decided:
// checkout and task.Advance write through a Tx, everyone may read. What must
// happen together is one Write; effects outside the database happen only after
// its commit. It decides nothing about tasks or money itself: the claim and the
// turn's arithmetic are here because they are single statements, and tests hold
// them to task's table of moves.
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

// ErrNotFound says that there is no such row, or none for this account.
var ErrNotFound = errors.New("not found")

// ErrFull says that the disk or the database has no room; nothing was written.
var ErrFull = errors.New("no space left for the database")

// ErrUnavailable says that the database does not answer, or not now. It passes
// by itself.
var ErrUnavailable = errors.New("the database does not answer")

// ErrClosed says that the store is closing.
var ErrClosed = errors.New("store is closed")

// Options is what a store is opened with.
type Options struct {
	Path     string // the SQLite file; its folder exists
	Database string // postgres://..., in place of the file
	Readers  int    // connections for reading; 0 is a sane number
	Writers  int    // PostgreSQL: connections for writing; 0 is a sane number
	// Quiet is for tests on given time: no connection waits for what other
	// replicas do, and leases run by Now instead of the database's clock.
	Quiet bool
	Now   func() time.Time
	Log   *slog.Logger
}

// connect opens the connections for writing and says which dialect they speak.
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
	if o.Quiet {
		return db, postgres.givenClock(), err
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
	hub    *hub
	writer committer
	reads  *sql.DB
	writes *sql.DB
}

// committer writes: one goroutine that groups on SQLite, a transaction each and
// batches of creates on PostgreSQL.
type committer interface {
	// write runs f in a transaction, after the customers' when it is background.
	write(ctx context.Context, f func(*Tx) error, background bool) error
	// create writes a new task with what belongs to it.
	create(ctx context.Context, c *Creation) error
	// stop ends it after what waits.
	stop()
}

// Open opens the database and starts the writer. A SQLite file is made when it is
// missing and brought up to date; a PostgreSQL database is refused until Migrate
// has done that. A schema newer than this program knows is refused.
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

	s = &Store{hub: newHub(), reads: reads, writes: writes}
	if o.Database == "" {
		s.Reader = Reader{q: newPool(reads, &d), d: &d}
		s.writer, err = startWriter(ctx, writes, &d, s.hub, o)
	} else {
		s.Reader = Reader{q: plain{reads}, d: &d}
		s.writer = startCommits(ctx, writes, &d, s.hub, o)
	}

	if err != nil {
		return nil, errors.Join(err, reads.Close(), writes.Close())
	}

	return s, nil
}

// Close ends the writer after what waits in its queues, then the connections.
func (s *Store) Close() error {
	s.writer.stop()
	return errors.Join(s.reads.Close(), s.writes.Close())
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int64
	return explain(s.reads.QueryRowContext(ctx, "SELECT 1").Scan(&one))
}

// Write runs f in a transaction that is committed, durable, when Write returns
// nil. f may run more than once, so it assigns its results and never appends to
// what is outside; it does no network and no nested Write. ctx counts only until
// f starts.
func (s *Store) Write(ctx context.Context, f func(*Tx) error) error {
	return s.writer.write(ctx, f, false)
}

// WriteBackground is Write for what no customer waits for: it goes after theirs.
func (s *Store) WriteBackground(ctx context.Context, f func(*Tx) error) error {
	return s.writer.write(ctx, f, true)
}

// querier runs statements: on the pool of readers, or inside a transaction.
type querier interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, text string, args ...any) *sql.Row
	exec(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// Reader has the read methods: on the store they see the last commit, inside a
// Tx what the Tx has written.
type Reader struct {
	q querier
	d *dialect
}

// Tx is one transaction. Its statements run under the writer's context.
type Tx struct {
	Reader
	after    []func()
	events   []Change
	budgeted bool // a balance that it locked is of an account whose keys have budgets
}

// AfterCommit plans f for after the commit; it is not run if there is none.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// changed runs a statement and says how many rows it changed.
func (tx *Tx) changed(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := tx.q.exec(ctx, text, args...)
	if err != nil {
		return 0, err
	}

	return result.RowsAffected()
}

// pool runs each statement on any reading connection, prepared once.
type pool struct {
	db    *sql.DB
	d     *dialect
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newPool(db *sql.DB, d *dialect) *pool { return &pool{db: db, d: d, stmts: map[string]*sql.Stmt{}} }

func (p *pool) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt := p.stmts[text]
	p.mu.RUnlock()

	if stmt != nil {
		return stmt, nil
	}

	stmt, err := p.db.PrepareContext(ctx, p.d.spell(text))
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

func (p *pool) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := p.prepared(ctx, text)
	if err != nil {
		return nil, err
	}

	return stmt.QueryContext(ctx, args...)
}

func (p *pool) row(ctx context.Context, text string, args ...any) *sql.Row {
	stmt, err := p.prepared(ctx, text)
	if err != nil {
		return p.db.QueryRowContext(ctx, text, args...)
	}

	return stmt.QueryRowContext(ctx, args...)
}

func (p *pool) exec(context.Context, string, ...any) (sql.Result, error) {
	return nil, errors.New("the readers do not write")
}

// collect reads all rows of a query with scan.
func collect[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.query(ctx, text, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { _ = rows.Close() }()

	var list []T

	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, explain(err)
		}

		list = append(list, item)
	}

	return list, explain(rows.Err())
}

// scanner is a row or rows.
type scanner interface{ Scan(...any) error }

// one reads a single row with scan; no row is ErrNotFound.
func one[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) (T, error) {
	item, err := scan(q.row(ctx, text, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return item, ErrNotFound
	}

	return item, explain(err)
}

// plain runs each statement as it is, on any connection of a pool or on the one
// of a transaction: pgx keeps them prepared.
type plain struct {
	on interface {
		QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
		ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	}
}

func (p plain) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return p.on.QueryContext(ctx, text, args...)
}

func (p plain) row(ctx context.Context, text string, args ...any) *sql.Row {
	return p.on.QueryRowContext(ctx, text, args...)
}

func (p plain) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	return p.on.ExecContext(ctx, text, args...)
}
