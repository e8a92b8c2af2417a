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

// ErrClosed says that the store is closing.
var ErrClosed = errors.New("store is closed")

// Options is what a store is opened with.
type Options struct {
	Path    string // the database file; its folder exists
	Readers int    // connections for reading; 0 is a sane number
	Now     func() time.Time
	Log     *slog.Logger
}

// Store is the open database. Its read methods are those of Reader.
type Store struct {
	Reader
	hub    *hub
	writer *writer
	reads  *sql.DB
	writes *sql.DB
	log    *slog.Logger
}

// Open opens or makes the database, brings its schema up to date and starts the
// writer. A schema newer than this program knows is refused.
func Open(ctx context.Context, o Options) (*Store, error) {
	writes, err := openSQLite(o.Path, 1, false)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, writes, sqlite); err != nil {
		return nil, errors.Join(err, writes.Close())
	}
	readers := o.Readers
	if readers == 0 {
		readers = 8
	}
	reads, err := openSQLite(o.Path, readers, true)
	if err != nil {
		return nil, errors.Join(err, writes.Close())
	}
	s := &Store{hub: newHub(), reads: reads, writes: writes, log: o.Log}
	s.Reader = Reader{q: newPool(reads)}
	if s.writer, err = startWriter(ctx, writes, o); err != nil {
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
	return s.reads.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Write runs f in a transaction that is committed, durable, when Write returns
// nil. f may run more than once, so it assigns its results and never appends to
// what is outside; it does no network and no nested Write. ctx counts only until
// f starts.
func (s *Store) Write(ctx context.Context, f func(*Tx) error) error {
	return s.write(ctx, f, s.writer.customers)
}

// WriteBackground is Write for what no customer waits for: it goes after theirs.
func (s *Store) WriteBackground(ctx context.Context, f func(*Tx) error) error {
	return s.write(ctx, f, s.writer.background)
}

func (s *Store) write(ctx context.Context, f func(*Tx) error, queue chan *work) error {
	w := &work{ctx: ctx, f: f, done: make(chan struct{}), hub: s.hub}
	select {
	case queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.writer.closing:
		return ErrClosed
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		if w.abandon() {
			return ctx.Err()
		}
		<-w.done
	case <-s.writer.over: // it came into the queue as the writer ended
		if w.abandon() {
			return ErrClosed
		}
		<-w.done
	}
	if w.panicked != nil {
		panic(w.panicked)
	}
	return w.err
}

// querier runs statements: on the pool of readers, or inside a transaction.
type querier interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, text string, args ...any) *sql.Row
	exec(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// Reader has the read methods: on the store they see the last commit, inside a
// Tx what the Tx has written.
type Reader struct{ q querier }

// Tx is one transaction. Its statements run under the writer's context.
type Tx struct {
	Reader
	after  []func()
	events []Change
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
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

func newPool(db *sql.DB) *pool { return &pool{db: db, stmts: map[string]*sql.Stmt{}} }

func (p *pool) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt := p.stmts[text]
	p.mu.RUnlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := p.db.PrepareContext(ctx, text)
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
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var list []T
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}

// scanner is a row or rows.
type scanner interface{ Scan(...any) error }

// one reads a single row with scan; no row is ErrNotFound.
func one[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) (T, error) {
	item, err := scan(q.row(ctx, text, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return item, ErrNotFound
	}
	return item, err
}
