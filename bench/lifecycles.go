package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// lifecycles measures tasks from create to completed, with a supplier that renders
// in 1 to 2 ms: with several accounts at the supplier, which so many tasks would
// need, and with one.
func lifecycles(ctx context.Context, b *bench) ([]measurement, error) {
	const accounts = 4

	manyAccounts, err := b.runLifecycles(ctx, "lifecycles", accounts, b.lifecycleTime)
	if err != nil {
		return nil, err
	}

	oneAccount, err := b.runLifecycles(ctx, "one-account", 1, b.lifecycleTime/3)
	if err != nil {
		return nil, err
	}

	return []measurement{
		{
			name:      fmt.Sprintf("tasks completed, %d accounts at the supplier, over the second half of %s", accounts, b.lifecycleTime),
			unit:      "/s",
			target:    500,
			measured:  manyAccounts.rate(),
			note:      manyAccounts.coresText(),
			limitedBy: "the cores and the fsyncs: each task needs seven commits and one durable file, and has a customer who waits",
		},
		{
			name:      "memory of the server after these tasks",
			unit:      "MiB",
			measured:  manyAccounts.rssEnd,
			note:      fmt.Sprintf("%.0f MiB half-way, %.0f MiB at the start; %s customers waiting", manyAccounts.rssHalf, manyAccounts.rssStart, groupThousands(waitingCustomers)),
			limitedBy: "open connections, tasks in progress",
		},
		{
			name:      "tasks completed, one account at the supplier",
			unit:      "/s",
			measured:  oneAccount.rate(),
			note:      oneAccount.coresText(),
			limitedBy: "the submitter: one submission in flight, with a commit before it, a new connection, and a commit after it",
		},
	}, nil
}

// waitingCustomers is how many customers have a task in progress. They are many
// because each task waits at least 2 s for its first poll.
const waitingCustomers = 2000

// lifecycleResult is the outcome of a run of lifecycles. Rate and cores are those of
// its second half; memory is in MiB.
type lifecycleResult struct {
	result
	rssStart, rssHalf, rssEnd float64
}

// runLifecycles has customers who create a task, wait until it is completed, and
// create the next one, for duration.
func (b *bench) runLifecycles(ctx context.Context, name string, accounts int, duration time.Duration) (lifecycleResult, error) {
	_, supplier := b.newSupplier(dashscopesim.Options{
		RenderMin: time.Millisecond,
		RenderMax: 2 * time.Millisecond,
		QueueTime: time.Millisecond,
		Limits: dashscopesim.Limits{
			Submits:    dashscopesim.Unlimited,
			InProgress: dashscopesim.Unlimited,
			Queries:    dashscopesim.Unlimited,
		},
	})
	defer supplier.Close()

	configFile, err := b.writeSupplierConfig(name, supplier.URL, accounts)
	if err != nil {
		return lifecycleResult{}, err
	}

	s, err := b.newServer(ctx, name, "", "UNIREEL_CONFIG="+configFile)
	if err != nil {
		return lifecycleResult{}, err
	}
	defer s.stop()

	runCtx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()

	var (
		ended atomic.Int64
		found lifecycleResult
	)

	found.rssStart = rss(s.pid())
	measured := make(chan result, 1)

	go func() {
		sleep(runCtx, duration/2)

		found.rssHalf = rss(s.pid())
		before := ended.Load()
		r := s.measureUsage(func() { <-runCtx.Done() })
		found.rssEnd = rss(s.pid())

		r.succeeded = ended.Load() - before
		measured <- r
	}()

	body := requestBody(samplePrompt)
	r := s.closedLoop(runCtx, waitingCustomers, duration, func(ctx context.Context, c *apiClient, _ int64) error {
		id, err := c.create(ctx, body)
		if err == nil {
			err = c.waitFinal(ctx, id)
		}

		switch {
		case runCtx.Err() != nil:
			err = nil // the end of the run interrupted the request
		case err == nil:
			ended.Add(1)
		}

		return err
	})

	cancel()

	found.result = <-measured

	return found, checkFailures(r)
}

