package dispatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// spread is how the upstreams lie on the replicas that live.
type spread struct {
	mine   int
	others []neighbour
}

// neighbour is another replica that lives.
type neighbour struct {
	id     string
	serves []string
	has    int // upstreams
}

func (n neighbour) knows(up *upstream) bool { return slices.Contains(n.serves, up.Name) }

// self is this replica as the others see it.
func (d *Dispatch) self() store.Replica {
	r := store.Replica{ID: d.owner, Name: d.Replica}
	for _, up := range d.roster.list() {
		if up.lease == up.Name { // nobody shares a renderer that lives in its process
			r.Serves = append(r.Serves, up.Name)
		}
	}

	return r
}

// spread counts who has what. What a renderer has of its own counts for nobody.
func (k *keeper) spread(seen sight) spread {
	has := map[string]int{}

	for _, row := range seen.leases {
		if row.Left > 0 && !strings.ContainsAny(row.ID, "@~") {
			has[row.Owner]++
		}
	}

	s := spread{mine: has[k.d.owner]}
	for _, r := range seen.replicas {
		if r.ID != k.d.owner {
			s.others = append(s.others, neighbour{id: r.ID, serves: r.Serves, has: has[r.ID]})
		}
	}

	return s
}

// leaves says whether a free upstream is left to a replica that has fewer. Who
// lives looks around every two seconds: if it was not taken by then, it is ours
// after all. What we gave up ourselves we leave alone for longer.
func (k *keeper) leaves(up *upstream, s spread) bool {
	fewer := slices.ContainsFunc(s.others, func(n neighbour) bool { return n.knows(up) && n.has < s.mine })
	if !fewer {
		return false
	}

	now := time.Now()

	since, seen := k.free[up.lease]
	if !seen {
		since = now
		k.free[up.lease] = now
	}

	patience := leaseRenew
	if now.Sub(k.given[up.lease]) < leaseTime {
		patience = leaseTime
	}

	return now.Sub(since) < patience
}

// give lets go of one upstream when another replica has at least two fewer, so
// that the difference shrinks with every step and nothing ever comes back. Only
// one replica gives at a time: of those that have most, the first by id.
func (k *keeper) give(ctx context.Context, s spread) {
	k.mu.Lock()
	busy := k.giving || k.leaving
	k.mu.Unlock()

	if busy {
		return
	}

	for _, n := range s.others {
		if n.has > s.mine || n.has == s.mine && n.id < k.d.owner {
			return
		}
	}

	t := k.spare(s)
	if t == nil {
		return
	}

	k.given[t.id] = time.Now()
	k.mu.Lock()
	k.giving = true
	k.mu.Unlock()
	k.d.ended.Go(func() {
		t.handOver(context.WithoutCancel(ctx), errGivenUp)
		k.mu.Lock()
		k.giving = false
		k.mu.Unlock()
	})
}

// spare is the upstream with the least in progress that a replica with at least
// two fewer can serve. One whose gate is shut stays: its rescue would begin anew.
func (k *keeper) spare(s spread) *tenure {
	var best *tenure

	least := 0

	for _, t := range k.tenures() {
		wanted := slices.ContainsFunc(s.others, func(n neighbour) bool { return n.knows(t.up) && n.has+2 <= s.mine })
		if t.id != t.up.Name || !wanted || t.shut() {
			continue
		}

		if n := t.inProgress(); best == nil || n < least {
			best = t
			least = n
		}
	}

	return best
}

// inProgress is how many tasks hold a slot at the upstream.
func (t *tenure) inProgress() (n int) {
	for _, g := range t.list() {
		n += t.slots.InUse(g.route)
	}

	return n
}
