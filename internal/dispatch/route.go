package dispatch

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// Route says which lane a request's task waits in: the exact set of routes that
// can serve it, as their sorted names. A fault says that none can, and what of the
// request is in the way.
func (d *Dispatch) Route(r catalog.Request) (string, *fault.Fault) {
	var (
		routes  []string
		refused *fault.Fault
	)

	for _, up := range d.roster.list() {
		supply, ok := d.supply(up, r)
		if !ok || !up.takesNew() {
			continue
		}

		if f := supply.Refuses(r); f != nil {
			refused = f
			continue
		}

		routes = append(routes, up.Name+"/"+supply.Model)
	}

	switch {
	case len(routes) > 0:
	case refused != nil:
		return "", refused
	default:
		return "", fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("No supplier is configured here that has %s; GET /v1/models lists what can be asked.", r.Resolved))
	}

	slices.Sort(routes)
	lane := strings.Join(slices.Compact(routes), "|")
	d.lanes.note(lane)

	return lane, nil
}

// previewModel is the one model of suppliers whose videos only stand in.
const previewModel = "preview"

// supply is how an upstream makes what is asked, and false when it does not have
// it. A preview upstream serves what asks for a preview, and everything while it
// stands in; a real one never serves previews.
func (d *Dispatch) supply(up *upstream, r catalog.Request) (catalog.Supply, bool) {
	if up.Kind.Traits.Preview {
		return catalog.Supply{Model: previewModel}, r.Preview || d.StandsIn()
	}

	if r.Preview {
		return catalog.Supply{}, false
	}

	m, ok := d.Catalog.Model(r.Resolved)
	if !ok {
		return catalog.Supply{}, false
	}

	supply, ok := m.Supplier(up.Kind.Name, r.Mode)
	if len(up.Routes) > 0 {
		route, named := up.route(m, r.Mode)
		if !named || !ok && route.Supply.Model == "" {
			return catalog.Supply{}, false
		}

		supply = route.Supply.Over(supply)
		ok = true
	}

	return supply, ok && up.serves(supply.Model)
}

// route is the first of the operator's routes that names the model.
func (u *upstream) route(m *catalog.Model, mode catalog.Mode) (Route, bool) {
	for _, r := range u.Routes {
		if len(r.Models) == 0 || slices.Contains(r.Models, m.ID) || slices.Contains(r.Models, m.Modes[mode].Family) {
			return r, true
		}
	}

	return Route{}, false
}

// rank is how a route stands among those of a lane.
type rank struct {
	order  int // the lowest comes first
	weight int // its share among those of the same order
}

// ranksOf says how an upstream's routes stand, by the supplier's model.
func (d *Dispatch) ranksOf(u Upstream) map[string]rank {
	ranks := map[string]rank{}
	if d.Catalog == nil {
		return ranks
	}

	up := &upstream{Upstream: u}

	for _, m := range d.Catalog.Models() {
		for _, mode := range m.ModeList() {
			route, named := up.route(m, mode)
			supply, ok := m.Supplier(u.Kind.Name, mode)

			supply = route.Supply.Over(supply)
			if _, first := ranks[supply.Model]; !named || first || !ok && supply.Model == "" {
				continue
			}

			ranks[supply.Model] = rank{firstOf(route.Order, u.Order), firstOf(route.Weight, u.Weight)}
		}
	}

	return ranks
}

// firstOf is the first that is given, else 1.
func firstOf(values ...int) int {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}

	return 1
}

func (u *upstream) rank(model string) rank {
	if r, ok := u.ranks[model]; ok {
		return r
	}

	return rank{firstOf(u.Order), firstOf(u.Weight)}
}

// patience is how long a gate leaves a lane's first task to the route that it should
// go by: then whoever has room takes it.
const patience = 2 * time.Second

// headSight is since when a gate sees a task at the head of a lane.
type headSight struct {
	task  string
	since time.Time
}

// mine lists the lanes whose first task this gate should take now; left says that
// others were left to better routes.
func (g *gate) mine(ctx context.Context, lanes []string) (mine []string, left bool, err error) {
	for _, lane := range lanes {
		if !strings.Contains(lane, "|") {
			mine = append(mine, lane)
			continue
		}

		head, err := g.d.Store.Head(ctx, lane)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}

		if err != nil {
			return nil, false, err
		}

		if g.d.best(lane, head, g) == g.route || g.waited(lane, head) {
			mine = append(mine, lane)
			continue
		}

		left = true
	}

	return mine, left, nil
}

// stoodAside says whether the gate left a lane's first task to another route.
func (g *gate) stoodAside() bool { return g.aside.Load() }

// waited says whether a lane's first task was left to another route for long enough.
func (g *gate) waited(lane, head string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	now := g.d.Now()
	if seen := g.heads[lane]; seen.task == head {
		return now.Sub(seen.since) >= patience
	}

	g.heads[lane] = headSight{head, now}

	return false
}

// best is the route that a task should go by: of the lowest order that has room,
// one by weight. Every replica finds the same, since the task decides by its id.
func (d *Dispatch) best(lane, id string, asks *gate) string {
	best := ""
	lowest := 0
	most := 0.0

	for _, route := range strings.Split(lane, "|") {
		name, model, _ := strings.Cut(route, "/")

		up := d.upstream(name)
		if up == nil || route != asks.route && !d.hasRoom(up, route, model) {
			continue
		}

		r := up.rank(model)

		score := lot(id, route, r.weight)
		if best == "" || r.order < lowest || r.order == lowest && score > most {
			best = route
			lowest = r.order
			most = score
		}
	}

	return best
}

// lot draws for a route, by its weight: over all tasks the highest lot falls to each
// route as often as its share of the weights (weighted rendezvous hashing).
func lot(id, route string, weight int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id + "|" + route))
	mixed := h.Sum64() // FNV's upper bits hardly know the last bytes
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	mixed = (mixed ^ mixed>>33) * 0xc4ceb9fe1a85ec53
	u := (float64(mixed>>11) + 0.5) / (1 << 53)

	return -float64(weight) / math.Log(u)
}

// hasRoom says whether a route could take a task at once. Of one that another
// replica serves only so much is known as the tables say.
func (d *Dispatch) hasRoom(up *upstream, route, model string) bool {
	now := d.Now()
	if up.wished() != store.WishServe || up.parkedUntil().After(now) || !up.serves(model) {
		return false
	}

	if t := d.keeper.tenure(up.lease); t != nil {
		g := t.gate(model)
		return g != nil && g.hasRoom(now)
	}

	inProgress := 0

	for _, t := range d.seenElsewhere() {
		if plainName(t.Upstream) == up.Name {
			inProgress++
		}
	}

	return int64(inProgress) < d.slotsOf(route)
}

func (g *gate) hasRoom(now time.Time) bool {
	if !g.t.isOpen() || g.t.slots.Free(g.route) == 0 {
		return false
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	return len(g.unsure) == 0 && !g.notTill.After(now) && g.rate.Ready(now)
}
