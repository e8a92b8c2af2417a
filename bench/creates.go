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
	defer s.stop()
	warm := s.closed(ctx, 8, time.Second, creating(nil))
	steady := s.offered(ctx, 1000, b.burst, creating(nil))
	few := s.closed(ctx, 64, b.burst, creating(nil))
	many := s.closed(ctx, 256, b.burst, creating(nil))
	if err := check(warm, steady, few, many); err != nil {
		return nil, err
	}
	also := func(r result) string {
		return fmt.Sprintf("p50 %s, p99 %s; %s", millis(r.share(500)), millis(r.share(990)), r.cores())
	}
	const bounds = "the cores, shared with the load; a commit carries up to 128 creates"
	return []line{
		{name: "durable creates, 64 clients", unit: "/s", target: 6000, measured: few.rate(), also: also(few), bounds: bounds},
		{name: "durable creates, 256 clients", unit: "/s", measured: many.rate(), also: also(many), bounds: bounds},
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
	ids, err := b.fill(ctx, s, "READ", tasks, queued)
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
	return []line{
		{
			name: "status reads, uniform over 100,000 tasks, 64 kept-alive connections", unit: "/s for a core of the server", target: 25_000,
			measured: perCore(again), also: also(again) + fmt.Sprintf("; RSS %.0f MiB, %.0f MiB without the mapped database", rss(s.pid()), own(s.pid())), bounds: "net/http, routes and keys; encoding the answer",
		},
		{
			name: "the same, each task for the first time", unit: "/s for a core of the server", measured: perCore(first), also: also(first),
			bounds: "two reads of SQLite for an answer that is not at hand",
		},
	}, nil
}
