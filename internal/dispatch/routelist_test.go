package dispatch

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/store"
)

// The routes that an operator sees are those that tasks take, in order of preference.
func TestRoutesListsTaskRoutes(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addUpstream("later", func(u *upstream.Config) { u.Order = 2 })
		h.addUpstream("heavy", func(u *upstream.Config) { u.Weight = 3 })
		h.addUpstream("short", func(u *upstream.Config) {
			u.Routes = []upstream.ModelRoute{{Models: []string{"wan2.6-t2v"}, Weight: 2, Capability: catalog.Capability{SupplierModel: "ours", Unsupported: []catalog.Feature{catalog.FeatureSeed}}}}
		})
		h.start()

		if err := h.d.SetDesiredState(context.Background(), "later", store.DesiredPaused); err != nil {
			t.Fatal(err)
		}

		of := func(mode catalog.Mode) []upstream.RouteInfo {
			return slices.DeleteFunc(h.d.Routes(), func(w upstream.RouteInfo) bool { return w.Model != "wan2.6-video-720p" || w.Mode != mode })
		}
		route := func(mode catalog.Mode, name, supplierModel string, order, weight int) upstream.RouteInfo {
			return upstream.RouteInfo{Model: "wan2.6-video-720p", Mode: mode, Upstream: name, SupplierModel: supplierModel, Order: order, Weight: weight}
		}
		short := route(catalog.T2V, "short", "ours", 1, 2)

		short.Unsupported = []catalog.Feature{catalog.FeatureSeed}
		for mode, want := range map[catalog.Mode][]upstream.RouteInfo{
			catalog.T2V: {route(catalog.T2V, "heavy", "wan2.6-t2v", 1, 3), short, route(catalog.T2V, "up", "wan2.6-t2v", 1, 1), route(catalog.T2V, "later", "wan2.6-t2v", 2, 1)},
			catalog.I2V: {route(catalog.I2V, "heavy", "wan2.6-i2v", 1, 3), route(catalog.I2V, "up", "wan2.6-i2v", 1, 1), route(catalog.I2V, "later", "wan2.6-i2v", 2, 1)},
		} {
			if diff := cmp.Diff(want, of(mode)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", mode, diff)
			}
		}
	})
}
