package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Pauses after trouble: the first, and the longest that doubling reaches.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
	busyFirst  = 4 * time.Millisecond
	lookAround = 2 * time.Second // how often a gate looks even when nobody woke it
)

// gate is where tasks pass to one model of one upstream: it claims, in fair
// order, when there is a slot and a token, and submits what it claimed, one at a
// time. While it is unknown whether a submission was taken the gate is shut.
type gate struct {
	d     *Dispatch
	t     *tenure
	up    *upstream
	model string // the supplier's name
	route string // "upstream/model"
	bell  chan struct{}
	aside atomic.Bool // a lane's first task is another route's: the next claim there may bring ours
	rate  limit.Bucket

	orphans map[provider.Ticket]bool // what the last search found; only that search uses it

	mu      sync.Mutex
	held    map[string]bool      // tasks that occupy a slot
	unsure  []string             // tasks whose submission may have been taken
	empty   map[string]time.Time // when a valid list first showed no candidate for one of them
	looking map[string]time.Time // since when this process looks for an unsure task
	pause   time.Duration
	notTill time.Time            // trouble: claim nothing before
	turn    int                  // which lane is asked first
	heads   map[string]headSight // first tasks of lanes that were left to another route
}

func newGate(t *tenure, model string) *gate {
	up := t.up

	return &gate{
		d: t.d, t: t, up: up, model: model, route: up.Name + "/" + model, bell: make(chan struct{}, 1), held: map[string]bool{}, empty: map[string]time.Time{}, looking: map[string]time.Time{}, heads: map[string]headSight{},
		rate: t.bucket(up.Limits.SubmitsPerSecond),
	}
}

func (g *gate) wake() {
	select {
	case g.bell <- struct{}{}:
	default:
	}
}

// hold counts a task that is in progress at the supplier.
func (g *gate) hold(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if !g.held[id] {
		g.held[id] = true
		g.t.slots.Adopt(g.route)
	}
}

// free gives the slot of a task back, if it has one.
func (g *gate) free(id string) {
	g.mu.Lock()
	if g.held[id] {
		delete(g.held, id)
		g.t.slots.Release(g.route)
	}
	g.mu.Unlock()
	g.wake()
}

// trouble lets the gate rest: for what the supplier asked, or twice as long as
// the last time.
func (g *gate) trouble(after time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.pause = min(max(2*g.pause, retryFirst), retryLast)
	g.notTill = g.d.Now().Add(max(g.pause, min(after, 10*time.Minute)))
}

// locked closes what only the operator can set right: the upstream, or this gate
// alone when the other models of the supplier account still work.
func (g *gate) locked(ctx context.Context, f *provider.Failure) {
	if !f.ModelOnly {
		until := g.d.Now().Add(parkTime)
		g.d.Log.Error("ALERT: an upstream is parked: its key, account or money needs the operator", "upstream", g.up.Name, "why", f.Error(), "until", until)
		g.d.park(ctx, g.up, until, f.Error())

		return
	}

	g.d.Log.Error("ALERT: a model is parked: the supplier does not let this account have it", "route", g.route, "why", f.Error(), "until", g.d.Now().Add(parkTime))
	g.trouble(parkTime)
}

func (g *gate) calm() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.pause = 0
	g.t.slots.Calm(g.route, g.d.Now())
}

// run is the gate's own loop.
func (g *gate) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-g.bell:
		case <-timer.C:
		}

		timer.Reset(g.pass(ctx))
	}
}

