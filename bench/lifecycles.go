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

// lifecycles: whole tasks against a supplier that is done at once: with several
// accounts there, as so many tasks would need, and with one.
func lifecycles(ctx context.Context, b *bench) ([]line, error) {
	const accounts = 4

	many, err := b.lifecycle(ctx, "lifecycles", accounts, b.time)
	if err != nil {
		return nil, err
	}

	one, err := b.lifecycle(ctx, "one-account", 1, b.time/3)
	if err != nil {
		return nil, err
	}

	return []line{
		{
			name: fmt.Sprintf("whole lifecycles with %d accounts at the supplier, over the second half of %s", accounts, b.time), unit: "/s", target: 500, measured: many.rate(), also: many.cores(),
			bounds: "the cores and the fsyncs: seven commits, a file made durable, and a customer who waits, for each",
		},
		{
			name: "memory of the server after these", unit: "MiB", measured: many.end, also: fmt.Sprintf("%.0f MiB half-way, %.0f MiB at the start; %s customers waiting", many.half, many.start, thousands(waiting)),
			bounds: "open connections, the tasks on their way",
		},
		{
			name: "whole lifecycles with one account at the supplier", unit: "/s", measured: one.rate(), also: one.cores(),
			bounds: "its gate: one submission in flight, with a commit before, a new connection and a commit after",
		},
	}, nil
}

// waiting is how many customers have a task on its way: each waits at least 2 s
// for its first poll.
const waiting = 2000

// lives is what a run of whole lifecycles found; rate and cores are those of its
// second half, memory is in MiB.
type lives struct {
	result
	start, half, end float64
}

func (b *bench) lifecycle(ctx context.Context, name string, accounts int, during time.Duration) (lives, error) {
	_, sup := b.supplier(dashscopesim.Options{
		RenderMin: time.Millisecond, RenderMax: 2 * time.Millisecond, Pending: time.Millisecond,
		Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: dashscopesim.Unlimited, Queries: dashscopesim.Unlimited},
	})
	defer sup.Close()

	file, err := b.accounts(name, sup.URL, accounts)
	if err != nil {
		return lives{}, err
	}

	s, err := b.newServer(ctx, name, "", "UNIREEL_CONFIG="+file)
	if err != nil {
		return lives{}, err
	}
	defer s.stop()

	running, over := context.WithTimeout(ctx, during)
	defer over()

	var (
		ended atomic.Int64
		l     lives
	)

	l.start = rss(s.pid())
	measured := make(chan result, 1)

	go func() {
		pause(running, during/2)

		l.half = rss(s.pid())
		before := ended.Load()
		r := s.meanwhile(func() { <-running.Done() })
		l.end = rss(s.pid())

		r.done = ended.Load() - before
		measured <- r
	}()

	body := request(sea)
	r := s.closed(running, waiting, during, func(ctx context.Context, c *caller, _ int64) error {
		id, err := c.create(ctx, body)
		if err == nil {
			err = c.final(ctx, id)
		}

		switch {
		case running.Err() != nil:
			err = nil // cut off by the end of the run
		case err == nil:
			ended.Add(1)
		}

		return err
	})

	over()

	l.result = <-measured

	return l, check(r)
}

// accounts writes a configuration with some accounts at the supplier.
func (b *bench) accounts(name, url string, n int) (string, error) {
	var s strings.Builder
	s.WriteString("upstreams:\n")

	for i := range n {
		fmt.Fprintf(&s, "  - {name: supplier-%d, provider: dashscope, base_url: %q, api_key: sk-simulated-%d, limits: {submits_per_second: 100000, in_progress: 100000, queries_per_second: 1000000}}\n", i, url, i)
	}

	path := filepath.Join(b.folder, name+".yaml")

	return path, os.WriteFile(path, []byte(s.String()), 0o600)
}

const hundredRender = 5 * time.Second

// hundred: 100 tasks of 5 s each against a supplier that takes 100 at once.
func hundred(ctx context.Context, b *bench) ([]line, error) {
	sim, sup := b.supplier(dashscopesim.Options{
		RenderMin: hundredRender, RenderMax: hundredRender, Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: 100, Queries: 1000},
	})
	defer sup.Close()

	s, err := b.newServer(ctx, "hundred", sup.URL, "UNIREEL_SUBMITS_PER_SECOND=1000", "UNIREEL_IN_PROGRESS=100", "UNIREEL_QUERIES_PER_SECOND=1000")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	cold, _, err := s.hundred(ctx, sim, "cold")
	if err != nil {
		return nil, err
	}

	warm, lags, err := s.hundred(ctx, sim, "warm") // the first hundred taught how long a render takes
	if err != nil {
		return nil, err
	}

	const bounds = "the render itself is 5 s, polls come every 2 s; eight videos are collected at a time"

	return []line{
		{
			name: "100 tasks of 5 s, 100 in progress, 1,000 queries/s: the last", unit: "s", target: 6.5, most: true, measured: warm.took.Seconds(),
			also: fmt.Sprintf("%.1f s before anything is known of the model; %s", cold.took.Seconds(), warm.cores()), bounds: bounds,
		},
		{
			name: "from the supplier's end to `completed`, default poll times: p50 of these", unit: "s", target: 1, most: true, measured: share(lags, 500).Seconds(),
			also:   fmt.Sprintf("p90 %.1f s, most %.1f s; half of the least poll interval is 1 s", share(lags, 900).Seconds(), share(lags, 1000).Seconds()),
			bounds: bounds,
		},
	}, nil
}

// hundred makes 100 tasks and says for each how long after the supplier's end it
// was seen completed.
func (s *server) hundred(ctx context.Context, sim *dashscopesim.Sim, kind string) (result, []time.Duration, error) {
	var mu sync.Mutex

	ends := map[string]time.Time{} // by prompt
	r := s.each(ctx, 100, 100, func(ctx context.Context, c *caller, i int64) error {
		prompt := fmt.Sprintf("a quiet sea at dawn, %s %d", kind, i)

		id, err := c.create(ctx, request(prompt))
		if err == nil {
			err = c.final(ctx, id)
		}

		mu.Lock()
		defer mu.Unlock()

		ends[prompt] = time.Now()

		return err
	})

	var lags []time.Duration

	for _, sent := range sim.Submissions() {
		if end, ok := ends[sent.Prompt]; ok && sent.Accepted {
			lags = append(lags, end.Sub(sent.At.Add(hundredRender)))
		}
	}

	slices.Sort(lags)

	return r, lags, check(r)
}
