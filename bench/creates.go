package main

import (
	"context"
	"fmt"
	"time"
)

// creates measures durable creates over HTTP while the server dispatches tasks at
// the supplier's usual limits.
func creates(ctx context.Context, b *bench) ([]measurement, error) {
	supplier := b.newStalledSupplier()
	defer supplier.Close()

	s, err := b.newServer(ctx, "creates", supplier.URL)
	if err != nil {
		return nil, err
	}

	s.stop()

	customers, err := b.addCustomers(ctx, s, 1000)
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer s.stop()

	warmUp := s.closedLoop(ctx, 8, time.Second, createOperation(nil, customers...))
	steady := s.openLoop(ctx, 1000, b.loadTime, createOperation(nil, customers...))
	manyAccounts := s.closedLoop(ctx, 64, b.loadTime, createOperation(nil, customers...))
	hotAccount := s.closedLoop(ctx, 64, b.loadTime, createOperation(nil))

	manyClients := s.closedLoop(ctx, 256, b.loadTime, createOperation(nil, customers...))
	if err := checkFailures(warmUp, steady, manyAccounts, hotAccount, manyClients); err != nil {
		return nil, err
	}

	note := func(r result) string {
		return fmt.Sprintf("p50 %s, p99 %s; %s", formatMillis(r.quantile(500)), formatMillis(r.quantile(990)), r.coresText())
	}

	target := 6000.0
	hotTarget := 6000.0
	limitedBy := "the cores, shared with the load; a commit carries up to 128 creates"

	if b.db.name == postgres {
		target = 4000
		hotTarget = 3000
		limitedBy = "the cores, shared with the load and the database; a commit carries up to 64 creates, two commits are in flight"
	}

	return []measurement{
		{
			name:      "durable creates, 64 clients, 1,000 accounts",
			unit:      "/s",
			target:    target,
			measured:  manyAccounts.rate(),
			note:      note(manyAccounts),
			limitedBy: limitedBy,
		},
		{
			name:      "durable creates, 64 clients, one account",
			unit:      "/s",
			target:    hotTarget,
			measured:  hotAccount.rate(),
			note:      note(hotAccount),
			limitedBy: limitedBy,
		},
		{
			name:      "durable creates, 256 clients, 1,000 accounts",
			unit:      "/s",
			measured:  manyClients.rate(),
			note:      note(manyClients),
			limitedBy: limitedBy,
		},
		{
			name:      "latency of a create at 1,000/s, p99",
			unit:      "ms",
			target:    10,
			atMost:    true,
			measured:  inMillis(steady.quantile(990)),
			note:      note(steady),
			limitedBy: "an fsync, the commit before it, and other processes on the cores",
		},
	}, nil
}

// reads measures status reads over many tasks: first each task once, then again and
// again.
func reads(ctx context.Context, b *bench) ([]measurement, error) {
	supplier := b.newStalledSupplier()
	defer supplier.Close()

	s, err := b.newServer(ctx, "reads", supplier.URL)
	if err != nil {
		return nil, err
	}

	s.stop()

	const tasks = 100_000

	ids, err := b.fill(ctx, s, fillSpec{idPrefix: "READ", count: tasks, state: queued, queues: queues[:1]})
	if err != nil {
		return nil, err
	}

	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer s.stop()

	firstReads := s.runTotal(ctx, 64, tasks, readOperation(ids))

	repeatedReads := s.closedLoop(ctx, 64, b.loadTime, readOperation(ids))
	if err := checkFailures(firstReads, repeatedReads); err != nil {
		return nil, err
	}

	perCore := func(r result) float64 { return r.rate() / r.serverCores }
	note := func(r result) string {
		return fmt.Sprintf("%s/s in total, p99 %s; %s", formatNumber(r.rate()), formatMillis(r.quantile(990)), r.coresText())
	}

	rssText := fmt.Sprintf("RSS %.0f MiB", rss(s.pid()))
	if b.db.name == sqlite {
		rssText += fmt.Sprintf(", %.0f MiB without the mapped database", anonRSS(s.pid()))
	}

	return []measurement{
		{
			name:      "status reads, uniform over 100,000 tasks, 64 keep-alive connections",
			unit:      "/s per core of the server",
			target:    25_000,
			measured:  perCore(repeatedReads),
			note:      note(repeatedReads) + "; " + rssText,
			limitedBy: "net/http, routing, checking keys, encoding the response",
		},
		{
			name:      "the same, each task for the first time",
			unit:      "/s per core of the server",
			measured:  perCore(firstReads),
			note:      note(firstReads),
			limitedBy: "two reads of the database for a task that is not in the cache",
		},
	}, nil
}
