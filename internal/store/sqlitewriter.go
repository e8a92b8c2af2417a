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

// How the writer forms groups: the writes that arrive during one fsync share the
// next one. The writer never waits for a group to fill.
const (
	maxGroup           = 128
	maxGroupBackground = 32 // part of a group that is reserved for background writes, if there are any
	maxGroupTime       = 4 * time.Millisecond
	queueLength        = 1024
	walCheckpointBytes = 4 << 20   // size in bytes from which the write-ahead log is copied back, in parallel to the writer
	walBlockingBytes   = 128 << 20 // size in bytes from which the writer itself waits for the copy
)

// pendingState is how far a write has come. The writer and the caller compete for a
// write that is waiting: the writer to start it, the caller to abandon it.
type pendingState = int32

const (
	pendingWaiting pendingState = iota
	pendingStarted
	pendingAbandoned
)

// pendingWrite is one call of Write on its way through the writer.
type pendingWrite struct {
	ctx        context.Context
	fn         func(*Tx) error
	hub        *changeHub
	state      atomic.Int32 // a pendingState
	done       chan struct{}
	err        error
	panicValue any
	tx         *Tx
}

// start claims the write for the writer. It fails if the caller's context has
// ended or the caller has abandoned the write: exactly one of start and abandon
// succeeds.
func (w *pendingWrite) start() bool {
	return w.ctx.Err() == nil && w.state.CompareAndSwap(pendingWaiting, pendingStarted)
}

// abandon claims the write for the caller, so that it will not run.
func (w *pendingWrite) abandon() bool {
	return w.state.CompareAndSwap(pendingWaiting, pendingAbandoned)
}

// finish unblocks the caller, after the effects of a commit.
func (w *pendingWrite) finish(err error) {
	if w.err == nil {
		w.err = err
	}

	if w.err == nil && w.panicValue == nil && w.tx != nil {
		w.hub.publish(w.tx.changes)

		for _, f := range w.tx.afterCommit {
			f()
		}
	}

	close(w.done)
}

// sqliteWriter is the only goroutine that writes to a SQLite file. It commits
// writes in groups, since an fsync costs as much for one write as for a hundred.
type sqliteWriter struct {
	foreground  chan *pendingWrite
	background  chan *pendingWrite
	closing     chan struct{}
	stopped     chan struct{} // closed when the writer no longer reads the queues
	goroutines  sync.WaitGroup
	conn        *sql.Conn
	stmts       map[string]*sql.Stmt
	ctx         context.Context
	cancel      context.CancelFunc
	now         func() time.Time
	log         *slog.Logger
	hub         *changeHub
	dialect     *dialect
	walPath     string
	walTooLarge atomic.Bool
	groups      atomic.Int64
	writes      atomic.Int64
}

func startSQLiteWriter(ctx context.Context, db *sql.DB, d *dialect, hub *changeHub, o Options) (*sqliteWriter, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the writing connection: %w", classifyError(err))
	}

	w := &sqliteWriter{
		foreground: make(chan *pendingWrite, queueLength),
		background: make(chan *pendingWrite, queueLength),
		closing:    make(chan struct{}),
		stopped:    make(chan struct{}),
		conn:       conn,
		stmts:      map[string]*sql.Stmt{},
		now:        o.Now,
		log:        o.Log,
		hub:        hub,
		dialect:    d,
		walPath:    o.Path + "-wal",
	}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))

	checkpoints, err := openSQLite(o.Path, 1, false)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}

	w.goroutines.Go(w.run)
	w.goroutines.Go(func() { w.checkpoint(checkpoints) })

	return w, nil
}

func (w *sqliteWriter) write(ctx context.Context, fn func(*Tx) error, background bool) error {
	queue := w.foreground
	if background {
		queue = w.background
	}

	pending := &pendingWrite{ctx: ctx, fn: fn, done: make(chan struct{}), hub: w.hub}
	select {
	case queue <- pending:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}

	select {
	case <-pending.done:
	case <-ctx.Done():
		if pending.abandon() {
			return ctx.Err()
		}

		<-pending.done
	case <-w.stopped: // it was queued while the writer ended
		if pending.abandon() {
			return ErrClosed
		}

		<-pending.done
	}

	if pending.panicValue != nil {
		panic(pending.panicValue)
	}

	return pending.err
}

