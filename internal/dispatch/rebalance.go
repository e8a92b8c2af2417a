package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// distribution is how many upstreams each live replica serves.
type distribution struct {
	own   int
	peers []peer
}

// peer is another live replica.
type peer struct {
	id             string
	knownUpstreams []string
	served         int // number of upstreams
}

func (p peer) canServe(up *upstream) bool { return slices.Contains(p.knownUpstreams, up.Name) }

// replicaRow returns the row by which the other replicas know this one.
func (d *Dispatch) replicaRow() store.Replica {
	r := store.Replica{ID: d.owner, Name: d.ReplicaName}
	for _, up := range d.registry.list() {
		if up.leaseID == up.Name { // each replica has an embedded renderer of its own; it is not shared
			r.Serves = append(r.Serves, up.Name)
		}
	}

	return r
}

// distribution counts the upstreams that each replica serves. Embedded renderers do not count.
func (c *coordinator) distribution(snapshot leaseSnapshot) distribution {
	servedBy := map[string]int{}

	for _, row := range snapshot.leases {
		if row.Remaining > 0 && row.ID != store.BackgroundLease && task.ParseUpstreamID(row.ID).Process == "" {
			servedBy[row.Owner]++
		}
	}

	dist := distribution{own: servedBy[c.d.owner]}
	for _, r := range snapshot.replicas {
		if r.ID != c.d.owner {
			dist.peers = append(dist.peers, peer{id: r.ID, knownUpstreams: r.Serves, served: servedBy[r.ID]})
		}
	}

	return dist
}

// deferToPeer reports whether a free upstream is left to a replica that serves fewer. A
// live replica observes the leases every leaseRenewInterval: when none has acquired the
// upstream by then, this replica does. What this replica handed over itself it leaves
// alone for longer.
func (c *coordinator) deferToPeer(up *upstream, dist distribution) bool {
	peerHasFewer := slices.ContainsFunc(dist.peers, func(p peer) bool { return p.canServe(up) && p.served < dist.own })
	if !peerHasFewer {
		return false
	}

	now := time.Now()

	since, known := c.freeSince[up.leaseID]
	if !known {
		since = now
		c.freeSince[up.leaseID] = now
	}

	gracePeriod := leaseRenewInterval
	if now.Sub(c.handedOverAt[up.leaseID]) < leaseDuration {
		gracePeriod = leaseDuration
	}

	return now.Sub(since) < gracePeriod
}

// rebalance hands one upstream over when another replica serves at least two fewer. The
// difference then shrinks with every step and an upstream never comes back, so that
// rebalancing ends. Only one replica hands over at a time: of those that serve the
// most, the first by id.
func (c *coordinator) rebalance(ctx context.Context, dist distribution) {
	c.mu.Lock()
	busy := c.handingOver || c.shuttingDown
	c.mu.Unlock()

	if busy {
		return
	}

	for _, p := range dist.peers {
		if p.served > dist.own || p.served == dist.own && p.id < c.d.owner {
			return
		}
	}

	w := c.pickHandover(dist)
	if w == nil {
		return
	}

	c.handedOverAt[w.id] = time.Now()
	c.mu.Lock()
	c.handingOver = true
	c.mu.Unlock()
	c.d.goroutines.Go(func() {
		w.handOver(context.WithoutCancel(ctx), errHandedOver)
		c.mu.Lock()
		c.handingOver = false
		c.mu.Unlock()
	})
}

// pickHandover returns the worker of the upstream with the fewest tasks in progress that
// a replica with at least two fewer upstreams can serve, or nil. An upstream with a
// submission of unknown outcome stays, since its recovery would have to start again.
func (c *coordinator) pickHandover(dist distribution) *worker {
	var best *worker

	least := 0

	for _, w := range c.workers() {
		peerWants := slices.ContainsFunc(dist.peers, func(p peer) bool { return p.canServe(w.up) && p.served+2 <= dist.own })
		if w.id != w.up.Name || !peerWants || w.hasUncertain() {
			continue
		}

		if count := w.inProgress(); best == nil || count < least {
			best = w
			least = count
		}
	}

	return best
}

// inProgress returns how many tasks occupy a slot at the upstream.
func (w *worker) inProgress() (n int) {
	for _, s := range w.submitterList() {
		n += w.slots.InUse(s.model)
	}

	return n
}
