package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// backlog measures a long backlog of 1,000 accounts in several queues, with a tenth
// as many tasks running: the server's memory, its claims, and how soon it works
// again after kill -9.
func backlog(ctx context.Context, b *bench) ([]measurement, error) {
	supplier, polls := newRenderingSupplier()
	defer supplier.Close()

	running := b.rows / 10

	s, err := b.newServer(ctx, "backlog", supplier.URL, fmt.Sprintf("UNIREEL_IN_PROGRESS=%d", running/len(queues)))
	if err != nil {
		return nil, err
	}

	s.stop()

	customers, err := b.addCustomers(ctx, s, 1000)
	if err != nil {
		return nil, err
	}

	spec := fillSpec{
		idPrefix:  "WAIT",
		count:     b.rows + running,
		state:     queued,
		customers: customers,
		queues:    queues,
	}
	if _, err := b.fill(ctx, s, spec); err != nil {
		return nil, err
	}

	claimRate, note, err := b.measureClaims(ctx, s, running)
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}

	usage := s.measureUsage(func() { sleep(ctx, max(b.loadTime, 10*time.Second)) }) // all slots of the upstream are in use
	rssMiB := rss(s.pid())
	s.kill()

	readyAfter, polledAfter, err := s.restart(ctx, polls)
	defer s.stop()

	if err != nil {
		return nil, err
	}

	pollTarget, claimsLimit, pollsLimit := b.backlogLimits()
	prefix := fmt.Sprintf("%s queued + %s running: ", groupThousands(int64(b.rows)), groupThousands(int64(running)))

	return []measurement{
		{
			name:      prefix + "RSS",
			unit:      "MiB",
			target:    1024,
			atMost:    true,
			measured:  rssMiB,
			limitedBy: "running tasks, which are in memory; queued tasks are in tables",
		},
		{
			name:      prefix + "CPU meanwhile",
			unit:      "cores",
			measured:  usage.serverCores + usage.dbCores,
			note:      usage.coresText(),
			limitedBy: "polls; reading the first 1,000 positions of each queue every second",
		},
		{
			name:      prefix + "claims",
			unit:      "/s",
			target:    2000,
			measured:  claimRate,
			note:      note,
			limitedBy: claimsLimit,
		},
		{
			name:      prefix + "ready after kill -9",
			unit:      "s",
			target:    10,
			atMost:    true,
			measured:  readyAfter.Seconds(),
			limitedBy: "reading the queued tasks, one total for each queue",
		},
		{
			name:      prefix + "first poll after kill -9",
			unit:      "s",
			target:    pollTarget,
			atMost:    true,
			measured:  polledAfter.Seconds(),
			limitedBy: pollsLimit,
		},
	}, nil
}

// restart starts a killed server, and returns how long it took until it was ready
// and until its first poll.
func (s *server) restart(ctx context.Context, polls *atomic.Int64) (ready, firstPoll time.Duration, err error) {
	before := polls.Load()
	start := time.Now()

	if err := s.start(ctx); err != nil {
		return 0, 0, err
	}

	ready = time.Since(start)
	err = waitUntil(ctx, "wait for the first poll after kill -9", 2*time.Minute, func() bool { return polls.Load() > before })

	return ready, time.Since(start), err
}

// backlogLimits returns the target for the first poll after a restart, in seconds,
// and what limits claims and that poll.
func (b *bench) backlogLimits() (pollTarget float64, claimsLimit, pollsLimit string) {
	pollsLimit = "reading the running tasks row by row; a first poll waits 2 s"
	if b.db.name == postgres {
		return 12, "a commit for each claim; the claims of a queue wait for each other when its virtual time advances", "the killed server's leases of 10 s; " + pollsLimit
	}

	return 10, "the single writer, whose commits several claims share", pollsLimit
}

// measureClaims claims n tasks. On PostgreSQL it also counts the rows that were read
// by table scans meanwhile: claims must use indexes only.
func (b *bench) measureClaims(ctx context.Context, s *server, n int) (rate float64, note string, err error) {
	var tasks, shares int64
	if s.dsn != "" {
		if tasks, shares, err = scannedRows(ctx, s.dsn); err != nil {
			return 0, "", err
		}
	}

	if rate, err = b.claimTasks(ctx, s, n); err != nil {
		return 0, "", err
	}

	note = fmt.Sprintf("1,000 accounts, %d queues, 32 concurrent claims, on the store without a server", len(queues))

	if s.dsn != "" {
		tasksAfter, sharesAfter, err := scannedRows(ctx, s.dsn)
		if err != nil {
			return 0, "", err
		}

		note += fmt.Sprintf("; %s rows of tasks and %s of shares read by scans", groupThousands(tasksAfter-tasks), groupThousands(sharesAfter-shares))
	}

	return rate, note, nil
}

// floodRenderTime is so long that no slot becomes free while the CPU time of a
// backlog is measured.
const floodRenderTime = 20 * time.Second

