package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// How the writer groups: an fsync is shared by what arrived during the one
// before, never waited for (rules.md, writing).
const (
	groupMost       = 128
	groupBackground = 32 // of them kept for the background when it has work
	groupTime       = 4 * time.Millisecond
	queueLength     = 1024
	walSoft         = 4 << 20   // bytes from which the log is copied back beside the writer
	walHard         = 128 << 20 // bytes at which the writer itself waits for that
)

// work is one Write on its way.
type work struct {
	ctx      context.Context
	f        func(*Tx) error
	hub      *hub
	state    atomic.Int32 // 0 waits, 1 started, 2 abandoned
	done     chan struct{}
	err      error
	panicked any
	tx       *Tx
}

func (w *work) start() bool   { return w.ctx.Err() == nil && w.state.CompareAndSwap(0, 1) }
func (w *work) abandon() bool { return w.state.CompareAndSwap(0, 2) }

// finish answers the one who waits, after the effects of a commit.
func (w *work) finish(err error) {
	if w.err == nil {
		w.err = err
	}

	if w.err == nil && w.panicked == nil && w.tx != nil {
		w.hub.publish(w.tx.events)

		for _, f := range w.tx.after {
			f()
		}
	}

	close(w.done)
}

// writer is the one goroutine that writes to a SQLite file.
type writer struct {
	customers  chan *work
	background chan *work
	closing    chan struct{}
	over       chan struct{} // closed when nothing is taken from the queues any more
	ended      sync.WaitGroup
	conn       *sql.Conn
	stmts      map[string]*sql.Stmt
	ctx        context.Context
	cancel     context.CancelFunc
	now        func() time.Time
	log        *slog.Logger
	hub        *hub
	dialect    *dialect
	walPath    string
	walFull    atomic.Bool
	groups     atomic.Int64
	writes     atomic.Int64
}

func startWriter(ctx context.Context, db *sql.DB, d *dialect, h *hub, o Options) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the writing connection: %w", explain(err))
	}

	w := &writer{
		customers: make(chan *work, queueLength), background: make(chan *work, queueLength), closing: make(chan struct{}), over: make(chan struct{}),
		conn: conn, stmts: map[string]*sql.Stmt{}, now: o.Now, log: o.Log, hub: h, dialect: d, walPath: o.Path + "-wal",
	}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))

	checkpoints, err := openSQLite(o.Path, 1, false)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}

	w.ended.Go(w.run)
	w.ended.Go(func() { w.checkpoint(checkpoints) })

	return w, nil
}

func (w *writer) write(ctx context.Context, f func(*Tx) error, background bool) error {
	queue := w.customers
	if background {
		queue = w.background
	}

	m := &work{ctx: ctx, f: f, done: make(chan struct{}), hub: w.hub}
	select {
	case queue <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}

	select {
	case <-m.done:
	case <-ctx.Done():
		if m.abandon() {
			return ctx.Err()
		}

		<-m.done
	case <-w.over: // it came into the queue as the writer ended
		if m.abandon() {
			return ErrClosed
		}

		<-m.done
	}

	if m.panicked != nil {
		panic(m.panicked)
	}

	return m.err
}

func (w *writer) create(ctx context.Context, c *Creation) error {
	return w.write(ctx, func(tx *Tx) error { return tx.create(ctx, c) }, false)
}

// stop lets what waits be written, then ends the goroutines.
func (w *writer) stop() {
	close(w.closing)
	w.ended.Wait()
	close(w.over)
	w.cancel()

	for _, stmt := range w.stmts {
		_ = stmt.Close()
	}

	_ = w.conn.Close()
}

func (w *writer) run() {
	for {
		group := w.gather()
		if group == nil {
			return
		}

		w.commit(group)

		if w.walFull.Swap(false) {
			if _, err := w.conn.ExecContext(w.ctx, "PRAGMA wal_checkpoint(RESTART)"); err != nil {
				w.log.Warn("checkpoint", "error", err)
			}
		}
	}
}

// gather waits for one Write and takes with it what else waits by now. It
// returns nil when the store is closing and nothing waits.
func (w *writer) gather() []*work {
	var first *work
	select {
	case first = <-w.customers:
	default:
		select {
		case first = <-w.customers:
		case first = <-w.background:
		case <-w.closing:
			select {
			case first = <-w.customers:
			case first = <-w.background:
			default:
				return nil
			}
		}
	}

	runtime.Gosched() // those woken by the last commit may add theirs

	group := []*work{first}
	for len(group) < groupMost-min(len(w.background), groupBackground) {
		select {
		case next := <-w.customers:
			group = append(group, next)
			continue
		default:
		}

		break
	}

	for len(group) < groupMost {
		select {
		case next := <-w.background:
			group = append(group, next)
			continue
		default:
		}

		break
	}

	return group
}

var errEnded = errors.New("the database ended the transaction")

