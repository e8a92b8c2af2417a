package upstream

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/task"
)

// RoutesFor returns exactly those routes that can serve a request, of upstreams that accept
// new tasks. A fault says that there is none, and which part of the request is the reason.
func (r *Registry) RoutesFor(request catalog.Request) (task.RouteSet, *fault.Fault) {
	var (
		routes      task.RouteSet
		unsupported *fault.Fault
	)

	for _, up := range r.List() {
		capability, ok := r.capability(up, request)
		if !ok || !up.acceptsNewTasks() {
			continue
		}

		if f := capability.CheckRequest(request); f != nil {
			unsupported = f
			continue
		}

		routes = append(routes, task.Route{Upstream: up.Name, Model: capability.SupplierModel})
	}

	switch {
	case len(routes) > 0:
		return task.NewRouteSet(routes...), nil
	case unsupported != nil:
		return nil, unsupported
	default:
		return nil, fault.New(fault.CodeUnknownModel, "model", fmt.Sprintf("No configured supplier offers %s; GET /v1/models lists the available models.", request.Resolved))
	}
}

// previewModel is the only model of suppliers that make previews.
const previewModel = "preview"

// capability returns how an upstream serves a request, and false when it cannot. A preview
// upstream serves requests for previews, and all requests while the preview fallback is
// active; other upstreams never serve previews.
func (r *Registry) capability(up *Upstream, request catalog.Request) (catalog.Capability, bool) {
	if up.Driver.Capabilities.Preview {
		return catalog.Capability{SupplierModel: previewModel}, request.Preview || r.PreviewFallbackActive()
	}

	if request.Preview {
		return catalog.Capability{}, false
	}

	m, ok := r.Catalog.Model(request.Resolved)
	if !ok {
		return catalog.Capability{}, false
	}

	result, ok := m.Capability(up.Driver.Name, request.Mode)
	if len(up.Routes) > 0 {
		route, named := up.findRoute(m, request.Mode)
		if !named || !ok && route.Capability.SupplierModel == "" {
			return catalog.Capability{}, false
		}

		result = route.Capability.WithDefaultsFrom(result)
		ok = true
	}

	return result, ok && up.AllowsModel(result.SupplierModel)
}

// findRoute returns the first of the operator's routes that names the model.
func (u *Upstream) findRoute(m *catalog.Model, mode catalog.Mode) (ModelRoute, bool) {
	for _, route := range u.Routes {
		if len(route.Models) == 0 || slices.Contains(route.Models, m.ID) || slices.Contains(route.Models, m.Modes[mode].Family) {
			return route, true
		}
	}

	return ModelRoute{}, false
}

// preference decides between the routes of a queue.
type preference struct {
	order  int // the lowest comes first
	weight int // the share among routes of the same order
}

// preferences returns the preferences of an upstream's routes, by the supplier's model.
func (r *Registry) preferences(c Config) map[string]preference {
	prefs := map[string]preference{}
	if r.Catalog == nil {
		return prefs
	}

	up := &Upstream{Config: c}

	for _, m := range r.Catalog.Models() {
		for _, mode := range m.ModeList() {
			route, named := up.findRoute(m, mode)
			capability, ok := m.Capability(c.Driver.Name, mode)

			capability = route.Capability.WithDefaultsFrom(capability)
			if _, seen := prefs[capability.SupplierModel]; !named || seen || !ok && capability.SupplierModel == "" {
				continue
			}

			prefs[capability.SupplierModel] = preference{firstPositive(route.Order, c.Order), firstPositive(route.Weight, c.Weight)}
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

func (u *Upstream) preference(model string) preference {
	if pref, ok := u.preferences[model]; ok {
		return pref
	}

	return preference{firstPositive(u.Order), firstPositive(u.Weight)}
}

// Best returns the route that a task should take: of the routes of its queue with room,
// those of the lowest order, and of these one chosen by weight. Every replica chooses the
// same route without asking the others, since the choice depends only on the task's id.
func (r *Registry) Best(routes task.RouteSet, id string, hasRoom func(*Upstream, task.Route) bool) task.Route {
	best := task.Route{}
	lowest := 0
	topScore := 0.0

	for _, route := range routes {
		// A route without room takes no part, so that a full upstream of a low order never
		// makes a task wait while one of a higher order is free.
		up := r.Find(route.Upstream)
		if up == nil || !hasRoom(up, route) {
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
