package task

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRouteSetRoundTrip checks that a queue's id and its routes say the same, in whichever
// order and however often the routes are named.
func TestRouteSetRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		route := rapid.Custom(func(t *rapid.T) Route {
			return Route{
				Upstream: rapid.StringMatching(`[a-z][a-z0-9-]{0,5}`).Draw(t, "upstream"),
				Model:    rapid.StringMatching(`[a-z0-9.-]{1,4}(/[a-z0-9.-]{1,4})?`).Draw(t, "model"),
			}
		})
		routes := rapid.SliceOfN(route, 1, 6).Draw(t, "routes")

		set := NewRouteSet(routes...)
		if diff := cmp.Diff(set, ParseRouteSet(set.String())); diff != "" {
			t.Fatalf("parsed (-want +got):\n%s", diff)
		}

		again := NewRouteSet(slices.Concat(routes, routes[:1])...)
		if again.String() != set.String() {
			t.Fatalf("the same routes twice are %q, want %q", again, set)
		}

		for _, r := range routes {
			if !slices.Contains(set, r) || !set.Includes(r.Upstream) {
				t.Fatalf("%v is not in %v", r, set)
			}
		}
	})
}

func TestUpstreamIDRoundTrip(t *testing.T) {
	for text, want := range map[string]UpstreamID{
		"wave":             {Name: "wave"},
		"animatic@owner_1": {Name: "animatic", Process: "owner_1"},
	} {
		if got := ParseUpstreamID(text); got != want || got.String() != text {
			t.Errorf("%q is parsed as %+v and written as %q", text, got, got)
		}
	}
}

func TestCheckUpstreamName(t *testing.T) {
	for name, valid := range map[string]bool{"wave": true, "wave-2": true, "": false, "a/b": false, "a|b": false, "a@b": false, "~a": false} {
		if err := CheckUpstreamName(name); (err == nil) != valid {
			t.Errorf("%q: %v", name, err)
		}
	}
}