// pass lets through what may pass now, and says when to look again.
func (g *gate) pass(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		if id, shut := g.shutBy(); shut {
			if next := g.rescue(ctx, id); next > 0 {
				return g.d.hasty(next)
			}

			continue
		}

		if rest := g.resting(); rest > 0 {
			return rest
		}

		if g.t.slots.Free(g.route) == 0 {
			return lookAround
		}

		g.aside.Store(true) // before looking: a claim meanwhile must ring
		lanes, left, err := g.mine(ctx, g.laneOrder())
		g.aside.Store(left)

		switch {
		case err != nil:
			return g.unclaimed(ctx, err)
		case len(lanes) == 0 && left:
			return patience
		case len(lanes) == 0 || !g.up.mayTry(g.route):
			return lookAround
		}

		if ok, until := g.takeToken(); !ok {
			g.up.tried(g.route)
			return until
		}

		t, err := g.claim(ctx, lanes)
		if err != nil {
			g.up.tried(g.route)
			return g.unclaimed(ctx, err)
		}

		g.d.stats.claims.WithLabelValues(g.route).Inc()
		g.submit(ctx, t)
		g.up.tried(g.route)
	}

	return lookAround
}

// unclaimed says when to look again after a claim that took nothing.
func (g *gate) unclaimed(ctx context.Context, err error) time.Duration {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return lookAround
	case errors.Is(err, store.ErrBusy): // not at the same time as the others again
		return busyFirst + rand.N(3*busyFirst)
	}

	if ctx.Err() == nil {
		g.d.Log.Error("cannot claim", "route", g.route, "error", err)
		g.d.keeper.wake() // the lease may be gone
	}

	return retryFirst
}

// takeToken takes one of the submissions of this second.
func (g *gate) takeToken() (ok bool, until time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()

	return g.rate.Take(g.d.Now())
}

func (g *gate) shutBy() (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()

	if len(g.unsure) == 0 {
		return "", false
	}

	return g.unsure[0], true
}

// resting is how long the gate claims nothing: before it was opened, while the
// upstream is parked, after trouble.
func (g *gate) resting() time.Duration {
	now := g.d.Now()

	parked := g.up.parkedUntil()
	if !g.t.isOpen() || g.up.wished() != store.WishServe {
		return lookAround
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	return max(parked.Sub(now), g.notTill.Sub(now))
}

// laneOrder lists the lanes that may pass here, rotated so that none is always
// asked first: ranks of different lanes say nothing about each other.
func (g *gate) laneOrder() []string {
	lanes := g.d.lanes.through(g.route)
	g.mu.Lock()
	defer g.mu.Unlock()

	if len(lanes) > 1 {
		g.turn = (g.turn + 1) % len(lanes)
		lanes = slices.Concat(lanes[g.turn:], lanes[:g.turn])
	}

	return lanes
}

// claim takes the next task. Its submission is on disk when claim returns; the
// slot is counted.
func (g *gate) claim(ctx context.Context, lanes []string) (task.Task, error) {
	var t task.Task

	err := g.d.write(ctx, func(tx *store.Tx) (err error) {
		for _, lane := range lanes {
			t, err = tx.Claim(ctx, store.Claim{
				Lane: lane, Upstream: g.t.id, SupplierAccount: g.t.id, Model: g.model,
				Owner: g.d.owner, Fence: g.t.fence, At: g.d.millis(),
			})
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}

		return store.ErrNotFound
	})
	if err == nil {
		g.hold(t.ID)
	}

	return t, err
}

// lanes remembers which lanes there are.
type lanes struct {
	mu    sync.RWMutex
	known map[string][]string // lane -> its routes
}

func newLanes() *lanes { return &lanes{known: map[string][]string{}} }

func (l *lanes) note(lane string) {
	l.mu.RLock()
	_, ok := l.known[lane]
	l.mu.RUnlock()

	if ok || lane == "" {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.known[lane] = strings.Split(lane, "|")
}

// through lists the lanes that have the route, sorted.
func (l *lanes) through(route string) []string {
	l.mu.RLock()
	defer l.mu.RUnlock()

	var list []string

	for lane, routes := range l.known {
		if slices.Contains(routes, route) {
			list = append(list, lane)
		}
	}

	slices.Sort(list)

	return list
}

// routes lists every route of every lane, sorted.
func (l *lanes) routes() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()

	var list []string
	for _, routes := range l.known {
		list = append(list, routes...)
	}

	slices.Sort(list)

	return slices.Compact(list)
}
