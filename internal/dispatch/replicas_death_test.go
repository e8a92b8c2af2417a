package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// serving starts a replica that serves the only upstream, and one that does not.
func (c *crew) serving() (owner, other *replica) {
	c.t.Helper()
	owner = c.join("owner")
	c.within(time.Second, "served", func() bool { return c.server("up1") == owner })
	other = c.join("other")
	c.untilState(c.create("acct_a", words("proves lists")), task.Completed)

	return owner, other
}

// A process that stands still and goes on when another one has taken over must
// harm nothing, wherever it stood.
func TestAFrozenOwnerWakesAndHarmsNothing(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		point string // where it freezes
		long  time.Duration
	}{
		"before its order goes out, briefly":             {"before-submit", 13 * time.Second},
		"before its order goes out, longer than rescues": {"before-submit", 5 * time.Minute},
		"with the answer in its hands":                   {"after-submit", 5 * time.Minute},
		"with the answer in its hands, briefly":          {"after-submit", 13 * time.Second},
		"as it asks":                                     {"polling", 2 * time.Minute},
		"as it collects":                                 {"collecting", 2 * time.Minute},
		"before its last commit":                         {"after-put", 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inCrew(t, 1, func(cr *crew) {
				owner, other := cr.serving()
				hit := make(chan struct{})

				owner.meet(c.point, func() {
					owner.freeze()
					close(hit)
				})

				id := cr.create("acct_a", words("a boat"))

				<-hit
				cr.within(13*time.Second, "taken over", func() bool { return cr.server("up1") == other })
				more := cr.create("acct_a", words("one more"))

				time.Sleep(c.long - 13*time.Second)
				owner.thaw()
				cr.done(id, more)
				time.Sleep(time.Minute) // whatever it wanted to write, it has
				cr.sound()

				for _, id := range []string{id, more} {
					if end := cr.task(id); end.State != task.Completed || end.Error != nil {
						t.Errorf("%s ended %s, %+v", id, end.State, end.Error)
					}
				}

				for _, ticket := range append(cr.taken(id), cr.taken(more)...) {
					cr.recorded("up1", ticket)
				}
			})
		})
	}
}

// recorded says that a ticket stands in an attempt: else it is an orphan.
func (c *crew) recorded(up string, ticket provider.Ticket) {
	c.t.Helper()

	list, err := c.store.AttemptsSince(context.Background(), up, "", 0)
	if err != nil {
		c.t.Fatal(err)
	}

	want := up + "/" + string(ticket)
	if !slices.ContainsFunc(list, func(a store.Attempt) bool { return a.Ticket == want }) {
		c.t.Errorf("%s stands in no attempt", want)
	}
}

// A refusal is a decision: an old owner that hears one late leaves the task to the
// new one.
func TestAFrozenOwnersRefusalDecidesNothing(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		owner, other := c.serving()
		refuse := true
		c.suppliers["up1"].submit = func(int, provider.Order) (bool, error) {
			if refuse {
				refuse = false
				return false, saysNo(provider.Refused)
			}

			return true, nil
		}
		hit := make(chan struct{})

		owner.meet("after-submit", func() {
			owner.freeze()
			close(hit)
		})

		id := c.create("acct_a", words("a boat"))

		<-hit
		c.within(13*time.Second, "taken over", func() bool { return c.server("up1") == other })
		owner.thaw()
		time.Sleep(10 * time.Second)

		if got := c.task(id); got.State != task.Submitting {
			t.Errorf("the old owner made it %s", got.State)
		}

		c.done(id) // the new one found that it was not taken
	})
}

// A ticket belongs to its attempt: one that comes late must not stand for a later
// submission, here after a list that did not show what the supplier had taken.
func TestALateTicketDoesNotStandForALaterAttempt(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		owner := c.join("owner")
		c.within(time.Second, "served", func() bool { return c.server("up1") == owner })
		other := c.join("other")
		c.suppliers["up1"].blind = true
		hit := make(chan struct{})
		again := make(chan struct{})

		owner.meet("after-submit", func() {
			owner.freeze()
			close(hit)
		})
		other.slowly("up1", func() {
			close(again)
			time.Sleep(10 * time.Second)
		})

		id := c.create("acct_a", words("a boat"))

		<-hit
		<-again
		owner.thaw()
		time.Sleep(5 * time.Second)

		if got := c.task(id); got.State != task.Submitting || got.Attempt != 2 {
			t.Errorf("the first attempt's ticket made it %s in attempt %d", got.State, got.Attempt)
		}

		if end := c.untilState(id, task.Completed); end.Ticket != "up1/ticket-2" {
			t.Errorf("completed from %s", end.Ticket)
		}

		c.recorded("up1", "ticket-1")
		c.sound()
	})
}

