package dispatch

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// QueueFor returns the queue in which the task of a request waits: the sorted names of
// exactly those routes that can serve it. A fault says that no route can, and which part
// of the request is the reason.
func (d *Dispatch) QueueFor(r catalog.Request) (string, *fault.Fault) {
	var (
		routes      task.RouteSet
		unsupported *fault.Fault
	)

	for _, up := range d.registry.list() {
		capability, ok := d.capability(up, r)
		if !ok || !up.acceptsNewTasks() {
			continue
		}

		if f := capability.CheckRequest(r); f != nil {
			unsupported = f
			continue
		}

		routes = append(routes, task.Route{Upstream: up.Name, Model: capability.SupplierModel})
	}

	switch {
	case len(routes) > 0:
	case unsupported != nil:
		return "", unsupported
	default:
		return "", fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("No configured supplier offers %s; GET /v1/models lists the available models.", r.Resolved))
	}

	queue := task.NewRouteSet(routes...).String()
	d.queues.add(queue)

	return queue, nil
}

// previewModel is the only model of suppliers that make previews.
const previewModel = "preview"

// capability returns how an upstream serves a request, and false when it cannot. A preview
// upstream serves requests for previews, and all requests while the preview fallback is
// active; other upstreams never serve previews.
func (d *Dispatch) capability(up *upstream, r catalog.Request) (catalog.Capability, bool) {
	if up.Driver.Capabilities.Preview {
		return catalog.Capability{SupplierModel: previewModel}, r.Preview || d.PreviewFallbackActive()
	}

	if r.Preview {
		return catalog.Capability{}, false
	}

	m, ok := d.Catalog.Model(r.Resolved)
	if !ok {
		return catalog.Capability{}, false
	}

	result, ok := m.Capability(up.Driver.Name, r.Mode)
	if len(up.Routes) > 0 {
		route, named := up.findRoute(m, r.Mode)
		if !named || !ok && route.Capability.SupplierModel == "" {
			return catalog.Capability{}, false
		}

		result = route.Capability.WithDefaultsFrom(result)
		ok = true
	}

	return result, ok && up.allowsModel(result.SupplierModel)
}

// findRoute returns the first of the operator's routes that names the model.
func (u *upstream) findRoute(m *catalog.Model, mode catalog.Mode) (Route, bool) {
	for _, r := range u.Routes {
		if len(r.Models) == 0 || slices.Contains(r.Models, m.ID) || slices.Contains(r.Models, m.Modes[mode].Family) {
			return r, true
		}
	}

	return Route{}, false
}

// routePreference decides between the routes of a queue.
type routePreference struct {
	order  int // the lowest comes first
	weight int // the share among routes of the same order
}

// routePreferences returns the preferences of an upstream's routes, by the supplier's model.
func (d *Dispatch) routePreferences(u Upstream) map[string]routePreference {
	prefs := map[string]routePreference{}
	if d.Catalog == nil {
		return prefs
	}

	up := &upstream{Upstream: u}

	for _, m := range d.Catalog.Models() {
		for _, mode := range m.ModeList() {
			route, named := up.findRoute(m, mode)
			capability, ok := m.Capability(u.Driver.Name, mode)

			capability = route.Capability.WithDefaultsFrom(capability)
			if _, seen := prefs[capability.SupplierModel]; !named || seen || !ok && capability.SupplierModel == "" {
				continue
			}

			prefs[capability.SupplierModel] = routePreference{firstPositive(route.Order, u.Order), firstPositive(route.Weight, u.Weight)}
		}
	}

	return prefs
}

// firstPositive returns the first positive value, else 1.
func firstPositive(values ...int) int {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}

	return 1
}

func (u *upstream) preference(model string) routePreference {
	if pref, ok := u.preferences[model]; ok {
		return pref
	}

	return routePreference{firstPositive(u.Order), firstPositive(u.Weight)}
}

// preferredRouteWait is how long a submitter leaves the first task of a queue to the route
// that is best for it. After that, any route with room takes the task.
const preferredRouteWait = 2 * time.Second

// queueHead is the first task of a queue, and since when a submitter has seen it there.
type queueHead struct {
	task  string
	since time.Time
}

