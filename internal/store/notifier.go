package store

import (
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unireel/unireel/internal/task"
)

// Replicas notify each other of committed changes with NOTIFY. A transaction with
// NOTIFY takes a lock of the whole database cluster when it commits, so changes are
// sent in transactions of their own, and rarely. A replica that receives nothing
// reads the tables every second.
const (
	notifyChannel      = "unireel"
	notifyInterval     = 50 * time.Millisecond
	maxPayloadBytes    = 7000 // PostgreSQL accepts less than 8,000
	maxPendingChanges  = 1 << 16
	listenRetryDelay   = time.Second
	listenPingInterval = 3 * time.Second
)

// notifier sends the changes that this replica committed to the others.
type notifier struct {
	db         *sql.DB
	replica    string
	log        *slog.Logger
	mu         sync.Mutex
	pending    []Change
	wake       chan struct{}
	closing    chan struct{}
	goroutines sync.WaitGroup
}

func startNotifier(ctx context.Context, db *sql.DB, replica string, log *slog.Logger) *notifier {
	n := &notifier{db: db, replica: replica, log: log, wake: make(chan struct{}, 1), closing: make(chan struct{})}
	n.goroutines.Go(func() { n.run(ctx) })

	return n
}

func (n *notifier) stop() {
	close(n.closing)
	n.goroutines.Wait()
}

// add queues changes to be sent. If too many are queued, the rest is dropped:
// the other replicas read the tables from time to time anyway.
func (n *notifier) add(changes []Change) {
	if len(changes) == 0 {
		return
	}

	n.mu.Lock()
	if capacity := maxPendingChanges - len(n.pending); capacity > 0 {
		n.pending = append(n.pending, changes[:min(capacity, len(changes))]...)
	}
	n.mu.Unlock()

	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run sends at most once in notifyInterval, and once more at the end.
func (n *notifier) run(ctx context.Context) {
	for {
		select {
		case <-n.wake:
		case <-n.closing:
			n.send(ctx)
			return
		}

		n.send(ctx)

		select {
		case <-time.After(notifyInterval):
		case <-n.closing:
		}
	}
}

func (n *notifier) send(ctx context.Context) {
	n.mu.Lock()
	changes := n.pending
	n.pending = nil
	n.mu.Unlock()

	if len(changes) == 0 {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()

	if _, err := n.db.ExecContext(ctx, "SELECT pg_notify($1, x) FROM unnest($2::text[]) AS x", notifyChannel, encodePayloads(n.replica, changes)); err != nil {
		n.log.Warn("cannot notify the other replicas of changes; they read the tables every few seconds", "error", classifyError(err))
	}
}

// encodePayloads formats changes as lines after the sender's id, in as many
// payloads as needed.
func encodePayloads(replica string, changes []Change) []string {
	var (
		list []string
		b    strings.Builder
	)
	for _, c := range changes {
		if b.Len() > maxPayloadBytes {
			list = append(list, b.String())
			b.Reset()
		}

		if b.Len() == 0 {
			b.WriteString(replica)
		}

		if c.Released != "" {
			b.WriteString("\n" + c.Released)
			continue
		}

		b.WriteString("\n" + c.Task + " " + c.Account + " " + string(c.State))
	}

	return append(list, b.String())
}

// decodePayload parses a payload of encodePayloads. It skips a line that it does
// not understand, which another release may have written.
func decodePayload(text string) (replica string, changes []Change) {
	replica, rest, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		switch parts := strings.Split(line, " "); {
		case len(parts) == 3:
			changes = append(changes, Change{Task: parts[0], Account: parts[1], State: task.State(parts[2])})
		case len(parts) == 1 && line != "":
			changes = append(changes, Change{Released: line})
		}
	}

	return replica, changes
}

// listen publishes the changes that other replicas commit until ctx ends. While
// it is not connected, every watcher is notified each second to read the tables.
func listen(ctx context.Context, hub *changeHub, replica string, o Options) {
	for ctx.Err() == nil {
		err := listenOnce(ctx, hub, replica, o)
		hub.setListenerDown(true)

		if ctx.Err() != nil {
			return
		}

		o.Log.Warn("cannot receive other replicas' changes; reading the tables every second", "error", classifyError(err))

		select {
		case <-ctx.Done():
		case <-time.After(listenRetryDelay):
		}

		hub.notifyAll()
	}
}

// listenOnce listens on a connection of its own until the connection breaks.
func listenOnce(ctx context.Context, hub *changeHub, replica string, o Options) error {
	config, err := postgresConfig(o.Database)
	if err != nil {
		return err
	}

	delete(config.RuntimeParams, "statement_timeout")

	dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)

	defer cancel()

	conn, err := pgx.ConnectConfig(dialCtx, config)
	if err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()

		_ = conn.Close(closeCtx)
	}()

	if _, err := conn.Exec(dialCtx, "LISTEN "+notifyChannel); err != nil {
		return err
	}

	hub.notifyAll() // changes may have been committed since the tables were read
	hub.setListenerDown(false)

	for {
		waitCtx, done := context.WithTimeout(ctx, listenPingInterval)
		n, err := conn.WaitForNotification(waitCtx)

		done()

		switch {
		case err == nil:
			if from, changes := decodePayload(n.Payload); from != replica {
				hub.publish(changes)
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case waitCtx.Err() == nil:
			return err
		default: // no notification: check that the connection still works
			pingCtx, done := context.WithTimeout(ctx, connectTimeout)
			err := conn.Ping(pingCtx)

			done()

			if err != nil {
				return err
			}
		}
	}
}
