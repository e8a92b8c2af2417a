package fal

import (
	"slices"
	"testing"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/provider"
)

// What the catalog says that this supplier makes can be expressed in its API. What
// it does not support is rejected: by the catalog for the customer, and by the
// provider in case the catalog is wrong.
func TestCatalogMatchesSupplier(t *testing.T) {
	c, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	served := 0

	for _, m := range c.Models() {
		supply, ok := m.Capability("fal", catalog.R2V)
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
				o := smallSubmission()
				o.Model = supply.SupplierModel
				o.Size = size
				o.Seconds = n
				o.Sound = m.Sound

				if supply.Images != nil && *supply.Images == 0 {
					o.References[0].Kind = "video"
				}

				if _, failure := newCreateRequest(o); failure != nil {
					t.Errorf("%s, %s, %d s: %v", m.ID, size, n, failure)
				}

				o.References[0].Kind = "image"
				o.Watermark = new(bool)
				o.Audio = &provider.Reference{URL: "https://x.org/a.mp3"}

				if _, failure := newCreateRequest(o); failure == nil {
					t.Errorf("%s accepts what it does not support", m.ID)
				}
			}
		}

		for feature, r := range map[catalog.Feature]catalog.Request{
			catalog.FeatureWatermark: {Watermark: new(bool), Seed: -1}, catalog.FeatureGuideAudio: {Audio: &catalog.Reference{}, Seed: -1}, catalog.FeatureSeed: {Seed: 1},
		} {
			r.Size = sizes[0]
			r.Seconds = seconds[0]
			r.Resolved = m.ID

			if unsupported := slices.Contains(supply.Unsupported, feature); unsupported != (supply.CheckRequest(r) != nil) {
				t.Errorf("%s: unsupported %s is %v", m.ID, feature, unsupported)
			}
		}
	}

	if served != 6 {
		t.Errorf("%d models are served, want the six of Wan 2.6 R2V", served)
	}
}
