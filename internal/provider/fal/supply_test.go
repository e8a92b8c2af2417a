package fal

import (
	"slices"
	"testing"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/provider"
)

// What the catalog says that this supplier makes can be said in its words, and
// what it lacks is refused: by the catalog for the customer, here for safety.
func TestTheCatalogsWord(t *testing.T) {
	c, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	served := 0

	for _, m := range c.Models() {
		supply, ok := m.Supplier("fal", catalog.R2V)
		if !ok {
			continue
		}

		served++
		sizes := supply.Sizes
		seconds := supply.Seconds

		if sizes == nil {
			sizes = m.Sizes
		}

		for _, size := range sizes {
			for _, n := range seconds {
				o := small()
				o.Model = supply.Model
				o.Size = size
				o.Seconds = n

				o.Sound = m.Sound
				if supply.Images != nil && *supply.Images == 0 {
					o.References[0].Kind = "video"
				}

				if _, no := creationOf(o); no != nil {
					t.Errorf("%s, %s, %d s: %v", m.ID, size, n, no)
				}

				o.References[0].Kind = "image"
				o.Watermark = new(bool)

				o.Audio = &provider.Reference{URL: "https://x.org/a.mp3"}
				if _, no := creationOf(o); no == nil {
					t.Errorf("%s takes what it lacks", m.ID)
				}
			}
		}

		for lack, r := range map[catalog.Feature]catalog.Request{
			catalog.LacksWatermark: {Watermark: new(bool), Seed: -1}, catalog.LacksGuideAudio: {Audio: &catalog.Reference{}, Seed: -1}, catalog.LacksSeed: {Seed: 1},
		} {
			r.Size = sizes[0]
			r.Seconds = seconds[0]

			r.Resolved = m.ID
			if lacks := slices.Contains(supply.Lacks, lack); lacks != (supply.Refuses(r) != nil) {
				t.Errorf("%s: lacks %s is %v", m.ID, lack, lacks)
			}
		}
	}

	if served != 6 {
		t.Errorf("%d models are served, want the six of Wan 2.6 R2V", served)
	}
}
