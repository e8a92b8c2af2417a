package upstream

import (
	"cmp"
	"slices"

	"github.com/unireel/unireel/internal/catalog"
)

// RouteInfo is a route as an operator sees it: one of our models, in one mode, at one upstream.
type RouteInfo struct {
	Model         string // ours
	Mode          catalog.Mode
	Upstream      string
	SupplierModel string // the supplier's name of the model
	Order         int    // the lowest comes first
	Weight        int    // the share among routes of the same order
	Unsupported   []catalog.Feature
}

// Routes lists every route for real videos, and for previews while the preview fallback is
// active, whether or not its upstream accepts tasks at the moment: by model and mode, and
// then by order.
func (r *Registry) Routes() []RouteInfo {
	var routes []RouteInfo

	for _, m := range r.Catalog.Models() {
		for _, mode := range m.ModeList() {
			start := len(routes)

			for _, up := range r.List() {
				capability, ok := r.capability(up, catalog.Request{Resolved: m.ID, Mode: mode})
				if !ok {
					continue
				}

				pref := up.preference(capability.SupplierModel)
				routes = append(routes, RouteInfo{
					Model:         m.ID,
					Mode:          mode,
					Upstream:      up.Name,
					SupplierModel: capability.SupplierModel,
					Order:         pref.order,
					Weight:        pref.weight,
					Unsupported:   capability.Unsupported,
				})
			}

			slices.SortStableFunc(routes[start:], func(a, b RouteInfo) int { return cmp.Or(a.Order-b.Order, b.Weight-a.Weight) })
		}
	}

	return routes
}