// commit runs a group as savepoints of one transaction. If the database threw
// the whole away, each member is run again alone.
func (w *writer) commit(group []*work) {
	var members, rest []*work

	deadline := w.now().Add(groupTime)

	err := w.do("BEGIN IMMEDIATE")
	if err == nil {
		for i, m := range group {
			if i > 0 && w.now().After(deadline) {
				rest = group[i:]
				break
			}

			if !m.start() {
				m.finish(context.Cause(m.ctx))
				continue
			}

			members = append(members, m)
			if err = w.savepoint(m); err != nil {
				rest = group[i+1:]
				break
			}
		}
	}

	if err == nil {
		if err = w.do("COMMIT"); err == nil || !errors.Is(err, errEnded) {
			w.answer(members, err)

			if len(rest) > 0 {
				w.commit(rest)
			}

			return
		}
	} else if len(members) == 0 {
		w.answer(group, err)
		return
	}

	_ = w.do("ROLLBACK")
	for _, m := range members {
		w.alone(m)
	}

	if len(rest) > 0 {
		w.commit(rest)
	}
}

// answer tells each member; a commit that failed failed for all of them.
func (w *writer) answer(members []*work, err error) {
	if err != nil {
		_ = w.do("ROLLBACK")
		err = fmt.Errorf("commit: %w", explain(err))
	}

	w.groups.Add(1)
	w.writes.Add(int64(len(members)))

	for _, m := range members {
		m.finish(err)
	}
}

// savepoint runs one member. Its own error is the member's; errEnded is the
// group's.
func (w *writer) savepoint(m *work) error {
	if err := w.do("SAVEPOINT member"); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}

	w.call(m)

	if m.err == nil && m.panicked == nil {
		if err := w.do("RELEASE member"); err != nil {
			return fmt.Errorf("%w: %w", errEnded, err)
		}

		return nil
	}

	if err := w.do("ROLLBACK TO member"); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}

	if err := w.do("RELEASE member"); err != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}

	return nil
}

// alone runs one member in a transaction of its own.
func (w *writer) alone(m *work) {
	if err := w.do("BEGIN IMMEDIATE"); err != nil {
		m.finish(fmt.Errorf("begin: %w", explain(err)))
		return
	}

	w.call(m)

	if m.err != nil || m.panicked != nil {
		_ = w.do("ROLLBACK")

		m.finish(nil)

		return
	}

	w.answer([]*work{m}, w.do("COMMIT"))
}

// call runs the closure with a new Tx and keeps its error or panic.
func (w *writer) call(m *work) {
	m.err = nil
	m.panicked = nil

	m.tx = &Tx{Reader: Reader{q: statements{w}, d: w.dialect}}
	defer func() { m.panicked = recover() }()

	if m.err = m.f(m.tx); m.err != nil {
		m.err = explain(m.err)
	}
}

// do runs a statement that steers the transaction itself.
func (w *writer) do(text string) error {
	stmt, err := w.prepared(text)
	if err != nil {
		return err
	}

	_, err = stmt.ExecContext(w.ctx)

	return err
}

func (w *writer) prepared(text string) (*sql.Stmt, error) {
	if stmt := w.stmts[text]; stmt != nil {
		return stmt, nil
	}

	stmt, err := w.conn.PrepareContext(w.ctx, w.dialect.spell(text))
	if err == nil {
		w.stmts[text] = stmt
	}

	return stmt, err
}

// statements is the querier of a Tx: the writer's connection, its prepared
// statements and its context, whatever the caller's is.
type statements struct{ w *writer }

func (s statements) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := s.w.prepared(text)
	if err != nil {
		return nil, err
	}

	return stmt.QueryContext(s.w.ctx, args...)
}

func (s statements) row(_ context.Context, text string, args ...any) *sql.Row {
	stmt, err := s.w.prepared(text)
	if err != nil {
		return s.w.conn.QueryRowContext(s.w.ctx, text, args...)
	}

	return stmt.QueryRowContext(s.w.ctx, args...)
}

func (s statements) exec(_ context.Context, text string, args ...any) (sql.Result, error) {
	stmt, err := s.w.prepared(text)
	if err != nil {
		return nil, err
	}

	return stmt.ExecContext(s.w.ctx, args...)
}

// checkpoint copies the write-ahead log back into the database from its own
// connection, so that no customer's commit waits for it, and asks the writer to
// stand aside when the log grows all the same.
func (w *writer) checkpoint(db *sql.DB) {
	defer func() { _ = db.Close() }()

	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()

	for {
		select {
		case <-w.closing:
			return
		case <-tick.C:
		}

		info, err := os.Stat(w.walPath)
		if err != nil || info.Size() < walSoft {
			continue
		}

		if _, err := db.ExecContext(w.ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			w.log.Warn("checkpoint", "error", err)
		}

		if info.Size() > walHard {
			w.walFull.Store(true)
		}
	}
}
