package dispatch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

// counts says how many upstreams each working replica serves, fewest first.
func (c *crew) counts() (list []int) {
	for _, r := range c.replicas {
		if r.works() {
			list = append(list, len(r.serves()))
		}
	}

	slices.Sort(list)

	return list
}

// fences adds up how often the leases changed hands.
func (c *crew) fences() (n int64) {
	c.t.Helper()

	list, err := c.store.Upstreams(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}

	for _, u := range list {
		n += u.Fence
	}

	return n
}

func TestUpstreamsSpreadOverTheReplicas(t *testing.T) {
	t.Parallel()
	inCrew(t, 4, func(c *crew) {
		spread := func(most time.Duration, want ...int) {
			t.Helper()
			c.within(most, fmt.Sprintf("spread %v", want), func() bool { return slices.Equal(c.counts(), want) })
		}
		first := c.join("first")

		spread(200*time.Millisecond, 4)
		c.join("second")
		spread(5*time.Second, 2, 2)
		c.join("third")
		spread(5*time.Second, 1, 1, 2)

		before := c.fences()

		time.Sleep(5 * time.Minute)
		spread(0, 1, 1, 2)

		if after := c.fences(); after != before {
			t.Errorf("the leases changed hands %d times while nothing happened", after-before)
		}

		first.leave()
		spread(time.Second, 2, 2)
	})
}

func TestReplicasThatStartTogetherDoNotThrash(t *testing.T) {
	t.Parallel()
	inCrew(t, 4, func(c *crew) {
		for _, name := range []string{"first", "second", "third"} {
			c.join(name)
		}

		c.within(5*time.Second, "spread", func() bool { return slices.Equal(c.counts(), []int{1, 1, 2}) })
		time.Sleep(time.Minute)

		if n := c.fences(); n > 4+2*2 { // each but the first takes over up to two from it
			t.Errorf("the leases changed hands %d times", n)
		}
	})
}

func TestAKilledReplicasTasksArePolledOnByAnother(t *testing.T) {
	t.Parallel()
	inCrew(t, 2, func(c *crew) {
		for i := range c.upstreams {
			c.upstreams[i].Limits.InProgress = 4
		}

		first := c.join("first")
		second := c.join("second")
		c.within(5*time.Second, "spread", func() bool { return slices.Equal(c.counts(), []int{1, 1}) })

		var ids []string
		for i := range 8 {
			ids = append(ids, c.create("acct_a", words(fmt.Sprint("a boat ", i))))
		}

		orphaned := ""

		lost := first.serves()[0]
		for _, id := range ids {
			if running := c.untilState(id, task.Running); running.Upstream == lost {
				orphaned = running.Ticket
			}
		}

		if orphaned == "" {
			t.Fatal("the first replica submitted nothing")
		}

		time.Sleep(3 * time.Second)
		first.kill()

		killed := time.Now()

		c.within(12*time.Second, "polled by the other", func() bool {
			list := c.asked(orphaned)
			return len(list) > 0 && list[len(list)-1].by == second.name
		})
		t.Logf("taken over after %s", time.Since(killed))
		c.done(ids...)
	})
}

func TestAReplicaHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		first := c.join("first")
		c.within(time.Second, "served", func() bool { return c.server("up1") == first })
		second := c.join("second")
		long := c.create("acct_a", words("a boat"))
		running := c.untilState(long, task.Running)

		time.Sleep(5 * time.Second)

		begun := make(chan struct{})

		first.slowly("up1", func() {
			close(begun)
			time.Sleep(700 * time.Millisecond)
		})

		id := c.create("acct_a", words("another"))

		<-begun

		told := time.Now()

		first.leave()

		if took := time.Since(told); took > time.Second {
			t.Errorf("it ended after %s", took)
		}

		if got := c.task(id); got.State != task.Running || got.Attempt != 1 {
			t.Errorf("the answer on the wire was lost: it is %s", got.State)
		}

		c.within(100*time.Millisecond, "served by the other", func() bool { return c.server("up1") == second })
		c.within(300*time.Millisecond, "polled by the other", func() bool {
			list := c.asked(running.Ticket)
			for i := 1; i < len(list); i++ {
				if gap := list[i].at.Sub(list[i-1].at); gap > time.Second {
					t.Errorf("nobody asked for %s", gap)
				}
			}

			return list[len(list)-1].by == second.name
		})
		c.done(long, id)
	})
}

// A submission that hangs must not hold up what can be polled: it stays with the
// one that leaves until the answer is there.
func TestALongAnswerOnTheWireIsWaitedForWhilePollsGoOn(t *testing.T) {
	t.Parallel()
	inCrew(t, 1, func(c *crew) {
		first := c.join("first")
		c.within(time.Second, "served", func() bool { return c.server("up1") == first })
		long := c.create("acct_a", words("a boat"))
		running := c.untilState(long, task.Running)
		c.join("second")

		begun := make(chan struct{})

		first.slowly("up1", func() {
			close(begun)
			time.Sleep(20 * time.Second)
		})

		id := c.create("acct_a", words("another"))

		<-begun
		first.leave()
		c.done(long, id)

		list := c.asked(running.Ticket)
		for i := 1; i < len(list); i++ {
			if gap := list[i].at.Sub(list[i-1].at); gap > time.Second {
				t.Errorf("nobody asked for %s", gap)
			}
		}
	})
}

func TestARollingRestartPausesNothing(t *testing.T) {
	t.Parallel()
	inCrew(t, 4, func(c *crew) {
		for i := range 3 {
			c.join(fmt.Sprint("old ", i))
		}

		c.rendersIn(10 * time.Second)
		c.within(5*time.Second, "spread", func() bool { return slices.Equal(c.counts(), []int{1, 1, 2}) })

		var ids []string

		arriving := make(chan struct{})
		enough := make(chan struct{})

		go func() {
			defer close(arriving)

			for i := 0; ; i++ {
				r := words(fmt.Sprint("a boat ", i))
				if i%2 == 0 {
					r = refs(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")
				}

				ids = append(ids, c.create("acct_a", r))

				select {
				case <-enough:
					return
				case <-time.After(300 * time.Millisecond):
				}
			}
		}()

		time.Sleep(10 * time.Second)

		for i := range 3 {
			c.join(fmt.Sprint("new ", i))
			time.Sleep(5 * time.Second)
			c.replicas[i].leave()
			time.Sleep(5 * time.Second)
		}

		time.Sleep(15 * time.Second)
		close(enough)
		<-arriving
		c.done(ids...)

		for _, id := range ids {
			end := c.task(id)
			if end.Attempt != 1 {
				t.Errorf("%s took %d attempts", id, end.Attempt)
			}

			if late := end.SubmittedAt - end.CreatedAt; late > 1000 {
				t.Errorf("%s was submitted after %d ms", id, late)
			}

			if late := end.CompletedAt - end.StartedAt; late > 11_000 {
				t.Errorf("%s was completed after %d ms", id, late)
			}
		}

		t.Logf("%d tasks, leases changed hands %d times", len(ids), c.fences())
	})
}
