package dispatch

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/store"
)

// What an operator is shown of routes is what tasks take, the first first.
func TestWaysAreTheRoutesOfTasks(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.another("later", func(u *Upstream) { u.Order = 2 })
		h.another("heavy", func(u *Upstream) { u.Weight = 3 })
		h.another("short", func(u *Upstream) {
			u.Routes = []Route{{Models: []string{"wan2.6-t2v"}, Weight: 2, Supply: catalog.Supply{Model: "ours", Lacks: []catalog.Feature{catalog.LacksSeed}}}}
		})
		h.start()

		if err := h.d.WishUpstream(context.Background(), "later", store.WishPause); err != nil {
			t.Fatal(err)
		}

		of := func(mode catalog.Mode) []Way {
			return slices.DeleteFunc(h.d.Ways(), func(w Way) bool { return w.Model != "wan2.6-video-720p" || w.Mode != mode })
		}
		way := func(mode catalog.Mode, upstream, as string, order, weight int) Way {
			return Way{Model: "wan2.6-video-720p", Mode: mode, Upstream: upstream, As: as, Order: order, Weight: weight}
		}
		short := way(catalog.T2V, "short", "ours", 1, 2)

		short.Lacks = []catalog.Feature{catalog.LacksSeed}
		for mode, want := range map[catalog.Mode][]Way{
			catalog.T2V: {way(catalog.T2V, "heavy", "wan2.6-t2v", 1, 3), short, way(catalog.T2V, "up", "wan2.6-t2v", 1, 1), way(catalog.T2V, "later", "wan2.6-t2v", 2, 1)},
			catalog.I2V: {way(catalog.I2V, "heavy", "wan2.6-i2v", 1, 3), way(catalog.I2V, "up", "wan2.6-i2v", 1, 1), way(catalog.I2V, "later", "wan2.6-i2v", 2, 1)},
		} {
			if diff := cmp.Diff(want, of(mode)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", mode, diff)
			}
		}
	})
}
