package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// another adds an upstream beside the house's own.
func (h *house) another(name string, change func(*Upstream)) *supplier {
	other := newSupplier(h.supplier.video)
	u := h.upstreams[0]
	u.Name = name
	u.Provider = other
	change(&u)
	h.upstreams = append(h.upstreams, u)

	return other
}

func (s *supplier) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.orders)
}

// The first order takes all that it has room for; what goes beyond goes to the next.
func TestALaterRouteServesWhatTheFirstCannotTake(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 2
		other := h.another("another", func(u *Upstream) {
			u.Order = 2
			u.Limits.InProgress = 10
		})
		h.start()
		time.Sleep(time.Second) // of the bubble: both are served

		var ids []string
		for range 5 {
			ids = append(ids, h.create("acct_a", words("a boat")))

			time.Sleep(time.Second) // of the bubble
		}

		for _, id := range ids {
			h.untilState(id, task.Completed)
		}

		if first, second := h.supplier.count(), other.count(); first != 2 || second != 3 {
			t.Errorf("orders %d and %d, want 2 and 3", first, second)
		}

		h.sound()
	})
}

// Of the same order each gets its share.
func TestRoutesShareByWeight(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)

		limits := Limits{SubmitsPerSecond: 1000, InProgress: 1000, QueriesPerSecond: 1000}
		h.upstreams[0].Limits = limits
		h.upstreams[0].Weight = 3
		other := h.another("another", func(u *Upstream) { u.Weight = 1 })
		h.start()
		time.Sleep(time.Second) // of the bubble: both are served

		var ids []string
		for range 120 {
			ids = append(ids, h.create("acct_a", words("a boat")))
		}

		for _, id := range ids {
			h.untilState(id, task.Completed)
		}

		if n := other.count(); h.supplier.count()+n != 120 || n < 15 || n > 48 {
			t.Errorf("orders %d and %d, want about 90 and 30", h.supplier.count(), n)
		}

		h.sound()
	})
}

// Whose task has come to the head of a lane hears of it: a burst is not held up by
// routes that each wait for the other's turn to be over.
func TestABurstOverSeveralRoutesDoesNotPause(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits = Limits{SubmitsPerSecond: 1000, InProgress: 1000, QueriesPerSecond: 1000}
		h.another("another", func(*Upstream) {})
		h.another("a third", func(*Upstream) {})
		h.start()
		time.Sleep(time.Second) // of the bubble: all are served

		begin := h.d.millis()

		var ids []string
		for range 30 {
			ids = append(ids, h.create("acct_a", words("a boat")))
		}

		for _, id := range ids {
			h.until(id, "submitted", func(t task.Task) bool { return t.SubmittedAt > 0 })

			if waited := h.task(id).SubmittedAt - begin; waited > 100 {
				t.Fatalf("%s was submitted after %d ms", id, waited)
			}
		}
	})
}

func TestLotsFallByWeight(t *testing.T) {
	t.Parallel()

	won := 0

	for i := range 20_000 {
		id := fmt.Sprintf("task_%026d", i)
		if lot(id, "a/m", 3) > lot(id, "b/m", 1) {
			won++
		}
	}

	if won < 14_700 || won > 15_300 {
		t.Errorf("a route of weight 3 beside one of weight 1 won %d of 20000", won)
	}
}

// What one route cannot do it is not given; what none can do is refused by name.
func TestALaneHoldsOnlyRoutesThatCan(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.another("short", func(u *Upstream) {
			u.Routes = []Route{{Models: []string{"wan2.6-t2v"}, Supply: catalog.Supply{Seconds: []int{2}, Lacks: []catalog.Feature{catalog.LacksSeed}}}}
		})
		h.start()

		r := words("a boat")

		r.Seconds = 2
		if lane, f := h.d.Route(r); f != nil || lane != "short/wan2.6-t2v|up/wan2.6-t2v" {
			t.Errorf("both can: %q, %v", lane, f)
		}

		r.Seed = 9
		if lane, f := h.d.Route(r); f != nil || lane != "up/wan2.6-t2v" {
			t.Errorf("one has no seed: %q, %v", lane, f)
		}

		if err := h.d.WishUpstream(context.Background(), "up", store.WishDrain); err != nil {
			t.Fatal(err)
		}

		if lane, f := h.d.Route(r); f == nil || f.Code != fault.CodeNoRoute || f.Param != "seed" {
			t.Errorf("none can: %q, %v", lane, f)
		}
	})
}

