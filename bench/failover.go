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

// The size of the failover scenario: replicas, the upstreams that they share, and
// the tasks that run at each upstream.
const (
	replicaCount     = 3
	upstreamCount    = 6
	tasksPerUpstream = 5
)

// pollTracker records for each remote ID which replica polled it last, and since when
// it has been that replica.
type pollTracker struct {
	mu         sync.Mutex
	byRemoteID map[string]poller
}

type poller struct {
	replica int
	since   time.Time
}

func (t *pollTracker) record(remoteID string, replica int) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if current, ok := t.byRemoteID[remoteID]; !ok || current.replica != replica {
		t.byRemoteID[remoteID] = poller{replica, time.Now()}
	}
}

func (t *pollTracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()

	return len(t.byRemoteID)
}

// polledBy returns the remote IDs that a replica polls.
func (t *pollTracker) polledBy(replica int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()

	var list []string

	for remoteID, current := range t.byRemoteID {
		if current.replica == replica {
			list = append(list, remoteID)
		}
	}

	return list
}

// since returns when the replica that now polls a remote ID polled it first.
func (t *pollTracker) since(remoteID string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.byRemoteID[remoteID].since
}

// waitUntil waits until condition reports true. what names the condition in the
// error.
func waitUntil(ctx context.Context, what string, timeout time.Duration, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	for !condition() {
		if !sleep(ctx, 10*time.Millisecond) {
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}

	return nil
}

// cluster is a group of replicas on one database. Each reaches the simulated supplier
// at a different address, which identifies the replica that polls.
type cluster struct {
	sim       *dashscopesim.Sim
	polls     pollTracker
	suppliers []*httptest.Server
	servers   []*server
}

func (c *cluster) stop() {
	for _, s := range c.servers {
		s.stop()
	}

	for _, supplier := range c.suppliers {
		supplier.Close()
	}
}

// supplierFor returns the supplier's handler for one replica; it records the
// replica's polls.
func (c *cluster) supplierFor(replica int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if remoteID, ok := strings.CutPrefix(r.URL.Path, "/api/v1/tasks/"); ok && r.Method == http.MethodGet && remoteID != "" {
			c.polls.record(remoteID, replica)
		}

		c.sim.ServeHTTP(w, r)
	})
}

// startCluster starts the supplier and the replicas, one after another.
func (b *bench) startCluster(ctx context.Context) (_ *cluster, err error) {
	c := &cluster{polls: pollTracker{byRemoteID: map[string]poller{}}}

	var keys []dashscopesim.Key
	for i := range upstreamCount {
		keys = append(keys, dashscopesim.Key{Secret: supplierKey(i), ID: fmt.Sprint(1000 + i), Account: fmt.Sprint(i)})
	}

	c.sim = dashscopesim.New(dashscopesim.Options{
		Keys:      keys,
		RenderMin: 24 * time.Hour,
		RenderMax: 24 * time.Hour,
		Video:     func(dashscopesim.Spec) ([]byte, error) { return b.video, nil },
	})

	defer func() {
		if err != nil {
			c.stop()
		}
	}()

	dsn, err := b.db.newDatabase(ctx)
	if err == nil {
		err = b.migrate(ctx, dsn)
	}

	if err != nil {
		return nil, err
	}

	for i := range replicaCount {
		supplier := httptest.NewServer(c.supplierFor(i))
		c.suppliers = append(c.suppliers, supplier)
		name := fmt.Sprintf("replica-%d", i)

		configFile, err := b.writeReplicaConfig(name, supplier.URL)
		if err != nil {
			return nil, err
		}

		s, err := b.startServer(ctx, name, dsn, "UNIREEL_CONFIG="+configFile)
		if err != nil {
			return nil, err
		}

		c.servers = append(c.servers, s)
	}

	return c, nil
}

func supplierKey(upstream int) string { return fmt.Sprintf("sk-simulated-%d", upstream) }

