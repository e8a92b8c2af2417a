package main

import (
	"context"
	"fmt"
	"time"
)

// creates: durable creates through HTTP, while dispatch works at the supplier's
// usual limits.
func creates(ctx context.Context, b *bench) ([]line, error) {
	sup := b.paused()
	defer sup.Close()

	s, err := b.newServer(ctx, "creates", sup.URL)
	if err != nil {
		return nil, err
	}

	s.stop()

	of, err := b.customers(ctx, s, 1000)
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer s.stop()

	warm := s.closed(ctx, 8, time.Second, creating(nil, of...))
	steady := s.offered(ctx, 1000, b.burst, creating(nil, of...))
	spread := s.closed(ctx, 64, b.burst, creating(nil, of...))
	hot := s.closed(ctx, 64, b.burst, creating(nil))

	many := s.closed(ctx, 256, b.burst, creating(nil, of...))
	if err := check(warm, steady, spread, hot, many); err != nil {
		return nil, err
	}

	also := func(r result) string {
		return fmt.Sprintf("p50 %s, p99 %s; %s", millis(r.share(500)), millis(r.share(990)), r.cores())
	}
	least := 6000.0
	leastHot := 6000.0
	bounds := "the cores, shared with the load; a commit carries up to 128 creates"

	if b.on.name == postgres {
		least = 4000
		leastHot = 3000
		bounds = "the cores, shared with the load and the database; a commit carries up to 64 creates, two are on their way"
	}

	return []line{
		{name: "durable creates, 64 clients, 1,000 accounts", unit: "/s", target: least, measured: spread.rate(), also: also(spread), bounds: bounds},
		{name: "durable creates, 64 clients, one hot account", unit: "/s", target: leastHot, measured: hot.rate(), also: also(hot), bounds: bounds},
		{name: "durable creates, 256 clients, 1,000 accounts", unit: "/s", measured: many.rate(), also: also(many), bounds: bounds},
		{
			name: "a create at 1,000/s offered, p99", unit: "ms", target: 10, most: true, measured: in(steady.share(990)), also: also(steady),
			bounds: "an fsync, the commit before it, and who else has the cores",
		},
	}, nil
}

// reads: status reads over many tasks, each once and then again and again.
func reads(ctx context.Context, b *bench) ([]line, error) {
	sup := b.paused()
	defer sup.Close()

	s, err := b.newServer(ctx, "reads", sup.URL)
	if err != nil {
		return nil, err
	}

	s.stop()

	const tasks = 100_000

	ids, err := b.fill(ctx, s, order{mark: "READ", n: tasks, state: queued, lanes: lanes[:1]})
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer s.stop()

	first := s.each(ctx, 64, tasks, reading(ids))

	again := s.closed(ctx, 64, b.burst, reading(ids))
	if err := check(first, again); err != nil {
		return nil, err
	}

	perCore := func(r result) float64 { return r.rate() / r.server }
	also := func(r result) string {
		return fmt.Sprintf("%s/s in all, p99 %s; %s", figure(r.rate()), millis(r.share(990)), r.cores())
	}

	memory := fmt.Sprintf("RSS %.0f MiB", rss(s.pid()))
	if b.on.name == sqlite {
		memory += fmt.Sprintf(", %.0f MiB without the mapped database", own(s.pid()))
	}

	return []line{
		{
			name: "status reads, uniform over 100,000 tasks, 64 kept-alive connections", unit: "/s for a core of the server", target: 25_000,
			measured: perCore(again), also: also(again) + "; " + memory, bounds: "net/http, routes and keys; encoding the answer",
		},
		{
			name: "the same, each task for the first time", unit: "/s for a core of the server", measured: perCore(first), also: also(first),
			bounds: "two reads of the database for an answer that is not at hand",
		},
	}, nil
}
