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

// backlog: a great queue of 1,000 accounts in several lanes, with a tenth as many
// running: its memory, its claims, and getting up after kill -9.
func backlog(ctx context.Context, b *bench) ([]line, error) {
	sup, asked := rendering()
	defer sup.Close()

	running := b.rows / 10

	s, err := b.newServer(ctx, "backlog", sup.URL, fmt.Sprintf("UNIREEL_IN_PROGRESS=%d", running/len(lanes)))
	if err != nil {
		return nil, err
	}

	s.stop()

	of, err := b.customers(ctx, s, 1000)
	if err != nil {
		return nil, err
	}

	if _, err := b.fill(ctx, s, order{mark: "WAIT", n: b.rows + running, state: queued, of: of, lanes: lanes}); err != nil {
		return nil, err
	}

	claims, also, err := b.claims(ctx, s, running)
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}

	still := s.meanwhile(func() { pause(ctx, max(b.burst, 10*time.Second)) }) // all slots are taken
	memory := rss(s.pid())
	s.kill()

	ready, polling, err := s.again(ctx, asked)
	defer s.stop()

	if err != nil {
		return nil, err
	}

	soon, claiming, getting := b.backlogBounds()
	what := fmt.Sprintf("%s queued + %s running: ", thousands(int64(b.rows)), thousands(int64(running)))

	return []line{
		{name: what + "RSS", unit: "MiB", target: 1024, most: true, measured: memory, bounds: "queues are tables; what runs is in memory"},
		{
			name: what + "processor meanwhile", unit: "cores", measured: still.server + still.db, also: still.cores(),
			bounds: "polls; a look at the first 1,000 places of each lane each second",
		},
		{name: what + "claims", unit: "/s", target: 2000, measured: claims, also: also, bounds: claiming},
		{name: what + "ready after kill -9", unit: "s", target: 10, most: true, measured: ready.Seconds(), bounds: "reading what is queued, a sum for each lane"},
		{name: what + "polls again after kill -9", unit: "s", target: soon, most: true, measured: polling.Seconds(), bounds: getting},
	}, nil
}

// again starts a killed server, and says when it answered and when it asked the
// supplier.
func (s *server) again(ctx context.Context, asked *atomic.Int64) (ready, polling time.Duration, err error) {
	before := asked.Load()
	begin := time.Now()

	if err := s.start(ctx); err != nil {
		return 0, 0, err
	}

	ready = time.Since(begin)
	err = until(ctx, "something is polled after kill -9", 2*time.Minute, func() bool { return asked.Load() > before })

	return ready, time.Since(begin), err
}

// backlogBounds says how soon polls shall come back, and what bounds claims and
// that.
func (b *bench) backlogBounds() (soon float64, claims, polls string) {
	polls = "reading what runs, row by row; a first poll waits 2 s"
	if b.on.name == postgres {
		return 12, "a commit each; claims of one lane follow one another where its time moves on", "the dead server's leases, of 10 s; " + polls
	}

	return 10, "the writer, whose commits they share", polls
}

// claims is claim with what belongs beside it.
func (b *bench) claims(ctx context.Context, s *server, n int) (rate float64, also string, err error) {
	var tasks, turns int64
	if s.dsn != "" {
		if tasks, turns, err = scanned(ctx, s.dsn); err != nil {
			return 0, "", err
		}
	}

	if rate, err = b.claim(ctx, s, n); err != nil {
		return 0, "", err
	}

	also = fmt.Sprintf("1,000 accounts, %d lanes, 32 claims at once, on the store without a server", len(lanes))

	if s.dsn != "" {
		tasksAfter, turnsAfter, err := scanned(ctx, s.dsn)
		if err != nil {
			return 0, "", err
		}

		also += fmt.Sprintf("; %s rows of tasks and %s of turns read by scans", thousands(tasksAfter-tasks), thousands(turnsAfter-turns))
	}

	return rate, also, nil
}