// After failures on end an upstream is left alone, for ever longer times; one
// submission shows whether it works again. Others serve meanwhile, and no customer
// sees any of it.
func TestAFailingUpstreamIsLeftAlone(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Order = 1
		other := h.another("another", func(u *Upstream) { u.Order = 2 })
		broken := true
		h.supplier.submit = func(int, provider.Order) (bool, error) {
			if broken {
				return false, &provider.Failure{Taken: provider.NotTaken, Class: provider.Passing}
			}

			return true, nil
		}
		h.start()
		time.Sleep(time.Second) // of the bubble: both are served

		var ids []string
		for range 20 {
			ids = append(ids, h.create("acct_a", words("a boat")))

			time.Sleep(2 * time.Second)
		}

		for _, id := range ids {
			h.untilState(id, task.Completed)
		}

		tried := h.supplier.count()
		if tried < breakerAfter || tried > breakerAfter+3 || other.count() != 20 {
			t.Errorf("orders %d and %d, want a few and 20", tried, other.count())
		}

		row, err := h.store.Upstream(context.Background(), "up")
		if err != nil || row.ParkedUntil == 0 || row.ParkedWhy == "" {
			t.Errorf("not on disk: %+v, %v", row, err)
		}

		h.supplier.mu.Lock()
		broken = false
		h.supplier.mu.Unlock()
		time.Sleep(breakerLast)
		h.untilState(h.create("acct_a", words("a boat")), task.Completed)

		if h.supplier.count() != tried+1 {
			t.Errorf("%d orders after it worked again, had %d", h.supplier.count(), tried)
		}

		h.sound()
	})
}

// Pausing, draining and removing take nothing from what is in progress.
func TestWhatAnOperatorWishesHarmsNothingInProgress(t *testing.T) {
	t.Parallel()

	for _, wish := range []store.Wish{store.WishPause, store.WishDrain} {
		t.Run(string(wish), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.start()
				first := h.create("acct_a", words("a boat"))
				h.untilState(first, task.Running)

				if err := h.d.WishUpstream(context.Background(), "up", wish); err != nil {
					t.Fatal(err)
				}

				second := ""
				if wish == store.WishPause {
					second = h.create("acct_a", words("another boat"))
				} else if _, f := h.d.Route(words("a boat")); f == nil {
					t.Error("new tasks count on an upstream that drains")
				}

				h.untilState(first, task.Completed)
				time.Sleep(5 * time.Minute)

				if n := h.supplier.count(); n != 1 {
					t.Errorf("%d orders", n)
				}

				if err := h.d.WishUpstream(context.Background(), "up", store.WishServe); err != nil {
					t.Fatal(err)
				}

				if second == "" {
					second = h.create("acct_a", words("another boat"))
				}

				h.untilState(second, task.Completed)
				h.sound()
			})
		})
	}
}

