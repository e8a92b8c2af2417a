package lease

import (
	"context"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// distribution is how many upstreams each live replica serves.
type distribution struct {
	own   int
	peers []peer
}

// peer is another live replica.
type peer struct {
	id     string
	known  []string // the leases that it can hold
	served int      // how many it holds
}

func (p peer) canHold(id string) bool { return slices.Contains(p.known, id) }

// replicaRow returns the row by which the other replicas know this one.
func (c *Coordinator) replicaRow() store.Replica {
	r := store.Replica{ID: c.Owner, Name: c.ReplicaName}

	for _, candidate := range c.Engine.Candidates(nil) {
		if candidate.Shared {
			r.Serves = append(r.Serves, candidate.ID)
		}
	}

	return r
}

// distribution counts the shared leases that each replica holds.
func (c *Coordinator) distribution(read snapshot) distribution {
	servedBy := map[string]int{}

	for _, row := range read.leases {
		if row.Remaining > 0 && row.Shared() {
			servedBy[row.Owner]++
		}
	}

	dist := distribution{own: servedBy[c.Owner]}
	for _, r := range read.replicas {
		if r.ID != c.Owner {
			dist.peers = append(dist.peers, peer{id: r.ID, known: r.Serves, served: servedBy[r.ID]})
		}
	}

	return dist
}

// deferToPeer reports whether a free upstream is left to a replica that serves fewer. A
// live replica observes the leases every renewInterval: when none has acquired the
// upstream by then, this replica does. What this replica handed over itself it leaves
// alone for longer.
func (c *Coordinator) deferToPeer(id string, dist distribution) bool {
	peerHasFewer := slices.ContainsFunc(dist.peers, func(p peer) bool { return p.canHold(id) && p.served < dist.own })
	if !peerHasFewer {
		return false
	}

	now := time.Now()

	since, known := c.freeSince[id]
	if !known {
		since = now
		c.freeSince[id] = now
	}

	gracePeriod := renewInterval
	if now.Sub(c.handedOverAt[id]) < Duration {
		gracePeriod = Duration
	}

	return now.Sub(since) < gracePeriod
}

// rebalance hands one upstream over when another replica serves at least two fewer. The
// difference then shrinks with every step and an upstream never comes back, so that
// rebalancing ends. Only one replica hands over at a time: of those that serve the
// most, the first by id.
func (c *Coordinator) rebalance(ctx context.Context, dist distribution) {
	c.mu.Lock()
	busy := c.handingOver || c.shuttingDown
	c.mu.Unlock()

	if busy {
		return
	}

	for _, p := range dist.peers {
		if p.served > dist.own || p.served == dist.own && p.id < c.Owner {
			return
		}
	}

	moved := c.pickHandover(dist)
	if moved.lease == nil {
		return
	}

	c.handedOverAt[moved.lease.ID] = time.Now()
	c.mu.Lock()
	c.handingOver = true
	c.mu.Unlock()
	c.goroutines.Go(func() {
		moved.work.HandOver(context.WithoutCancel(ctx), ErrHandedOver)
		c.mu.Lock()
		c.handingOver = false
		c.mu.Unlock()
	})
}

// pickHandover returns the shared lease with the least in progress that a replica with at
// least two fewer can hold, or the zero holding. One whose work is not movable stays.
func (c *Coordinator) pickHandover(dist distribution) holding {
	var best holding

	least := 0

	for _, h := range c.holdings() {
		peerWants := slices.ContainsFunc(dist.peers, func(p peer) bool { return p.canHold(h.lease.ID) && p.served+2 <= dist.own })
		if !peerWants || !h.work.Movable() {
			continue
		}

		if count := h.work.InProgress(); best.lease == nil || count < least {
			best = h
			least = count
		}
	}

	return best
}