// claimableQueues lists the queues whose first task this submitter should claim now;
// deferred says that the first task of another queue was left to a better route.
func (s *submitter) claimableQueues(ctx context.Context, queues []string) (claimable []string, deferred bool, err error) {
	for _, queue := range queues {
		// A queue with one route leaves nothing to choose, and costs no read.
		if len(s.d.queues.routesOf(queue)) == 1 {
			claimable = append(claimable, queue)
			continue
		}

		// The head that is read here may be claimed by another submitter before this one
		// claims. That does no harm: the claim takes whatever task is then first, so the
		// fair order stays exact, and only the weights are approximate.
		head, err := s.d.Store.QueueHead(ctx, queue)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}

		if err != nil {
			return nil, false, err
		}

		// The better route may belong to a replica that is gone or whose room was misjudged.
		// So the task is left to it for a bounded time only.
		if s.d.bestRoute(queue, head, s) == s.route || s.headWaitedEnough(queue, head) {
			claimable = append(claimable, queue)
			continue
		}

		deferred = true
	}

	return claimable, deferred, nil
}

// hasDeferred reports whether the submitter left the first task of a queue to another route.
func (s *submitter) hasDeferred() bool { return s.deferred.Load() }

// headWaitedEnough reports whether the first task of a queue was left to another route for
// long enough.
func (s *submitter) headWaitedEnough(queue, head string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.d.Now()
	if seen := s.queueHeads[queue]; seen.task == head {
		return now.Sub(seen.since) >= preferredRouteWait
	}

	s.queueHeads[queue] = queueHead{head, now}

	return false
}

// bestRoute returns the route that a task should take: of the routes with room, those of
// the lowest order, and of these one chosen by weight. Every replica chooses the same
// route without asking the others, since the choice depends only on the task's id. The
// caller's own route is not asked for room, which the caller has checked.
func (d *Dispatch) bestRoute(queue, id string, caller *submitter) task.Route {
	best := task.Route{}
	lowest := 0
	topScore := 0.0

	for _, route := range d.queues.routesOf(queue) {
		// A route without room takes no part, so that a full upstream of a low order never
		// makes a task wait while one of a higher order is free.
		up := d.upstream(route.Upstream)
		if up == nil || route != caller.route && !d.hasRoom(up, route) {
			continue
		}

		pref := up.preference(route.Model)

		score := rendezvousScore(id, route, pref.weight)
		if best == (task.Route{}) || pref.order < lowest || pref.order == lowest && score > topScore {
			best = route
			lowest = pref.order
			topScore = score
		}
	}

	return best
}

// rendezvousScore returns the score of a route for a task. Over many tasks, a route has
// the highest score as often as its share of the weights (weighted rendezvous hashing), and
// a route that comes or goes changes the choice only of the tasks that it wins or loses.
func rendezvousScore(id string, route task.Route, weight int) float64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s|%s", id, route)
	mixed := h.Sum64() // FNV's upper bits hardly depend on the last bytes
	mixed = (mixed ^ mixed>>33) * 0xff51afd7ed558ccd
	mixed = (mixed ^ mixed>>33) * 0xc4ceb9fe1a85ec53
	u := (float64(mixed>>11) + 0.5) / (1 << 53)

	return -float64(weight) / math.Log(u)
}

// hasRoom reports whether a route could take a task at once. For a route that another
// replica serves, only what the database says is known.
func (d *Dispatch) hasRoom(up *upstream, route task.Route) bool {
	now := d.Now()
	if up.desiredState() != store.DesiredServing || up.suspendedUntil().After(now) || !up.allowsModel(route.Model) {
		return false
	}

	if w := d.coordinator.worker(up.leaseID); w != nil {
		s := w.submitter(route.Model)
		return s != nil && s.hasRoom(now)
	}

	inProgress := 0

	for _, t := range d.peerTasks() {
		if configuredName(t.Upstream) == up.Name {
			inProgress++
		}
	}

	return int64(inProgress) < d.routeSlots(route)
}

func (s *submitter) hasRoom(now time.Time) bool {
	if !s.worker.isReady() || s.worker.slots.Free(s.model) == 0 {
		return false
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.uncertain) == 0 && !s.blockedUntil.After(now) && s.rateLimit.Ready(now)
}