// What waits only for an upstream that closes goes another way when there is one,
// and is ended free of charge when it never can be made.
func TestWhatWaitsForAClosedUpstreamGoesOn(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.make = func(setup string) (Upstream, error) {
			u := h.upstreams[0]
			u.Name = setup
			u.Provider = newSupplier(h.supplier.video)

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "up"); !errors.Is(err, ErrExists) {
			t.Errorf("one that there is: %v", err)
		}

		first := h.create("acct_a", words("a boat"))
		h.untilState(first, task.Running)
		waits := h.create("acct_a", words("it waits"))
		h.untilState(waits, task.Queued)

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		added, ok := h.d.upstream("wave").Provider.(*supplier)
		if !ok {
			t.Fatal("it was not made")
		}

		if err := h.d.WishUpstream(context.Background(), "up", store.WishDrain); err != nil {
			t.Fatal(err)
		}

		h.untilState(waits, task.Completed)

		if h.untilState(first, task.Completed); added.count() != 1 {
			t.Errorf("%d orders at the added one", added.count())
		}
		// It goes too: what is in progress there ends well, what waits is ended.
		last := h.create("acct_a", words("a boat"))
		h.untilState(last, task.Running)
		rest := h.create("acct_a", words("it waits"))
		h.untilState(rest, task.Queued)

		if err := h.d.WishUpstream(context.Background(), "wave", store.WishRemove); err != nil {
			t.Fatal(err)
		}

		if failed := h.untilState(rest, task.Failed); failed.Error.Code != string(fault.CodeNoRoute) || failed.Cost != 0 {
			t.Errorf("failed as %+v", failed.Error)
		}

		h.untilState(last, task.Completed)
		h.untilTrue("it is forgotten", func() bool { return h.d.upstream("wave") == nil })

		if err := h.d.WishUpstream(context.Background(), "up", store.WishRemove); !errors.Is(err, ErrConfigured) {
			t.Errorf("one that is configured: %v", err)
		}

		if err := h.d.WishUpstream(context.Background(), "nobody", store.WishPause); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}

		h.sound()
	})
}

// An added upstream is there again after a restart.
func TestAnAddedUpstreamOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		other := newSupplier(h.supplier.video)
		h.make = func(setup string) (Upstream, error) {
			if setup == "broken" {
				return Upstream{}, errors.New("its key is not on this machine")
			}

			u := h.upstreams[0]
			u.Name = setup
			u.Provider = other

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "broken"); err == nil {
			t.Error("one that cannot be made was added")
		}

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		if err := h.d.WishUpstream(context.Background(), "up", store.WishDrain); err != nil {
			t.Fatal(err)
		}

		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)
		h.halt()

		h.registry = prometheus.NewRegistry()
		if d, err := New(context.Background(), h.options()); err != nil || d.upstream("wave") == nil {
			t.Errorf("before anything runs it is not counted on: %v", err)
		}

		h.start()
		h.untilState(id, task.Completed)

		if n := len(other.taken(id)); n != 1 {
			t.Errorf("taken %d times", n)
		}

		h.sound()
	})
}

// untilTrue waits for what no task shows.
func (h *house) untilTrue(what string, is func() bool) {
	h.t.Helper()

	for range 1000 {
		if is() {
			return
		}

		wait(context.Background(), time.Second)
	}

	h.t.Fatalf("never: %s", what)
}

// An order that may have been taken goes nowhere else, however many routes the lane
// has; one that was not taken does.
func TestOnlyWhatWasNotTakenGoesToTheNextRoute(t *testing.T) {
	t.Parallel()

	for _, taken := range []provider.Taken{provider.NotTaken, provider.Unsure} {
		t.Run(map[provider.Taken]string{provider.NotTaken: "not taken", provider.Unsure: "unsure"}[taken], func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				other := h.another("another", func(u *Upstream) { u.Order = 2 })
				h.start()
				time.Sleep(time.Second) // of the bubble: both are served
				h.untilState(h.create("acct_a", words("an earlier one")), task.Completed)
				h.supplier.mu.Lock()
				h.supplier.blind = true // what it took cannot be found
				h.supplier.submit = func(int, provider.Order) (bool, error) {
					return taken == provider.Unsure, &provider.Failure{Taken: taken, Class: provider.Passing}
				}
				h.supplier.mu.Unlock()
				id := h.create("acct_a", words("a boat"))

				done := h.untilFinal(id)
				if taken == provider.NotTaken {
					if done.State != task.Completed || len(other.taken(id)) != 1 {
						t.Errorf("ended %s; the next route has it %d times", done.State, len(other.taken(id)))
					}

					return
				}

				if done.State != task.Failed || done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0 || other.count() != 0 || len(h.supplier.taken(id)) != 1 {
					t.Errorf("ended %s, %+v; ordered %d and %d times", done.State, done.Error, h.supplier.count(), other.count())
				}

				h.sound()
			})
		})
	}
}

