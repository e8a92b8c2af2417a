package fairqueue

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestOrderIsFair checks the rule of fair queueing: while every account has tasks, the
// seconds that two accounts were served, each divided by the account's weight, never differ
// by more than their longest tasks.
func TestOrderIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const longest = 15

		weights := rapid.SliceOfN(rapid.Int64Range(1, 8), 2, 6).Draw(t, "weights")

		shares := make([]Share, len(weights))
		for i, weight := range weights {
			shares[i] = Share{Account: fmt.Sprint("acct_", i), Weight: weight}
		}

		order := NewOrder(shares)
		served := map[string]int64{} // seconds, times Scale, divided by the weight

		for range rapid.IntRange(1, 200).Draw(t, "claims") {
			first, _ := order.First()

			seconds := rapid.Int64Range(1, longest).Draw(t, "seconds")
			order.Take(seconds)

			served[first.Account] += Cost(seconds) / first.Weight

			for _, a := range shares {
				for _, b := range shares {
					bound := Cost(longest)/a.Weight + Cost(longest)/b.Weight
					if ahead := served[a.Account] - served[b.Account]; ahead > bound {
						t.Fatalf("%s is ahead of %s by %d, at most %d is fair", a.Account, b.Account, ahead, bound)
					}
				}
			}
		}
	})
}

// TestOrderDrops checks that a share without tasks leaves the turn to the others, and that
// of equal shares the first account comes first.
func TestOrderDrops(t *testing.T) {
	order := NewOrder([]Share{{Account: "b", Weight: 1}, {Account: "a", Weight: 1}, {Account: "c", VirtualStart: 1, Weight: 1}})

	for _, want := range []string{"a", "b", "c"} {
		if first, ok := order.First(); !ok || first.Account != want {
			t.Errorf("first is %+v %v, want %s", first, ok, want)
		}

		order.Drop()
	}

	if first, ok := order.First(); ok {
		t.Errorf("%+v is left", first)
	}
}

// TestJoin checks that an idle account gains nothing by having been idle, and that one that
// is ahead stays there.
func TestJoin(t *testing.T) {
	if got := Join(3, 10); got != 10 {
		t.Errorf("an idle share starts at %d, want 10", got)
	}

	if got := Join(12, 10); got != 12 {
		t.Errorf("a share that is ahead starts at %d, want 12", got)
	}
}
