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

// Replicas tell each other of committed changes by NOTIFY. It takes a lock on the
// whole database cluster, so it is sent apart from the commits it tells of, and
// seldom (rules.md, writing). Who hears nothing looks each second.
const (
	channel     = "unireel"
	noticeEvery = 50 * time.Millisecond
	noticeBytes = 7000 // PostgreSQL takes less than 8,000
	noticeKept  = 1 << 16
	deafEvery   = time.Second
	listenPing  = 3 * time.Second
)

// notices sends what this replica committed to the others.
type notices struct {
	db      *sql.DB
	replica string
	log     *slog.Logger
	mu      sync.Mutex
	waiting []Change
	bell    chan struct{}
	closing chan struct{}
	running sync.WaitGroup
}

func startNotices(ctx context.Context, db *sql.DB, replica string, log *slog.Logger) *notices {
	n := &notices{db: db, replica: replica, log: log, bell: make(chan struct{}, 1), closing: make(chan struct{})}
	n.running.Go(func() { n.run(ctx) })

	return n
}

func (n *notices) stop() {
	close(n.closing)
	n.running.Wait()
}

// add plans to tell of changes. What is too much is left out: the others look
// into the tables from time to time anyway.
func (n *notices) add(changes []Change) {
	if len(changes) == 0 {
		return
	}

	n.mu.Lock()
	if room := noticeKept - len(n.waiting); room > 0 {
		n.waiting = append(n.waiting, changes[:min(room, len(changes))]...)
	}
	n.mu.Unlock()

	select {
	case n.bell <- struct{}{}:
	default:
	}
}

// run sends at most once in noticeEvery, and what waits at the end.
func (n *notices) run(ctx context.Context) {
	for {
		select {
		case <-n.bell:
		case <-n.closing:
			n.send(ctx)
			return
		}

		n.send(ctx)

		select {
		case <-time.After(noticeEvery):
		case <-n.closing:
		}
	}
}

func (n *notices) send(ctx context.Context) {
	n.mu.Lock()
	changes := n.waiting
	n.waiting = nil
	n.mu.Unlock()

	if len(changes) == 0 {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()

	if _, err := n.db.ExecContext(ctx, "SELECT pg_notify($1, x) FROM unnest($2::text[]) AS x", channel, payloads(n.replica, changes)); err != nil {
		n.log.Warn("cannot tell the other replicas of changes; they look each few seconds", "error", explain(err))
	}
}

// payloads writes changes as lines behind the sender's name, in as many payloads
// as are needed.
func payloads(replica string, changes []Change) []string {
	var (
		list []string
		b    strings.Builder
	)
	for _, c := range changes {
		if b.Len() > noticeBytes {
			list = append(list, b.String())
			b.Reset()
		}

		if b.Len() == 0 {
			b.WriteString(replica)
		}

		if c.Freed != "" {
			b.WriteString("\n" + c.Freed)
			continue
		}

		b.WriteString("\n" + c.Task + " " + c.Account + " " + string(c.State))
	}

	return append(list, b.String())
}

// readPayload is what payloads wrote; a line that it did not write is passed over.
func readPayload(text string) (replica string, changes []Change) {
	replica, rest, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		switch parts := strings.Split(line, " "); {
		case len(parts) == 3:
			changes = append(changes, Change{Task: parts[0], Account: parts[1], State: task.State(parts[2])})
		case len(parts) == 1 && line != "":
			changes = append(changes, Change{Freed: line})
		}
	}

	return replica, changes
}

// listen publishes what other replicas committed until ctx ends. While it cannot
// hear, everybody who watches is told each second to look for themselves.
func listen(ctx context.Context, h *hub, replica string, o Options) {
	for ctx.Err() == nil {
		err := hear(ctx, h, replica, o)
		h.setDeaf(true)

		if ctx.Err() != nil {
			return
		}

		o.Log.Warn("cannot hear of other replicas' changes; looking each second", "error", explain(err))

		select {
		case <-ctx.Done():
		case <-time.After(deafEvery):
		}

		h.wakeAll()
	}
}

// hear listens on a connection of its own until that breaks.
func hear(ctx context.Context, h *hub, replica string, o Options) error {
	config, err := postgresConfig(o.Database)
	if err != nil {
		return err
	}

	delete(config.RuntimeParams, "statement_timeout")

	dialling, cancel := context.WithTimeout(ctx, connectTime)

	defer cancel()

	conn, err := pgx.ConnectConfig(dialling, config)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()

		_ = conn.Close(ending)
	}()

	if _, err := conn.Exec(dialling, "LISTEN "+channel); err != nil {
		return err
	}

	h.wakeAll() // what came between the last look and now
	h.setDeaf(false)

	for {
		waiting, done := context.WithTimeout(ctx, listenPing)
		n, err := conn.WaitForNotification(waiting)

		done()

		switch {
		case err == nil:
			if from, changes := readPayload(n.Payload); from != replica {
				h.publish(changes)
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() == nil:
			return err
		default: // silence: is the connection still there?
			asking, done := context.WithTimeout(ctx, connectTime)
			err := conn.Ping(asking)

			done()

			if err != nil {
				return err
			}
		}
	}
}
