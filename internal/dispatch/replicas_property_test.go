package dispatch

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// deed is something that happens to one of the replicas.
type deed struct {
	After int // seconds after the one before
	What  string
	Whom  int // of those that it can happen to
}

var anyDeeds = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) deed {
	return deed{
		After: rapid.IntRange(0, 15).Draw(t, "after"),
		What:  rapid.SampledFrom([]string{"join", "join", "kill", "stop", "freeze", "freeze", "thaw", "thaw"}).Draw(t, "what"),
		Whom:  rapid.IntRange(0, 9).Draw(t, "whom"),
	}
}), 6, 14)

// happens does a deed, if there is anybody to whom it can.
func (c *crew) happens(x deed) {
	var can []*replica

	for _, r := range c.replicas {
		r.mu.Lock()
		lives := !r.dead && r.ended != nil
		frozen := r.ice != nil
		r.mu.Unlock()

		if lives && (frozen == (x.What == "thaw") || x.What == "kill") {
			can = append(can, r)
		}
	}

	switch {
	case x.What == "join":
		c.join(fmt.Sprint("replica ", len(c.replicas)))
	case len(can) == 0:
	case x.What == "kill":
		can[x.Whom%len(can)].kill()
	case x.What == "stop":
		can[x.Whom%len(can)].leave()
	case x.What == "freeze":
		can[x.Whom%len(can)].freeze()
	case x.What == "thaw":
		can[x.Whom%len(can)].thaw()
	}
}

// blows has every third answer or so lost, with or without its order.
func (c *crew) blows() {
	for _, s := range c.suppliers {
		s.lag = 10 * time.Second
		s.submit = func(n int, _ provider.Order) (bool, error) {
			switch n % 11 {
			case 4:
				return true, lost()
			case 7:
				return false, lost()
			case 9:
				return false, saysNo(provider.Passing)
			}

			return true, nil
		}
	}
}

// TestWhateverHappensToReplicas is the law among replicas: whoever dies, stands
// still or ends, every task is completed, is at the supplier once, and the ledger
// is exact.
func TestWhateverHappensToReplicas(t *testing.T) {
	t.Parallel()

	for seed := range seeds(5) {
		deeds := anyDeeds.Example(seed)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inCrewOf(inSomeHouses(seed), t, 2, func(c *crew) {
				t.Logf("%+v", deeds)

				c.own = new(time.Duration)
				*c.own = 10 * time.Second
				c.join("first")
				c.join("second")
				time.Sleep(time.Second)

				for range 2 { // proves lists, at both
					c.create("acct_a", words("earlier"))
					c.create("acct_a", refs("earlier", "https://example.com/face.png"))
				}

				time.Sleep(time.Minute)
				c.blows()

				ids := map[string][]string{}

				arrived := make(chan struct{})
				go func() {
					defer close(arrived)

					for i := range 24 {
						r := words(fmt.Sprint("a boat ", i))
						switch i % 4 {
						case 1:
							r = refs(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")
						case 3:
							r.Preview = true
						}

						ids[fmt.Sprint(r.Preview)] = append(ids[fmt.Sprint(r.Preview)], c.create("acct_a", r))

						time.Sleep(4 * time.Second)
					}
				}()

				for _, x := range deeds {
					time.Sleep(time.Duration(x.After) * time.Second)
					c.happens(x)
				}

				<-arrived
				c.join("the last to come")
				time.Sleep(time.Minute)

				for _, r := range c.replicas {
					r.thaw()
				}

				c.ends(ids)
			})
		})
	}
}

// ends holds everything to its end.
func (c *crew) ends(ids map[string][]string) {
	c.t.Helper()

	for _, id := range ids["true"] {
		c.untilState(id, task.Completed)
	}

	c.done(ids["false"]...)
	time.Sleep(2 * time.Minute)
	c.sound()

	for up := range c.suppliers {
		owners := 0

		for _, r := range c.replicas {
			if !r.works() {
				continue
			}

			if t := r.d.keeper.tenure(up); t != nil {
				owners++

				if n := t.inProgress(); n != 0 {
					c.t.Errorf("%d slots of %s are in use though every task is final", n, up)
				}
			}
		}

		if owners != 1 {
			c.t.Errorf("%s is served by %d replicas", up, owners)
		}
	}
}
