package dispatch

import (
	"cmp"
	"slices"

	"github.com/unireel/unireel/internal/catalog"
)

// Way is a route as an operator sees it: one of our models, in one mode, at one
// upstream.
type Way struct {
	Model    string // ours
	Mode     catalog.Mode
	Upstream string
	As       string // the supplier's name of the model
	Order    int    // the lowest comes first
	Weight   int    // its share among those of the same order
	Lacks    []catalog.Feature
}

// Ways lists every route of real videos, and of previews while they stand in, whether
// or not its upstream takes tasks at the moment: by model and mode, and of each the
// first first.
func (d *Dispatch) Ways() []Way {
	var ways []Way

	for _, m := range d.Catalog.Models() {
		for _, mode := range m.ModeList() {
			from := len(ways)

			for _, up := range d.roster.list() {
				supply, ok := d.supply(up, catalog.Request{Resolved: m.ID, Mode: mode})
				if !ok {
					continue
				}

				r := up.rank(supply.Model)
				ways = append(ways, Way{Model: m.ID, Mode: mode, Upstream: up.Name, As: supply.Model, Order: r.order, Weight: r.weight, Lacks: supply.Lacks})
			}

			slices.SortStableFunc(ways[from:], func(a, b Way) int { return cmp.Or(a.Order-b.Order, b.Weight-a.Weight) })
		}
	}

	return ways
}