func (w *sqliteWriter) create(ctx context.Context, c *Creation) error {
	return w.write(ctx, func(tx *Tx) error { return tx.create(ctx, c) }, false)
}

// stop finishes the waiting writes and then ends the goroutines.
func (w *sqliteWriter) stop() {
	close(w.closing)
	w.goroutines.Wait()
	close(w.stopped)
	w.cancel()

	for _, stmt := range w.stmts {
		_ = stmt.Close()
	}

	_ = w.conn.Close()
}

func (w *sqliteWriter) run() {
	for {
		group := w.nextGroup()
		if group == nil {
			return
		}

		w.commitGroup(group)

		if w.walTooLarge.Swap(false) {
			if _, err := w.conn.ExecContext(w.ctx, "PRAGMA wal_checkpoint(RESTART)"); err != nil {
				w.log.Warn("checkpoint", "error", err)
			}
		}
	}
}

// nextGroup waits for one write and adds to it all others that wait by now, the
// foreground ones first. It returns nil if the store is closing and no write
// waits.
func (w *sqliteWriter) nextGroup() []*pendingWrite {
	var first *pendingWrite
	select {
	case first = <-w.foreground:
	default:
		select {
		case first = <-w.foreground:
		case first = <-w.background:
		case <-w.closing:
			select {
			case first = <-w.foreground:
			case first = <-w.background:
			default:
				return nil
			}
		}
	}

	runtime.Gosched() // the callers that the last commit unblocked may queue their next write

	// Customers' writes come first, but never take the whole group: if the background's
	// waited for a moment without creates, a busy server would stop claiming and polling.
	group := []*pendingWrite{first}
	for len(group) < maxGroup-min(len(w.background), maxGroupBackground) {
		select {
		case next := <-w.foreground:
			group = append(group, next)
			continue
		default:
		}

		break
	}

	// Room that the foreground left is the background's, beyond what is reserved for it.
	for len(group) < maxGroup {
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

// errTxAborted means that the whole group failed because of the database and not
// because of one member.
var errTxAborted = errors.New("the database aborted the transaction")

// commitGroup runs a group as one transaction with a savepoint for each member,
// so that the error of a member rolls back that member only.
//
// No caller learns anything before the COMMIT has returned, because a member
// that succeeded is not durable until then. If the database aborted the
// transaction itself (a full disk, an I/O error), the group says nothing about
// its members: the one that caused it is not known. So the transaction is rolled
// back and each member that has run is run again in a transaction of its own.
// That is safe because nothing of the first run was committed or published, and
// because Write allows f to run more than once. Members that have not run yet
// form the next group.
func (w *sqliteWriter) commitGroup(group []*pendingWrite) {
	var members, rest []*pendingWrite

	deadline := w.now().Add(maxGroupTime) // the first member must not wait long for the others

	err := w.execControl("BEGIN IMMEDIATE")
	if err == nil {
		for i, member := range group {
			if i > 0 && w.now().After(deadline) {
				rest = group[i:]
				break
			}

			if !member.start() {
				member.finish(context.Cause(member.ctx))
				continue
			}

			members = append(members, member)
			if err = w.savepoint(member); err != nil {
				rest = group[i+1:]
				break
			}
		}
	}

	// Every member has run. If COMMIT fails, it fails for all of them.
	if err == nil {
		if err = w.execControl("COMMIT"); err == nil || !errors.Is(err, errTxAborted) {
			w.finishGroup(members, err)

			if len(rest) > 0 {
				w.commitGroup(rest)
			}

			return
		}
	} else if len(members) == 0 {
		w.finishGroup(group, err)
		return
	}

	// The database aborted the transaction: run each member alone.
	_ = w.execControl("ROLLBACK")

	for _, member := range members {
		w.commitAlone(member)
	}

	if len(rest) > 0 {
		w.commitGroup(rest)
	}
}

// finishGroup unblocks each member with the result of the COMMIT, which is the
// same for all of them.
func (w *sqliteWriter) finishGroup(members []*pendingWrite, err error) {
	if err != nil {
		_ = w.execControl("ROLLBACK")
		err = fmt.Errorf("commit: %w", classifyError(err))
	}

	w.groups.Add(1)
	w.writes.Add(int64(len(members)))

	for _, member := range members {
		member.finish(err)
	}
}

// savepoint runs one member inside a savepoint. An error of the member's
// function is kept in the member; the error that savepoint returns is the
// group's and wraps errTxAborted.
func (w *sqliteWriter) savepoint(member *pendingWrite) error {
	if err := w.execControl("SAVEPOINT member"); err != nil {
		return fmt.Errorf("%w: %w", errTxAborted, err)
	}

	w.invoke(member)

	if member.err == nil && member.panicValue == nil {
		if err := w.execControl("RELEASE member"); err != nil {
			return fmt.Errorf("%w: %w", errTxAborted, err)
		}

		return nil
	}

	if err := w.execControl("ROLLBACK TO member"); err != nil {
		return fmt.Errorf("%w: %w", errTxAborted, err)
	}

	if err := w.execControl("RELEASE member"); err != nil {
		return fmt.Errorf("%w: %w", errTxAborted, err)
	}

	return nil
}

// commitAlone runs one member in a transaction of its own.
func (w *sqliteWriter) commitAlone(member *pendingWrite) {
	if err := w.execControl("BEGIN IMMEDIATE"); err != nil {
		member.finish(fmt.Errorf("begin: %w", classifyError(err)))
		return
	}

	w.invoke(member)

	if member.err != nil || member.panicValue != nil {
		_ = w.execControl("ROLLBACK")

		member.finish(nil)

		return
	}

	w.finishGroup([]*pendingWrite{member}, w.execControl("COMMIT"))
}

// invoke calls the member's function with a new Tx and keeps its error or panic
// in the member.
func (w *sqliteWriter) invoke(member *pendingWrite) {
	member.err = nil
	member.panicValue = nil
	member.tx = &Tx{Reader: Reader{q: sqliteQuerier{w}, d: w.dialect}}

	defer func() { member.panicValue = recover() }()

	if member.err = member.fn(member.tx); member.err != nil {
		member.err = classifyError(member.err)
	}
}

// execControl runs a statement that controls the transaction itself.
func (w *sqliteWriter) execControl(text string) error {
	stmt, err := w.prepare(text)
	if err != nil {
		return err
	}

	_, err = stmt.ExecContext(w.ctx)

	return err
}

func (w *sqliteWriter) prepare(text string) (*sql.Stmt, error) {
	if stmt := w.stmts[text]; stmt != nil {
		return stmt, nil
	}

	stmt, err := w.conn.PrepareContext(w.ctx, w.dialect.rewrite(text))
	if err == nil {
		w.stmts[text] = stmt
	}

	return stmt, err
}

// sqliteQuerier is the querier of a Tx. It uses the writer's connection,
// prepared statements and context; the caller's context is ignored.
type sqliteQuerier struct{ w *sqliteWriter }

func (s sqliteQuerier) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := s.w.prepare(text)
	if err != nil {
		return nil, err
	}

	return stmt.QueryContext(s.w.ctx, args...)
}

func (s sqliteQuerier) row(_ context.Context, text string, args ...any) *sql.Row {
	stmt, err := s.w.prepare(text)
	if err != nil {
		return s.w.conn.QueryRowContext(s.w.ctx, text, args...)
	}

	return stmt.QueryRowContext(s.w.ctx, args...)
}

func (s sqliteQuerier) exec(_ context.Context, text string, args ...any) (sql.Result, error) {
	stmt, err := s.w.prepare(text)
	if err != nil {
		return nil, err
	}

	return stmt.ExecContext(s.w.ctx, args...)
}

// checkpoint copies the write-ahead log back into the database on its own
// connection, so that no commit waits for it. If the log grows too large
// nevertheless, it asks the writer to wait for the copy.
func (w *sqliteWriter) checkpoint(db *sql.DB) {
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
		if err != nil || info.Size() < walCheckpointBytes {
			continue
		}

		if _, err := db.ExecContext(w.ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			w.log.Warn("checkpoint", "error", err)
		}

		if info.Size() > walBlockingBytes {
			w.walTooLarge.Store(true)
		}
	}
}
