package clock

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestActorsEndTheirWaitsApart checks that waits of the same duration end one after the
// other, at the same instants in every run, and never early.
func TestActorsEndTheirWaitsApart(t *testing.T) {
	t.Parallel()

	run := func() (order []string) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			woken := make(chan string, 100)

			for i := range cap(woken) {
				actor := New(time.Now, 1).Actor(fmt.Sprint("actor ", i))

				go func() {
					actor.Sleep(t.Context(), time.Second)

					if waited := time.Since(begin); waited < time.Second || waited > time.Second+grain {
						t.Errorf("a wait of 1 s took %v", waited)
					}

					woken <- fmt.Sprint(i, " at ", time.Since(begin))
				}()
			}

			for range cap(woken) {
				order = append(order, <-woken)
			}
		})

		return order
	}

	if first, second := run(), run(); !slices.Equal(first, second) {
		t.Errorf("two runs differ:\n%v\n%v", first, second)
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		begin := time.Now()
		if New(time.Now, 1).Actor("a").Sleep(ctx, time.Hour) || time.Since(begin) != time.Minute {
			t.Errorf("the sleep ended after %v", time.Since(begin))
		}
	})
}

func TestRandIsTheActorsOwn(t *testing.T) {
	t.Parallel()

	draw := func(seed uint64, name string) uint64 { return New(time.Now, seed).Actor(name).Rand().Uint64() }

	first := draw(1, "a")
	if again := draw(1, "a"); again != first {
		t.Error("the same seed and actor draw different numbers")
	}

	if first == draw(1, "b") || first == draw(2, "a") {
		t.Error("another seed or actor draws the same numbers")
	}
}
