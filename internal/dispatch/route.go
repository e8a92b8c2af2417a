package dispatch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// Route says which lane a request's task waits in: the exact set of routes that
// can serve it, as their sorted names. A fault says that none can, and what of the
// request is in the way.
func (d *Dispatch) Route(r catalog.Request) (string, *fault.Fault) {
	var routes []string
	var refused *fault.Fault
	for _, up := range d.upstreams {
		supply, ok := d.supply(up, r)
		if !ok {
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
		return catalog.Supply{Model: previewModel}, r.Preview || d.StandIn
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
		supply, ok = route.Supply.Over(supply), true
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