// floodRender is long enough to look at a backlog while nothing moves.
const floodRender = 20 * time.Second

// flood: one account's backlog before another's first task, and what it costs to
// have one.
func flood(ctx context.Context, b *bench) ([]line, error) {
	sim, sup := b.supplier(dashscopesim.Options{RenderMin: floodRender, RenderMax: floodRender})
	defer sup.Close()

	s, err := b.newServer(ctx, "flood", sup.URL)
	if err != nil {
		return nil, err
	}
	defer s.stop()

	other, err := s.account(ctx, "another")
	if err != nil {
		return nil, err
	}

	const total = 100_000
	if err := check(s.each(ctx, 64, total, creating(nil))); err != nil {
		return nil, err
	}

	pause(ctx, 2*time.Second)

	used := cpu(s.pid())
	begin := time.Now()

	pause(ctx, 10*time.Second)

	perMinute := (cpu(s.pid()) - used) / time.Since(begin).Minutes()

	const first = "the other account's first"

	c := s.caller()

	c.key = other
	defer c.close()

	if _, err := c.create(ctx, request(first)); err != nil {
		return nil, err
	}

	created := time.Now()

	place := 0
	for place == 0 {
		if !pause(ctx, 50*time.Millisecond) || time.Since(created) > 3*time.Minute {
			return nil, errors.Join(errors.New("the other account's task was not submitted"), ctx.Err())
		}

		later := slices.DeleteFunc(sim.Submissions(), func(t dashscopesim.Submission) bool { return !t.Accepted || t.At.Before(created) })
		place = 1 + slices.IndexFunc(later, func(t dashscopesim.Submission) bool { return t.Prompt == first })
	}

	what := fmt.Sprintf("one account floods %s tasks, 5 in progress: ", thousands(total))

	return []line{
		{name: what + "another's first task is submitted as number", target: 1, most: true, measured: float64(place), also: "counted from its creation on", bounds: "the fair order"},
		{
			name: what + "processor meanwhile", unit: "s a minute", measured: perMinute,
			bounds: "a look at the first 1,000 places each second; polls",
		},
	}, nil
}

// account makes an account with credit and returns its key.
func (s *server) account(ctx context.Context, name string) (string, error) {
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

// finished: what many finished tasks cost those who come later.
func finished(ctx context.Context, b *bench) ([]line, error) {
	sup := b.paused()
	defer sup.Close()

	measure := func(name string, rows int) (create, read result, err error) {
		s, err := b.newServer(ctx, name, sup.URL)
		if err != nil {
			return create, read, err
		}
		defer func() { s.stop() }()

		s.stop()

		if _, err := b.fill(ctx, s, order{mark: "DONE", n: rows, state: completed, lanes: lanes[:1]}); err != nil {
			return create, read, err
		}

		if err := s.start(ctx); err != nil {
			return create, read, err
		}

		const rate = 200

		ids := make([]string, int(rate*b.burst.Seconds()))

		create = s.offered(ctx, rate, b.burst, creating(ids))
		if err := check(create); err != nil {
			return create, read, err
		}

		read = s.offered(ctx, rate, b.burst, reading(ids)) // each once: from the database

		return create, read, check(read)
	}

	create0, read0, err := measure("empty", 0)
	if err != nil {
		return nil, err
	}

	create1, read1, err := measure("finished", b.rows)
	if err != nil {
		return nil, err
	}

	both := func(name string, empty, full result) line {
		return line{
			name: fmt.Sprintf("%s p50 with %s finished tasks, against an empty database", name, thousands(int64(b.rows))), unit: "x", target: 1.3, most: true,
			measured: in(full.share(500)) / in(empty.share(500)), also: millis(full.share(500)) + " against " + millis(empty.share(500)),
			bounds: "the depth of the indexes; the target is for 10 million",
		}
	}

	return []line{both("create", create0, create1), both("status", read0, read1)}, nil
}
