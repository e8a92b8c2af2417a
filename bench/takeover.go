package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// How many there are in a take-over: upstreams that the replicas share between
// them, and tasks that run at each.
const (
	replicas    = 3
	upstreams   = 6
	runningEach = 5
)

// asking knows of each ticket which replica asked about it last, and since when
// it is that one.
type asking struct {
	mu      sync.Mutex
	tickets map[string]asker
}

type asker struct {
	replica int
	since   time.Time
}

func (a *asking) note(ticket string, replica int) {
	a.mu.Lock()
	defer a.mu.Unlock()

	if now, ok := a.tickets[ticket]; !ok || now.replica != replica {
		a.tickets[ticket] = asker{replica, time.Now()}
	}
}

func (a *asking) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()

	return len(a.tickets)
}

// of lists the tickets that a replica asks about.
func (a *asking) of(replica int) []string {
	a.mu.Lock()
	defer a.mu.Unlock()

	var list []string

	for ticket, now := range a.tickets {
		if now.replica == replica {
			list = append(list, ticket)
		}
	}

	return list
}

// since says when a ticket came to the one who asks about it.
func (a *asking) since(ticket string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.tickets[ticket].since
}

// until waits for something to be so.
func until(ctx context.Context, what string, within time.Duration, is func() bool) error {
	ctx, over := context.WithTimeout(ctx, within)
	defer over()

	for !is() {
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}

	return nil
}

// crew is some replicas on one database, each with the supplier at an address of
// its own, which tells who asks.
type crew struct {
	sim     *dashscopesim.Sim
	asking  asking
	sups    []*httptest.Server
	members []*server
}

func (c *crew) stop() {
	for _, s := range c.members {
		s.stop()
	}

	for _, sup := range c.sups {
		sup.Close()
	}
}

// doorTo is the supplier as a replica reaches it.
func (c *crew) doorTo(replica int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ticket, ok := strings.CutPrefix(r.URL.Path, "/api/v1/tasks/"); ok && r.Method == http.MethodGet && ticket != "" {
			c.asking.note(ticket, replica)
		}

		c.sim.ServeHTTP(w, r)
	})
}

// gather starts the replicas one after another.
func (b *bench) gather(ctx context.Context) (_ *crew, err error) {
	c := &crew{asking: asking{tickets: map[string]asker{}}}

	var keys []dashscopesim.Key
	for i := range upstreams {
		keys = append(keys, dashscopesim.Key{Secret: secret(i), ID: fmt.Sprint(1000 + i), Account: fmt.Sprint(i)})
	}

	c.sim = dashscopesim.New(dashscopesim.Options{
		Keys: keys, RenderMin: 24 * time.Hour, RenderMax: 24 * time.Hour, Video: func(dashscopesim.Spec) ([]byte, error) { return b.film, nil },
	})

	defer func() {
		if err != nil {
			c.stop()
		}
	}()

	dsn, err := b.on.fresh(ctx)
	if err == nil {
		err = b.migrate(ctx, dsn)
	}

	if err != nil {
		return nil, err
	}

	for i := range replicas {
		sup := httptest.NewServer(c.doorTo(i))
		c.sups = append(c.sups, sup)
		name := fmt.Sprintf("replica-%d", i)

		file, err := b.shared(name, sup.URL)
		if err != nil {
			return nil, err
		}

		s, err := b.join(ctx, name, dsn, "UNIREEL_CONFIG="+file)
		if err != nil {
			return nil, err
		}

		c.members = append(c.members, s)
	}

	return c, nil
}

func secret(upstream int) string { return fmt.Sprintf("sk-simulated-%d", upstream) }

// shared writes a replica's configuration: the upstreams that all of them have.
func (b *bench) shared(name, url string) (string, error) {
	var s strings.Builder
	s.WriteString("upstreams:\n")

	for i := range upstreams {
		fmt.Fprintf(&s, "  - {name: supplier-%d, provider: dashscope, base_url: %q, api_key: %s}\n", i, url, secret(i))
	}

	file := filepath.Join(b.folder, name+".yaml")

	return file, os.WriteFile(file, []byte(s.String()), 0o600)
}

// takeover: a replica dies by kill -9, and another goes on asking about its tasks.
func takeover(ctx context.Context, b *bench) ([]line, error) {
	c, err := b.gather(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()

	const running = upstreams * runningEach
	if err := check(c.members[0].each(ctx, 8, running, creating(nil))); err != nil {
		return nil, err
	}

	asked := func() bool { return c.asking.count() == running }
	if err := until(ctx, fmt.Sprintf("%d tasks are asked about", running), 2*time.Minute, asked); err != nil {
		return nil, fmt.Errorf("only %d of %d submitted: %w; they said: %s", c.asking.count(), len(c.sim.Submissions()), err, c.said())
	}

	var all []time.Duration

	for range b.kills {
		took, err := c.lose(ctx)
		if err != nil {
			return nil, err
		}

		all = append(all, took...)
	}

	taken := slices.DeleteFunc(c.sim.Submissions(), func(s dashscopesim.Submission) bool { return !s.Accepted })
	if len(taken) != running {
		return nil, fmt.Errorf("%d tasks were submitted %d times", running, len(taken))
	}

	slices.Sort(all)

	return []line{{
		name: "take-over of a dead replica's tasks: from kill -9 to another's first poll, p99", unit: "s", target: 12, most: true, measured: share(all, 990).Seconds(),
		also: fmt.Sprintf("p50 %.1f s, most %.1f s; %d polls after %d kills of the busiest of %d replicas, %d upstreams with %d tasks each; none was submitted twice",
			share(all, 500).Seconds(), share(all, 1000).Seconds(), len(all), b.kills, replicas, upstreams, runningEach),
		bounds: "what is left of a lease of 10 s; others look every 2 s; a first poll waits 2 s",
	}}, nil
}

// lose kills the replica with the most tasks, says how long each of them waited
// for another one, and lets it come back.
func (c *crew) lose(ctx context.Context) ([]time.Duration, error) {
	victim := slices.Index(c.load(), slices.Max(c.load()))

	tickets := c.asking.of(victim)
	if len(tickets) == 0 {
		return nil, errors.New("no replica asks about any task")
	}

	begin := time.Now()

	c.members[victim].kill()

	taken := func() bool { return len(c.asking.of(victim)) == 0 }
	if err := until(ctx, fmt.Sprintf("others ask about the %d tasks of a dead replica", len(tickets)), 2*time.Minute, taken); err != nil {
		return nil, err
	}

	var took []time.Duration
	for _, ticket := range tickets {
		took = append(took, c.asking.since(ticket).Sub(begin))
	}

	if err := c.members[victim].start(ctx); err != nil {
		return nil, err
	}

	pause(ctx, 5*time.Second) // it finds its place

	return took, ctx.Err()
}

// said is what the replicas logged.
func (c *crew) said() string {
	var text strings.Builder
	for _, s := range c.members {
		fmt.Fprintf(&text, "%s: %s\n", s.name, s.log.String())
	}

	return text.String()
}

// load counts the tickets of each replica.
func (c *crew) load() []int {
	counts := make([]int, len(c.members))
	for i := range counts {
		counts[i] = len(c.asking.of(i))
	}

	return counts
}
