package catalog

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/money"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPrices compares every model's prices with a table that a person can read and
// compare with the supplier's (dashscope.md 4.2, 4.3).
func TestPrices(t *testing.T) {
	usd, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}

	cny, err := Load(Options{Currency: "CNY"})
	if err != nil {
		t.Fatal(err)
	}

	var table strings.Builder
	fmt.Fprintf(&table, "%-33s %-12s %7s %7s  %s\n", "model", "billing", "USD/s", "CNY/s", "hold in USD of 5 s and of the longest, by videos+pictures")

	for _, m := range usd.Models() {
		other, _ := cny.Model(m.ID)
		fmt.Fprintf(&table, "%-33s %-12s %7s %7s ", m.ID, m.Price.Billing, m.UnitPrice, other.UnitPrice)

		for _, mix := range mixes(m) {
			r := Request{Resolved: m.ID, Mode: m.ModeList()[0], References: mix, Seconds: 5}

			short, err := usd.Price(r)
			if err != nil {
				t.Fatal(err)
			}

			r.Seconds = m.Seconds.Max

			long, err := usd.Price(r)
			if err != nil {
				t.Fatal(err)
			}

			fmt.Fprintf(&table, " %s=%s,%s", mixName(mix), short.Hold, long.Hold)
		}

		table.WriteByte('\n')
	}

	golden(t, "testdata/prices.golden", table.String())
}

func mixes(m *Model) [][]Reference {
	if _, ok := m.Modes[R2V]; !ok {
		return [][]Reference{nil}
	}

	var list [][]Reference

	for _, n := range [][2]int{{0, 1}, {1, 0}, {1, 1}, {2, 1}, {3, 0}, {3, 1}, {3, 2}} {
		var mix []Reference

		for i := range n[0] + n[1] {
			kind := Video
			if i >= n[0] {
				kind = Image
			}

			mix = append(mix, Reference{Kind: kind})
		}

		list = append(list, mix)
	}

	return list
}

func mixName(mix []Reference) string {
	n := map[Kind]int{}
	for _, ref := range mix {
		n[ref.Kind]++
	}

	return fmt.Sprintf("%d+%d", n[Video], n[Image])
}

func golden(t *testing.T, path, got string) {
	t.Helper()

	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (rewrite it with -update):\n%s", path, diff)
	}
}

// The supplier's own example (dashscope.md 1.5): 5 s of a video reference and 5 s
// of video are 10 billed seconds.
func TestBilledMatchesSupplier(t *testing.T) {
	c := load(t)

	refs := func(n int) []Reference { return make([]Reference, n) }
	for name, tt := range map[string]struct {
		references int
		inputs     []int64
		output     int64
		want       int64
	}{
		"one video":                  {1, []int64{30_000}, 5000, 10_000},
		"a short one":                {1, []int64{1200}, 5000, 6200},
		"a video and a picture":      {2, []int64{30_000}, 5000, 7500},
		"three videos":               {3, []int64{9000, 9000, 1000}, 10_000, 14_300},
		"three videos, two pictures": {5, []int64{9000, 9000, 9000}, 10_000, 13_000},
		"pictures only":              {2, nil, 5000, 5000},
	} {
		r := Request{Resolved: "wan2.6-r2v-720p", Mode: R2V, References: refs(tt.references)}
		if got := c.Billed(r, tt.inputs, tt.output); got != tt.want {
			t.Errorf("%s: %d ms, want %d", name, got, tt.want)
		}

		r.Resolved = "withdrawn"
		if got := c.Billed(r, tt.inputs, tt.output); got != tt.want {
			t.Errorf("%s, model withdrawn: %d ms, want %d", name, got, tt.want)
		}

		r.Preview = true
		if got := c.Billed(r, tt.inputs, tt.output); got != 0 {
			t.Errorf("%s, preview: %d ms, want 0", name, got)
		}
	}

	if got := c.Billed(Request{Resolved: "wan2.6-video-720p", Mode: I2V, References: refs(1)}, nil, 5000); got != 5000 {
		t.Errorf("from a picture: %d ms, want 5000", got)
	}
}

func TestMarkupAndCustomPrices(t *testing.T) {
	c, err := Load(Options{Markup: "1.2", Prices: map[string]string{"wan2.6-r2v-720p": "0.3333335"}})
	if err != nil {
		t.Fatal(err)
	}

	for id, want := range map[string]money.Amount{
		"wan2.6-r2v-flash-1080p-silent": 45_000,  // 0.0375 x 1.2
		"wan2.6-r2v-720p":               333_334, // the operator's own price: rounded half up, no mark-up
	} {
		if m, _ := c.Model(id); m.UnitPrice != want {
			t.Errorf("%s: %s, want %s", id, m.UnitPrice, want)
		}
	}
}

func TestPreviewIsFree(t *testing.T) {
	q, err := load(t).Price(Request{Resolved: "wan2.6-r2v-720p", Mode: R2V, Seconds: 10, Preview: true})
	if diff := cmp.Diff(Quote{Billing: BillFree}, q); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// Whatever kind the references turn out to have, the captured amount never exceeds the hold.
func TestHoldCoversEveryCapture(t *testing.T) {
	c := load(t)
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(c.Models()).Draw(t, "model")
		r := Request{Resolved: m.ID, Mode: rapid.SampledFrom(m.ModeList()).Draw(t, "mode"), Preview: rapid.Bool().Draw(t, "preview")}
		r.Seconds = rapid.IntRange(m.Seconds.Min, m.Seconds.Max).Draw(t, "seconds")

		var inputs []int64

		for range rapid.IntRange(0, m.Modes[r.Mode].References.Max).Draw(t, "references") {
			kind := rapid.SampledFrom([]Kind{Image, Video, ""}).Draw(t, "kind")

			r.References = append(r.References, Reference{Kind: kind})
			if kind == Video || kind == "" && rapid.Bool().Draw(t, "is a video") {
				inputs = append(inputs, rapid.Int64Range(0, 40_000).Draw(t, "millis"))
			}
		}

		q, err := c.Price(r)
		if err != nil {
			t.Fatal(err)
		}

		billed := c.Billed(r, inputs, rapid.Int64Range(0, int64(r.Seconds)*1000).Draw(t, "output"))

		cost, err := q.UnitPrice.ForMillis(billed)
		if err != nil || billed > q.MaxMillis || cost > q.Hold {
			t.Fatalf("billed %d of %d ms, %s of %s, %v", billed, q.MaxMillis, cost, q.Hold, err)
		}
	})
}
