package dispatch

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

// servedCounts returns how many upstreams each working replica serves, fewest first.
func (c *cluster) servedCounts() (list []int) {
	for _, r := range c.replicas {
		if r.isWorking() {
			list = append(list, len(r.servedUpstreams()))
		}
	}

	slices.Sort(list)

	return list
}

// fenceSum returns how often leases were acquired: the sum of the upstreams' fences.
func (c *cluster) fenceSum() (n int64) {
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

func TestUpstreamsAreSpreadOverReplicas(t *testing.T) {
	t.Parallel()
	withCluster(t, 4, func(c *cluster) {
		checkSpread := func(timeout time.Duration, want ...int) {
			t.Helper()
			c.eventually(timeout, fmt.Sprintf("spread %v", want), func() bool { return slices.Equal(c.servedCounts(), want) })
		}
		first := c.startReplica("first")

		checkSpread(200*time.Millisecond, 4)
		c.startReplica("second")
		checkSpread(5*time.Second, 2, 2)
		c.startReplica("third")
		checkSpread(5*time.Second, 1, 1, 2)

		before := c.fenceSum()

		time.Sleep(5 * time.Minute)
		checkSpread(0, 1, 1, 2)

		if after := c.fenceSum(); after != before {
			t.Errorf("the leases changed hands %d times while nothing happened", after-before)
		}

		first.shutdown()
		checkSpread(time.Second, 2, 2)
	})
}

func TestSimultaneousStartDoesNotThrash(t *testing.T) {
	t.Parallel()
	withCluster(t, 4, func(c *cluster) {
		for _, name := range []string{"first", "second", "third"} {
			c.startReplica(name)
		}

		c.eventually(5*time.Second, "spread", func() bool { return slices.Equal(c.servedCounts(), []int{1, 1, 2}) })
		time.Sleep(time.Minute)

		if n := c.fenceSum(); n > 4+2*2 { // each later replica takes over up to two leases from the first
			t.Errorf("the leases changed hands %d times, want at most 8", n)
		}
	})
}

func TestKilledReplicasTasksArePolledByPeer(t *testing.T) {
	t.Parallel()
	withCluster(t, 2, func(c *cluster) {
		for i := range c.upstreams {
			c.upstreams[i].Limits.InProgress = 4
		}

		first := c.startReplica("first")
		second := c.startReplica("second")
		c.eventually(5*time.Second, "spread", func() bool { return slices.Equal(c.servedCounts(), []int{1, 1}) })

		var ids []string
		for i := range 8 {
			ids = append(ids, c.createTask("acct_a", textRequest(fmt.Sprint("a boat ", i))))
		}

		orphaned := ""

		lost := first.servedUpstreams()[0]
		for _, id := range ids {
			if running := c.waitForState(id, task.Running); running.Upstream == lost {
				orphaned = running.RemoteID
			}
		}

		if orphaned == "" {
			t.Fatal("the first replica submitted nothing")
		}

		time.Sleep(3 * time.Second)
		first.kill()

		killed := time.Now()

		c.eventually(12*time.Second, "polled by the other", func() bool {
			list := c.pollsOf(orphaned)
			return len(list) > 0 && list[len(list)-1].replica == second.name
		})
		t.Logf("taken over after %s", time.Since(killed))
		c.checkCompleted(ids...)
	})
}

func TestHandoverIsImmediate(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		first := c.startReplica("first")
		c.eventually(time.Second, "served", func() bool { return c.replicaServing("up1") == first })
		second := c.startReplica("second")
		long := c.createTask("acct_a", textRequest("a boat"))
		running := c.waitForState(long, task.Running)

		time.Sleep(5 * time.Second)

		begun := make(chan struct{})

		first.delaySubmit("up1", func() {
			close(begun)
			time.Sleep(700 * time.Millisecond)
		})

		id := c.createTask("acct_a", textRequest("another"))

		<-begun

		begin := time.Now()

		first.shutdown()

		if took := time.Since(begin); took > time.Second {
			t.Errorf("the shutdown took %s, want at most 1 s", took)
		}

		if got := c.task(id); got.State != task.Running || got.Attempt != 1 {
			t.Errorf("the response in flight was lost: the task is %s", got.State)
		}

		c.eventually(100*time.Millisecond, "served by the other", func() bool { return c.replicaServing("up1") == second })
		c.eventually(300*time.Millisecond, "polled by the other", func() bool {
			list := c.pollsOf(running.RemoteID)
			for i := 1; i < len(list); i++ {
				if gap := list[i].at.Sub(list[i-1].at); gap > time.Second {
					t.Errorf("no poll for %s", gap)
				}
			}

			return list[len(list)-1].replica == second.name
		})
		c.checkCompleted(long, id)
	})
}

// A submission that hangs must not delay the polls of other tasks: the leaving replica
// keeps only the submission until its response arrives.
func TestPollsContinueDuringSlowHandover(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		first := c.startReplica("first")
		c.eventually(time.Second, "served", func() bool { return c.replicaServing("up1") == first })
		long := c.createTask("acct_a", textRequest("a boat"))
		running := c.waitForState(long, task.Running)
		c.startReplica("second")

		begun := make(chan struct{})

		first.delaySubmit("up1", func() {
			close(begun)
			time.Sleep(20 * time.Second)
		})

		id := c.createTask("acct_a", textRequest("another"))

		<-begun
		first.shutdown()
		c.checkCompleted(long, id)

		list := c.pollsOf(running.RemoteID)
		for i := 1; i < len(list); i++ {
			if gap := list[i].at.Sub(list[i-1].at); gap > time.Second {
				t.Errorf("no poll for %s", gap)
			}
		}
	})
}

func TestRollingRestartPausesNothing(t *testing.T) {
	t.Parallel()
	withCluster(t, 4, func(c *cluster) {
		for i := range 3 {
			c.startReplica(fmt.Sprint("old ", i))
		}

		c.setRenderTime(10 * time.Second)
		c.eventually(5*time.Second, "spread", func() bool { return slices.Equal(c.servedCounts(), []int{1, 1, 2}) })

		var ids []string

		arriving := make(chan struct{})
		enough := make(chan struct{})

		go func() {
			defer close(arriving)

			for i := 0; ; i++ {
				r := textRequest(fmt.Sprint("a boat ", i))
				if i%2 == 0 {
					r = referenceRequest(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")
				}

				ids = append(ids, c.createTask("acct_a", r))

				select {
				case <-enough:
					return
				case <-time.After(300 * time.Millisecond):
				}
			}
		}()

		time.Sleep(10 * time.Second)

		for i := range 3 {
			c.startReplica(fmt.Sprint("new ", i))
			time.Sleep(5 * time.Second)
			c.replicas[i].shutdown()
			time.Sleep(5 * time.Second)
		}

		time.Sleep(15 * time.Second)
		close(enough)
		<-arriving
		c.checkCompleted(ids...)

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

		t.Logf("%d tasks, leases changed hands %d times", len(ids), c.fenceSum())
	})
}