// flood measures how many tasks are submitted before another account's first task
// when one account has a backlog, and the CPU time that a backlog costs.
func flood(ctx context.Context, b *bench) ([]measurement, error) {
	sim, supplier := b.newSupplier(dashscopesim.Options{RenderMin: floodRenderTime, RenderMax: floodRenderTime})
	defer supplier.Close()

	s, err := b.newServer(ctx, "flood", supplier.URL)
	if err != nil {
		return nil, err
	}
	defer s.stop()

	otherKey, err := s.createAccount(ctx, "another")
	if err != nil {
		return nil, err
	}

	const total = 100_000
	if err := checkFailures(s.runTotal(ctx, 64, total, createOperation(nil))); err != nil {
		return nil, err
	}

	sleep(ctx, 2*time.Second)

	cpuBefore := cpu(s.pid())
	start := time.Now()

	sleep(ctx, 10*time.Second)

	perMinute := (cpu(s.pid()) - cpuBefore) / time.Since(start).Minutes()

	const otherPrompt = "the first task of the other account"

	c := s.newClient()

	c.key = otherKey
	defer c.close()

	if _, err := c.create(ctx, requestBody(otherPrompt)); err != nil {
		return nil, err
	}

	created := time.Now()

	position := 0
	for position == 0 {
		if !sleep(ctx, 50*time.Millisecond) || time.Since(created) > 3*time.Minute {
			return nil, errors.Join(errors.New("the other account's task was not submitted"), ctx.Err())
		}

		accepted := slices.DeleteFunc(sim.Submissions(), func(t dashscopesim.Submission) bool { return !t.Accepted || t.At.Before(created) })
		position = 1 + slices.IndexFunc(accepted, func(t dashscopesim.Submission) bool { return t.Prompt == otherPrompt })
	}

	prefix := fmt.Sprintf("backlog of %s tasks of one account, 5 in progress: ", groupThousands(total))

	return []measurement{
		{
			name:      prefix + "submissions up to and including another account's first task",
			target:    1,
			atMost:    true,
			measured:  float64(position),
			note:      "counted from its creation on",
			limitedBy: "fair queueing",
		},
		{
			name:      prefix + "CPU meanwhile",
			unit:      "s a minute",
			measured:  perMinute,
			limitedBy: "reading the first 1,000 positions every second; polls",
		},
	}, nil
}

// createAccount makes an account with credit, and returns a key of it.
func (s *server) createAccount(ctx context.Context, name string) (string, error) {
	c, err := client.New("http://operator", "", client.WithUnixSocket(filepath.Join(s.data, "unireel.sock")))
	if err != nil {
		return "", err
	}
	defer c.Close()

	a, err := c.Admin().CreateAccount(ctx, client.NewAccount{Name: name, Credit: "1000"})
	if err != nil {
		return "", err
	}

	key, err := c.Admin().CreateKey(ctx, a.ID, client.NewKey{Name: name})

	return key.Secret, err
}

// history measures how much slower creates and reads are with many finished tasks in
// the database.
func history(ctx context.Context, b *bench) ([]measurement, error) {
	supplier := b.newStalledSupplier()
	defer supplier.Close()

	measure := func(name string, rows int) (create, read result, err error) {
		s, err := b.newServer(ctx, name, supplier.URL)
		if err != nil {
			return create, read, err
		}
		defer func() { s.stop() }()

		s.stop()

		if _, err := b.fill(ctx, s, fillSpec{idPrefix: "DONE", count: rows, state: completed, queues: queues[:1]}); err != nil {
			return create, read, err
		}

		if err := s.start(ctx); err != nil {
			return create, read, err
		}

		const rate = 200

		ids := make([]string, int(rate*b.loadTime.Seconds()))

		create = s.openLoop(ctx, rate, b.loadTime, createOperation(ids))
		if err := checkFailures(create); err != nil {
			return create, read, err
		}

		read = s.openLoop(ctx, rate, b.loadTime, readOperation(ids)) // each task once, so that no cache helps

		return create, read, checkFailures(read)
	}

	emptyCreate, emptyRead, err := measure("empty", 0)
	if err != nil {
		return nil, err
	}

	fullCreate, fullRead, err := measure("history", b.rows)
	if err != nil {
		return nil, err
	}

	compare := func(name string, empty, full result) measurement {
		return measurement{
			name:      fmt.Sprintf("%s p50 with %s finished tasks, relative to an empty database", name, groupThousands(int64(b.rows))),
			unit:      "x",
			target:    1.3,
			atMost:    true,
			measured:  inMillis(full.quantile(500)) / inMillis(empty.quantile(500)),
			note:      formatMillis(full.quantile(500)) + " against " + formatMillis(empty.quantile(500)),
			limitedBy: "the depth of the indexes; the target is for 10 million tasks",
		}
	}

	return []measurement{compare("create", emptyCreate, fullCreate), compare("status", emptyRead, fullRead)}, nil
}
