package dispatch

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// clusterEvent is something that happens to one of the replicas.
type clusterEvent struct {
	After  int // seconds after the one before
	Kind   string
	Target int // index among the replicas that it can happen to, modulo their number
}

var eventPlans = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) clusterEvent {
	return clusterEvent{
		After:  rapid.IntRange(0, 15).Draw(t, "after"),
		Kind:   rapid.SampledFrom([]string{"join", "join", "kill", "stop", "freeze", "freeze", "thaw", "thaw"}).Draw(t, "kind"),
		Target: rapid.IntRange(0, 9).Draw(t, "target"),
	}
}), 6, 14)

// applyEvent applies an event, if there is a replica that it can happen to.
func (c *cluster) applyEvent(event clusterEvent) {
	var candidates []*replica

	for _, r := range c.replicas {
		r.mu.Lock()
		alive := !r.dead && r.done != nil
		frozen := r.frozen != nil
		r.mu.Unlock()

		if alive && (frozen == (event.Kind == "thaw") || event.Kind == "kill") {
			candidates = append(candidates, r)
		}
	}

	switch {
	case event.Kind == "join":
		c.startReplica(fmt.Sprint("replica ", len(c.replicas)))
	case len(candidates) == 0:
	case event.Kind == "kill":
		candidates[event.Target%len(candidates)].kill()
	case event.Kind == "stop":
		candidates[event.Target%len(candidates)].shutdown()
	case event.Kind == "freeze":
		candidates[event.Target%len(candidates)].freeze()
	case event.Kind == "thaw":
		candidates[event.Target%len(candidates)].thaw()
	}
}

// loseResponses loses 2 of 11 responses, one with and one without an accepted submission,
// and makes the supplier reject 1 of 11 submissions.
func (c *cluster) loseResponses() {
	for _, s := range c.suppliers {
		s.listLag = 10 * time.Second
		s.onSubmit = func(n int, _ provider.Submission) (bool, error) {
			switch n % 11 {
			case 4:
				return true, lostResponseErr()
			case 7:
				return false, lostResponseErr()
			case 9:
				return false, notAcceptedErr(provider.Transient)
			}

			return true, nil
		}
	}
}

// TestRandomReplicaFaults checks the guarantee among replicas: whichever replicas crash,
// freeze or stop, every task is completed, the supplier accepts it once, and the ledger is
// exact.
func TestRandomReplicaFaults(t *testing.T) {
	t.Parallel()

	for seed := range seeds(5) {
		events := eventPlans.Example(seed)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			withClusterOn(databasesForSeed(seed), t, 2, func(c *cluster) {
				t.Logf("%+v", events)

				c.rendererTime = new(time.Duration)
				*c.rendererTime = 10 * time.Second
				c.startReplica("first")
				c.startReplica("second")
				time.Sleep(time.Second)

				for range 2 { // so that both lists are known to show our tasks
					c.createTask("acct_a", textRequest("earlier"))
					c.createTask("acct_a", referenceRequest("earlier", "https://example.com/face.png"))
				}

				time.Sleep(time.Minute)
				c.loseResponses()

				ids := map[string][]string{}
				created := make(chan struct{})

				go func() {
					defer close(created)

					for i := range 24 {
						r := textRequest(fmt.Sprint("a boat ", i))
						switch i % 4 {
						case 1:
							r = referenceRequest(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")
						case 3:
							r.Preview = true
						}

						ids[fmt.Sprint(r.Preview)] = append(ids[fmt.Sprint(r.Preview)], c.createTask("acct_a", r))

						time.Sleep(4 * time.Second)
					}
				}()

				for _, event := range events {
					time.Sleep(time.Duration(event.After) * time.Second)
					c.applyEvent(event)
				}

				<-created
				c.startReplica("last")
				time.Sleep(time.Minute)

				for _, r := range c.replicas {
					r.thaw()
				}

				c.checkEnd(ids)
			})
		})
	}
}

// checkEnd checks that all tasks are completed, the invariants hold, and each upstream is
// served by one replica with no slot in use. Previews may be rendered more than once.
func (c *cluster) checkEnd(ids map[string][]string) {
	c.t.Helper()

	for _, id := range ids["true"] {
		c.waitForState(id, task.Completed)
	}

	c.checkCompleted(ids["false"]...)
	time.Sleep(2 * time.Minute)
	c.checkInvariants()

	for up := range c.suppliers {
		owners := 0

		for _, r := range c.replicas {
			if !r.isWorking() {
				continue
			}

			if w := (fleet{r.d}).worker(up); w != nil {
				owners++

				if n := w.InProgress(); n != 0 {
					c.t.Errorf("%d slots of %s are in use though every task is final", n, up)
				}
			}
		}

		if owners != 1 {
			c.t.Errorf("%s is served by %d replicas", up, owners)
		}
	}
}