// writeReplicaConfig writes the configuration file of a replica and returns its
// path. All replicas have the same upstreams; only the supplier's address differs.
func (b *bench) writeReplicaConfig(name, url string) (string, error) {
	var s strings.Builder
	s.WriteString("upstreams:\n")

	for i := range upstreamCount {
		fmt.Fprintf(&s, "  - {name: supplier-%d, provider: dashscope, base_url: %q, api_key: %s}\n", i, url, supplierKey(i))
	}

	file := filepath.Join(b.folder, name+".yaml")

	return file, os.WriteFile(file, []byte(s.String()), 0o600)
}

// failover measures how long the tasks of a killed replica wait until another
// replica polls them.
func failover(ctx context.Context, b *bench) ([]measurement, error) {
	c, err := b.startCluster(ctx)
	if err != nil {
		return nil, err
	}
	defer c.stop()

	const running = upstreamCount * tasksPerUpstream
	if err := checkFailures(c.servers[0].runTotal(ctx, 8, running, createOperation(nil))); err != nil {
		return nil, err
	}

	allPolled := func() bool { return c.polls.count() == running }
	if err := waitUntil(ctx, fmt.Sprintf("wait until %d tasks are polled", running), 2*time.Minute, allPolled); err != nil {
		return nil, fmt.Errorf("only %d of %d submitted tasks are polled: %w; the replicas' logs: %s", c.polls.count(), len(c.sim.Submissions()), err, c.logs())
	}

	var waits []time.Duration

	for range b.kills {
		killWaits, err := c.killBusiest(ctx)
		if err != nil {
			return nil, err
		}

		waits = append(waits, killWaits...)
	}

	accepted := slices.DeleteFunc(c.sim.Submissions(), func(s dashscopesim.Submission) bool { return !s.Accepted })
	if len(accepted) != running {
		return nil, fmt.Errorf("%d tasks have %d submissions, want one each", running, len(accepted))
	}

	slices.Sort(waits)

	return []measurement{{
		name:     "failover of a killed replica's tasks: from kill -9 to the first poll by another replica, p99",
		unit:     "s",
		target:   12,
		atMost:   true,
		measured: quantile(waits, 990).Seconds(),
		note: fmt.Sprintf("p50 %.1f s, maximum %.1f s; %d polls after %d kills of the busiest of %d replicas, %d upstreams with %d tasks each; no task was submitted twice",
			quantile(waits, 500).Seconds(), quantile(waits, 1000).Seconds(), len(waits), b.kills, replicaCount, upstreamCount, tasksPerUpstream),
		limitedBy: "the rest of a lease of 10 s; other replicas check leases every 2 s; a first poll waits 2 s",
	}}, nil
}

// killBusiest kills the replica that polls the most tasks, returns how long each of
// them waited until another replica polled it, and starts the replica again.
func (c *cluster) killBusiest(ctx context.Context) ([]time.Duration, error) {
	victim := slices.Index(c.pollCounts(), slices.Max(c.pollCounts()))

	remoteIDs := c.polls.polledBy(victim)
	if len(remoteIDs) == 0 {
		return nil, errors.New("no replica polls any task")
	}

	start := time.Now()

	c.servers[victim].kill()

	takenOver := func() bool { return len(c.polls.polledBy(victim)) == 0 }
	if err := waitUntil(ctx, fmt.Sprintf("wait until other replicas poll the %d tasks of a killed replica", len(remoteIDs)), 2*time.Minute, takenOver); err != nil {
		return nil, err
	}

	var waits []time.Duration
	for _, remoteID := range remoteIDs {
		waits = append(waits, c.polls.since(remoteID).Sub(start))
	}

	if err := c.servers[victim].start(ctx); err != nil {
		return nil, err
	}

	sleep(ctx, 5*time.Second) // the replicas rebalance their leases

	return waits, ctx.Err()
}

// logs returns the logs of all replicas.
func (c *cluster) logs() string {
	var text strings.Builder

	for _, s := range c.servers {
		fmt.Fprintf(&text, "%s: %s\n", s.name, s.log.String())
	}

	return text.String()
}

// pollCounts returns how many remote IDs each replica polls.
func (c *cluster) pollCounts() []int {
	counts := make([]int, len(c.servers))
	for i := range counts {
		counts[i] = len(c.polls.polledBy(i))
	}

	return counts
}