// That an answer was lost is of no use once another owner has found the ticket,
// and must not take away that it has to be proved.
func TestALostAnswerIsNotLostAgainLater(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		owner, _ := c.serving()
		c.suppliers["up1"].submit = func(int, provider.Order) (bool, error) { return true, lost() }
		c.rendersIn(10 * time.Minute)

		hit := make(chan struct{})

		owner.meet("after-submit", func() {
			owner.freeze()
			close(hit)
		})

		id := c.create("acct_a", words("a boat"))

		<-hit
		c.untilState(id, task.Running)
		owner.thaw()
		time.Sleep(time.Minute)

		if a, err := c.store.Attempt(context.Background(), id, 1); err != nil || a.Outcome != "adopted" {
			t.Errorf("the attempt is %+v, %v", a, err)
		}

		c.done(id)
	})
}

func TestTheRendererOfADeadReplicaIsReplaced(t *testing.T) {
	t.Parallel()

	for name, how := range map[string]struct {
		end  func(*replica)
		most time.Duration
	}{
		"killed":  {(*replica).kill, 12 * time.Second},
		"stopped": {(*replica).leave, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inCrew(t, 1, func(c *crew) {
				c.own = new(time.Duration)
				*c.own = 20 * time.Second
				first := c.join("first")

				time.Sleep(time.Second)

				r := words("a boat")
				r.Preview = true

				var ids []string
				for range 4 { // two render, two wait for the other replica
					ids = append(ids, c.create("acct_a", r))
				}

				c.untilState(ids[1], task.Running)
				second := c.join("second")
				c.untilState(ids[3], task.Running)

				if len(first.film.order) != 2 || len(second.film.order) != 2 {
					t.Fatalf("%d and %d films are made", len(first.film.order), len(second.film.order))
				}

				ended := time.Now()

				how.end(first)
				c.within(how.most, "back in the lane", func() bool {
					return c.task(ids[0]).State == task.Queued || c.task(ids[0]).Attempt == 2
				})
				t.Logf("after %s", time.Since(ended))

				for _, id := range ids {
					if end := c.untilState(id, task.Completed); !strings.HasPrefix(end.Upstream, "animatic@"+second.d.owner) || end.Retries != 0 {
						t.Errorf("%s was made by %s, retries %d", id, end.Upstream, end.Retries)
					}
				}

				c.sound()

				leases, err := c.store.Leases(context.Background(), time.Now().UnixMilli())
				if err != nil {
					t.Fatal(err)
				}

				for _, l := range leases {
					if strings.Contains(l.ID, "@") && l.ID != "animatic@"+second.d.owner {
						t.Errorf("the lease of %s was not forgotten", l.ID)
					}
				}

				list, err := second.d.Upstreams(context.Background())
				if err != nil || len(list) != 2 || list[0].Name != "up1" || list[1].Name != "animatic" {
					t.Errorf("the operator is shown %+v, %v", list, err)
				}
			})
		})
	}
}

// A renderer of a frozen process lost its tasks to others; when it wakes it starts
// anew, and delivers nothing twice.
func TestTheRendererOfAFrozenReplicaStartsAnew(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		c.own = new(time.Duration)
		*c.own = 20 * time.Second
		first := c.join("first")

		time.Sleep(time.Second)

		r := words("a boat")
		r.Preview = true
		id := c.create("acct_a", r)
		c.untilState(id, task.Running)
		second := c.join("second")

		first.freeze()

		if end := c.untilState(id, task.Completed); end.Attempt != 2 || end.Upstream != "animatic@"+second.d.owner {
			t.Errorf("attempt %d at %s", end.Attempt, end.Upstream)
		}

		first.thaw()
		second.leave()
		c.untilState(c.create("acct_a", r), task.Completed)
		c.sound()
	})
}

func TestTasksOfADeadReplicaArePreparedByAnother(t *testing.T) {
	t.Parallel()

	for name, how := range map[string]struct {
		end  func(*replica)
		most time.Duration
	}{
		"killed": {(*replica).kill, 12 * time.Second},
		"frozen": {(*replica).freeze, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inCrew(t, 1, func(c *crew) {
				first := c.join("first")

				time.Sleep(time.Second)

				hit := make(chan struct{})

				first.meet("preparing", func() {
					how.end(first)
					close(hit)
				})

				id := c.create("acct_a", refs("character1 walks", "https://example.com/face.png"))

				<-hit
				c.join("second")
				c.within(how.most+time.Second, "prepared", func() bool { return c.task(id).State != task.Preparing })
				c.done(id)
			})
		})
	}
}