// writeSupplierConfig writes a configuration file with n accounts at the supplier
// and returns its path.
func (b *bench) writeSupplierConfig(name, url string, n int) (string, error) {
	var s strings.Builder
	s.WriteString("upstreams:\n")

	for i := range n {
		fmt.Fprintf(&s, "  - {name: supplier-%d, provider: dashscope, base_url: %q, api_key: sk-simulated-%d, limits: {submits_per_second: 100000, in_progress: 100000, queries_per_second: 1000000}}\n", i, url, i)
	}

	path := filepath.Join(b.folder, name+".yaml")

	return path, os.WriteFile(path, []byte(s.String()), 0o600)
}

const hundredRenderTime = 5 * time.Second

// hundredTasks measures 100 tasks of 5 s each with a supplier that renders 100 tasks
// at a time.
func hundredTasks(ctx context.Context, b *bench) ([]measurement, error) {
	sim, supplier := b.newSupplier(dashscopesim.Options{
		RenderMin: hundredRenderTime,
		RenderMax: hundredRenderTime,
		Limits:    dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: 100, Queries: 1000},
	})
	defer supplier.Close()

	s, err := b.newServer(ctx, "hundred-tasks", supplier.URL, "UNIREEL_SUBMITS_PER_SECOND=1000", "UNIREEL_IN_PROGRESS=100", "UNIREEL_QUERIES_PER_SECOND=1000")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	cold, _, err := s.runHundred(ctx, sim, "cold")
	if err != nil {
		return nil, err
	}

	warm, lags, err := s.runHundred(ctx, sim, "warm") // now the server knows how long a render takes
	if err != nil {
		return nil, err
	}

	const limitedBy = "the render time of 5 s; a poll interval of 2 s; eight videos are collected at a time"

	return []measurement{
		{
			name:      "100 tasks of 5 s, 100 in progress, 1,000 queries/s: until the last is completed",
			unit:      "s",
			target:    6.5,
			atMost:    true,
			measured:  warm.elapsed.Seconds(),
			note:      fmt.Sprintf("%.1f s before the server knows the model's render time; %s", cold.elapsed.Seconds(), warm.coresText()),
			limitedBy: limitedBy,
		},
		{
			name:      "the same, from the end of the render to `completed`, default poll intervals: p50",
			unit:      "s",
			target:    1,
			atMost:    true,
			measured:  quantile(lags, 500).Seconds(),
			note:      fmt.Sprintf("p90 %.1f s, maximum %.1f s; half of the shortest poll interval is 1 s", quantile(lags, 900).Seconds(), quantile(lags, 1000).Seconds()),
			limitedBy: limitedBy,
		},
	}, nil
}

// runHundred creates 100 tasks and returns for each how long after the end of its
// render the customer saw it completed, sorted.
func (s *server) runHundred(ctx context.Context, sim *dashscopesim.Sim, label string) (result, []time.Duration, error) {
	var mu sync.Mutex

	endedAt := map[string]time.Time{} // by prompt
	r := s.runTotal(ctx, 100, 100, func(ctx context.Context, c *apiClient, i int64) error {
		prompt := fmt.Sprintf("a quiet sea at dawn, %s %d", label, i)

		id, err := c.create(ctx, requestBody(prompt))
		if err == nil {
			err = c.waitFinal(ctx, id)
		}

		mu.Lock()
		defer mu.Unlock()

		endedAt[prompt] = time.Now()

		return err
	})

	var lags []time.Duration

	for _, submission := range sim.Submissions() {
		if end, ok := endedAt[submission.Prompt]; ok && submission.Accepted {
			lags = append(lags, end.Sub(submission.At.Add(hundredRenderTime)))
		}
	}

	slices.Sort(lags)

	return r, lags, checkFailures(r)
}