// The same request costs the same, whoever makes it and whatever they tell of it.
func TestThePriceIsTheSameOnEveryRoute(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		other := h.another("another", func(u *Upstream) { u.Order = 2 })
		other.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			r.usage = nil // it tells nothing of what it bills
			return nil, nil
		}

		h.start()
		time.Sleep(time.Second) // of the bubble: both are served

		costs := map[string]bool{}

		var ids []string
		for range 2 {
			ids = append(ids, h.create("acct_a", words("a boat")))
		}

		for _, id := range ids {
			costs[h.untilState(id, task.Completed).Cost.String()] = true
		}

		if len(costs) != 1 || h.supplier.count() != 1 || other.count() != 1 {
			t.Errorf("costs %v; orders %d and %d", costs, h.supplier.count(), other.count())
		}

		h.sound()
	})
}

// A name that was removed and then stands in the configuration serves again.
func TestARemovedNameMayBeConfigured(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.make = func(setup string) (Upstream, error) {
			u := h.upstreams[0]
			u.Name = setup
			u.Provider = newSupplier(h.supplier.video)

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		if err := h.d.WishUpstream(context.Background(), "wave", store.WishRemove); err != nil {
			t.Fatal(err)
		}

		h.untilTrue("it is forgotten", func() bool { return h.d.upstream("wave") == nil })
		h.halt()
		h.upstreams[0].Name = "wave"
		h.start()
		h.untilTrue("it is served", func() bool { _, f := h.d.Route(words("a boat")); return f == nil })
		h.untilState(h.create("acct_a", words("a boat")), task.Completed)
		h.sound()
	})
}

// An upstream is met from two sides, by who added it and by the next look around:
// it joins once.
func TestAnUpstreamJoinsOnceHoweverManySeeIt(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		made := 0
		h.make = func(setup string) (Upstream, error) {
			made++
			u := h.upstreams[0]
			u.Name = setup

			return u, nil
		}
		h.start()

		row := store.Upstream{ID: "wave", Setup: "wave"}

		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { h.d.roster.tell(func() { h.d.meet(row) }) })
		}

		all.Wait()

		if n := len(h.d.roster.list()); n != 2 || made != 1 {
			t.Errorf("%d upstreams, made %d times", n, made)
		}
	})
}

// A look that read its rows before a wish, and acts on them after it, does not take
// the wish back.
func TestAnOlderLookDoesNotTakeAWishBack(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.start()
		time.Sleep(time.Second) // of the bubble: it is served

		ctx := context.Background()
		mark := h.d.roster.mark()

		old, err := h.store.Upstreams(ctx)
		if err != nil {
			t.Fatal(err)
		}

		if err := h.d.WishUpstream(ctx, "up", store.WishPause); err != nil {
			t.Fatal(err)
		}

		h.d.meetAll(old, mark)

		up := h.d.upstream("up")
		if up.wished() != store.WishPause {
			t.Errorf("after an older look it is %q", up.wished())
		}

		mark = h.d.roster.mark()
		h.d.park(ctx, up, time.Now().Add(time.Hour), "a test")
		h.d.meetAll(old, mark)

		if !up.parkedUntil().After(time.Now()) {
			t.Error("after an older look it is parked no more")
		}

		time.Sleep(5 * time.Second) // of the bubble: looks of its own

		if up.wished() != store.WishPause || !up.parkedUntil().After(time.Now()) {
			t.Errorf("after a newer look it is %q, parked until %s", up.wished(), up.parkedUntil())
		}
	})
}