func TestNobodyPreparesWhatALivingReplicaPrepares(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		for _, name := range []string{"first", "second"} {
			r := c.join(name)
			r.mu.Lock()
			r.at = func(point string) {
				if point == "preparing" {
					time.Sleep(time.Minute) // a slow address
				}
			}
			r.mu.Unlock()
		}

		time.Sleep(time.Second)

		var ids []string
		for i := range 20 {
			ids = append(ids, c.create("acct_a", refs(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")))
		}

		c.done(ids...)

		if n := len(c.passed("preparing")); n != len(ids) {
			t.Errorf("%d tasks were prepared %d times", len(ids), n)
		}

		if !slices.Contains(c.passed("preparing"), "first") || !slices.Contains(c.passed("preparing"), "second") {
			t.Error("one replica did not help")
		}
	})
}

func TestTheBackgroundIsWorkedByOneAtATime(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		for _, name := range []string{"first", "second", "third"} {
			c.join(name)
		}

		time.Sleep(5 * time.Minute)

		sweepers := slices.Compact(c.passed("sweeping"))
		if len(sweepers) != 1 || len(c.passed("sweeping")) < 15 {
			t.Fatalf("swept by %v", c.passed("sweeping"))
		}

		for _, end := range []func(*replica){(*replica).kill, (*replica).leave} {
			swept := c.passed("sweeping")
			i := slices.IndexFunc(c.replicas, func(r *replica) bool { return r.name == swept[len(swept)-1] })
			end(c.replicas[i])
			before := len(c.passed("sweeping")) // it may have swept once more at this very instant

			time.Sleep(time.Minute)

			after := slices.Compact(c.passed("sweeping")[before:])
			if len(after) != 1 || after[0] == c.replicas[i].name {
				t.Errorf("after %s ended, swept by %v", c.replicas[i].name, after)
			}
		}

		list, err := c.store.Upstreams(context.Background())
		if err != nil || len(list) != 1 || list[0].ID != "up1" {
			t.Errorf("upstreams %+v, %v", list, err)
		}
	})
}

func TestEveryReplicaTellsHowATaskStands(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		c.upstreams[0].Limits.InProgress = 1

		owner, other := c.serving()
		for i := range 5 { // paces to go by
			c.rendersIn(time.Duration(60+20*i) * time.Second)
			c.done(c.create("acct_a", words("a boat")))
		}

		c.rendersIn(100 * time.Second)
		time.Sleep(2 * time.Minute) // they are read again

		id := c.create("acct_a", words("a boat"))
		c.untilState(id, task.Running)
		next := c.create("acct_a", words("waits"))
		last := map[string]int64{}
		look := func() {
			t.Helper()

			for _, r := range c.replicas {
				if !r.works() {
					continue
				}

				progress, _, eta, ok := r.d.Live(id)
				if c.task(id).State.Final() { // nobody asks then
					continue
				}

				if progress < last[r.name] {
					t.Errorf("%s: progress fell from %d to %d", r.name, last[r.name], progress)
				}

				last[r.name] = progress
				if left := time.Until(time.Unix(eta, 0)); ok && eta > 0 && (left > 110*time.Second || left < -2*time.Second) {
					t.Errorf("%s: ends in %s", r.name, left)
				}
			}
		}

		for range 60 {
			time.Sleep(time.Second)
			look()
		}

		if last["owner"] < 10 || last["other"] < 10 || last["owner"]-last["other"] > 10 || last["other"]-last["owner"] > 10 {
			t.Errorf("progress is %v", last)
		}

		for _, r := range c.replicas {
			if _, position, _, ok := r.d.Live(next); !ok || position != 1 {
				t.Errorf("%s: position %d, %v", r.name, position, ok)
			}

			list, err := r.d.Upstreams(context.Background())
			if err != nil || list[0].InProgress != 1 || list[0].Waiting != 1 || len(list[0].Models) != 1 {
				t.Errorf("%s: %+v, %v", r.name, list, err)
			}
		}

		owner.leave()

		for c.task(id).State == task.Running {
			time.Sleep(time.Second)
			look()
		}

		if c.server("up1") != other || last["other"] < 40 {
			t.Errorf("progress was %v", last)
		}

		c.done(id, next)
	})
}
