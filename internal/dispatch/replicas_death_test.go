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

// startPair starts a replica that serves the only upstream, and one that does not.
func (c *cluster) startPair() (owner, other *replica) {
	c.t.Helper()
	owner = c.startReplica("owner")
	c.eventually(time.Second, "served", func() bool { return c.replicaServing("up1") == owner })
	other = c.startReplica("other")
	c.waitForState(c.createTask("acct_a", textRequest("an earlier task")), task.Completed)

	return owner, other
}

// A process that freezes and resumes after another one has taken over must do no harm,
// wherever it froze.
func TestFrozenOwnerResumesHarmlessly(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		point     string // where it freezes
		frozenFor time.Duration
	}{
		"before the submission is sent, briefly":              {"before-submit", 13 * time.Second},
		"before the submission is sent, longer than recovery": {"before-submit", 5 * time.Minute},
		"after the response":                                  {"after-submit", 5 * time.Minute},
		"after the response, briefly":                         {"after-submit", 13 * time.Second},
		"while polling":                                       {"polling", 2 * time.Minute},
		"while collecting":                                    {"collecting", 2 * time.Minute},
		"before its last commit":                              {"after-blob-put", 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			withCluster(t, 1, func(cl *cluster) {
				owner, other := cl.startPair()
				hit := make(chan struct{})

				owner.onNext(c.point, func() {
					owner.freeze()
					close(hit)
				})

				id := cl.createTask("acct_a", textRequest("a boat"))

				<-hit
				cl.eventually(13*time.Second, "taken over", func() bool { return cl.replicaServing("up1") == other })
				more := cl.createTask("acct_a", textRequest("one more"))

				time.Sleep(c.frozenFor - 13*time.Second)
				owner.thaw()
				cl.checkCompleted(id, more)
				time.Sleep(time.Minute) // until everything that it tries to write was written
				cl.checkInvariants()

				for _, id := range []string{id, more} {
					if end := cl.task(id); end.State != task.Completed || end.Error != nil {
						t.Errorf("%s is %s, %+v; want completed", id, end.State, end.Error)
					}
				}

				for _, remoteID := range append(cl.accepted(id), cl.accepted(more)...) {
					cl.checkRecorded("up1", remoteID)
				}
			})
		})
	}
}

// checkRecorded checks that an attempt has the remote ID: otherwise it is an orphan.
func (c *cluster) checkRecorded(up string, remoteID provider.RemoteID) {
	c.t.Helper()

	list, err := c.store.AttemptsSince(context.Background(), up, "", 0)
	if err != nil {
		c.t.Fatal(err)
	}

	want := up + "/" + string(remoteID)
	if !slices.ContainsFunc(list, func(a store.Attempt) bool { return a.RemoteID == want }) {
		c.t.Errorf("no attempt has the remote ID %s", want)
	}
}

// Acting on a rejection needs the lease: a former owner that gets one late leaves the task
// to the new owner.
func TestRejectionAfterLeaseLossIsIgnored(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		owner, other := c.startPair()
		reject := true
		c.suppliers["up1"].onSubmit = func(int, provider.Submission) (bool, error) {
			if reject {
				reject = false
				return false, notAcceptedErr(provider.InvalidRequest)
			}

			return true, nil
		}
		hit := make(chan struct{})

		owner.onNext("after-submit", func() {
			owner.freeze()
			close(hit)
		})

		id := c.createTask("acct_a", textRequest("a boat"))

		<-hit
		c.eventually(13*time.Second, "taken over", func() bool { return c.replicaServing("up1") == other })
		owner.thaw()
		time.Sleep(10 * time.Second)

		if got := c.task(id); got.State != task.Submitting {
			t.Errorf("the former owner changed it to %s", got.State)
		}

		c.checkCompleted(id) // the new owner found that it was not accepted
	})
}

// A remote ID belongs to its attempt: one that arrives late must not be taken for a later
// submission, here after a list that did not show what the supplier had accepted.
func TestLateRemoteIDBelongsToItsAttempt(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		owner := c.startReplica("owner")
		c.eventually(time.Second, "served", func() bool { return c.replicaServing("up1") == owner })
		other := c.startReplica("other")
		c.suppliers["up1"].listEmpty = true
		hit := make(chan struct{})
		again := make(chan struct{})

		owner.onNext("after-submit", func() {
			owner.freeze()
			close(hit)
		})
		other.delaySubmit("up1", func() {
			close(again)
			time.Sleep(10 * time.Second)
		})

		id := c.createTask("acct_a", textRequest("a boat"))

		<-hit
		<-again
		owner.thaw()
		time.Sleep(5 * time.Second)

		if got := c.task(id); got.State != task.Submitting || got.Attempt != 2 {
			t.Errorf("the remote ID of the first attempt changed it to %s in attempt %d", got.State, got.Attempt)
		}

		if end := c.waitForState(id, task.Completed); end.RemoteID != "up1/remote-2" {
			t.Errorf("completed with the remote ID %s, want up1/remote-2", end.RemoteID)
		}

		c.checkRecorded("up1", "remote-1")
		c.checkInvariants()
	})
}

// When a former owner records a lost response after another owner has recovered the
// submission, the attempt must stay "recovered": its result still has to be proved.
func TestRecoveredSubmissionStaysRecovered(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		owner, _ := c.startPair()
		c.suppliers["up1"].onSubmit = func(int, provider.Submission) (bool, error) { return true, lostResponseErr() }
		c.setRenderTime(10 * time.Minute)

		hit := make(chan struct{})

		owner.onNext("after-submit", func() {
			owner.freeze()
			close(hit)
		})

		id := c.createTask("acct_a", textRequest("a boat"))

		<-hit
		c.waitForState(id, task.Running)
		owner.thaw()
		time.Sleep(time.Minute)

		if a, err := c.store.Attempt(context.Background(), id, 1); err != nil || a.Outcome != "recovered" {
			t.Errorf("the attempt is %+v, %v", a, err)
		}

		c.checkCompleted(id)
	})
}

func TestRendererTasksOfDeadReplicaAreRequeued(t *testing.T) {
	t.Parallel()

	for name, how := range map[string]struct {
		stop    func(*replica)
		timeout time.Duration
	}{
		"killed":  {(*replica).kill, 12 * time.Second},
		"stopped": {(*replica).shutdown, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			withCluster(t, 1, func(c *cluster) {
				c.rendererTime = new(time.Duration)
				*c.rendererTime = 20 * time.Second
				first := c.startReplica("first")

				time.Sleep(time.Second)

				r := textRequest("a boat")
				r.Preview = true

				var ids []string
				for range 4 { // two are rendered, two wait for the other replica
					ids = append(ids, c.createTask("acct_a", r))
				}

				c.waitForState(ids[1], task.Running)
				second := c.startReplica("second")
				c.waitForState(ids[3], task.Running)

				if len(first.renderer.remoteIDs) != 2 || len(second.renderer.remoteIDs) != 2 {
					t.Fatalf("%d and %d renders are in progress, want 2 and 2", len(first.renderer.remoteIDs), len(second.renderer.remoteIDs))
				}

				ended := time.Now()

				how.stop(first)
				c.eventually(how.timeout, "back in the queue", func() bool {
					return c.task(ids[0]).State == task.Queued || c.task(ids[0]).Attempt == 2
				})
				t.Logf("after %s", time.Since(ended))

				for _, id := range ids {
					if end := c.waitForState(id, task.Completed); !strings.HasPrefix(end.Upstream, "animatic@"+second.d.owner) || end.Retries != 0 {
						t.Errorf("%s was rendered by %s, retries %d", id, end.Upstream, end.Retries)
					}
				}

				c.checkInvariants()

				leases, err := c.store.Leases(context.Background(), time.Now().UnixMilli())
				if err != nil {
					t.Fatal(err)
				}

				for _, l := range leases {
					if strings.Contains(l.ID, "@") && l.ID != "animatic@"+second.d.owner {
						t.Errorf("the lease of %s was not deleted", l.ID)
					}
				}

				list, err := second.d.Upstreams(context.Background())
				if err != nil || len(list) != 2 || list[0].Name != "up1" || list[1].Name != "animatic" {
					t.Errorf("Upstreams returns %+v, %v; want up1 and animatic", list, err)
				}
			})
		})
	}
}

// The renderer of a frozen process loses its tasks to other replicas. When the process
// resumes, the renderer starts anew and delivers nothing twice.
func TestRendererOfFrozenReplicaRestarts(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		c.rendererTime = new(time.Duration)
		*c.rendererTime = 20 * time.Second
		first := c.startReplica("first")

		time.Sleep(time.Second)

		r := textRequest("a boat")
		r.Preview = true
		id := c.createTask("acct_a", r)
		c.waitForState(id, task.Running)
		second := c.startReplica("second")

		first.freeze()

		if end := c.waitForState(id, task.Completed); end.Attempt != 2 || end.Upstream != "animatic@"+second.d.owner {
			t.Errorf("attempt %d at %s", end.Attempt, end.Upstream)
		}

		first.thaw()
		second.shutdown()
		c.waitForState(c.createTask("acct_a", r), task.Completed)
		c.checkInvariants()
	})
}

func TestDeadReplicasTasksArePreparedByPeer(t *testing.T) {
	t.Parallel()

	for name, how := range map[string]struct {
		stop    func(*replica)
		timeout time.Duration
	}{
		"killed": {(*replica).kill, 12 * time.Second},
		"frozen": {(*replica).freeze, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			withCluster(t, 1, func(c *cluster) {
				first := c.startReplica("first")

				time.Sleep(time.Second)

				hit := make(chan struct{})

				first.onNext("preparing", func() {
					how.stop(first)
					close(hit)
				})

				id := c.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png"))

				<-hit
				c.startReplica("second")
				c.eventually(how.timeout+time.Second, "prepared", func() bool { return c.task(id).State != task.Preparing })
				c.checkCompleted(id)
			})
		})
	}
}

func TestTaskIsPreparedByOneReplica(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		for _, name := range []string{"first", "second"} {
			r := c.startReplica(name)
			r.mu.Lock()
			r.onPoint = func(point string) {
				if point == "preparing" {
					time.Sleep(time.Minute) // a slow host
				}
			}
			r.mu.Unlock()
		}

		time.Sleep(time.Second)

		var ids []string
		for i := range 20 {
			ids = append(ids, c.createTask("acct_a", referenceRequest(fmt.Sprint("character1 walks ", i), "https://example.com/face.png")))
		}

		c.checkCompleted(ids...)

		if n := len(c.replicasAt("preparing")); n != len(ids) {
			t.Errorf("%d tasks were prepared %d times", len(ids), n)
		}

		if !slices.Contains(c.replicasAt("preparing"), "first") || !slices.Contains(c.replicasAt("preparing"), "second") {
			t.Error("one replica prepared nothing")
		}
	})
}

func TestBackgroundRunsOnOneReplica(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		for _, name := range []string{"first", "second", "third"} {
			c.startReplica(name)
		}

		time.Sleep(5 * time.Minute)

		sweepers := slices.Compact(c.replicasAt("sweeping"))
		if len(sweepers) != 1 || len(c.replicasAt("sweeping")) < 15 {
			t.Fatalf("swept by %v", c.replicasAt("sweeping"))
		}

		for _, end := range []func(*replica){(*replica).kill, (*replica).shutdown} {
			swept := c.replicasAt("sweeping")
			i := slices.IndexFunc(c.replicas, func(r *replica) bool { return r.name == swept[len(swept)-1] })
			end(c.replicas[i])
			before := len(c.replicasAt("sweeping")) // it may have swept once more at this instant

			time.Sleep(time.Minute)

			after := slices.Compact(c.replicasAt("sweeping")[before:])
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

func TestEveryReplicaReportsProgress(t *testing.T) {
	t.Parallel()
	withCluster(t, 1, func(c *cluster) {
		c.upstreams[0].Limits.InProgress = 1

		owner, other := c.startPair()
		for i := range 5 { // durations for the estimate
			c.setRenderTime(time.Duration(60+20*i) * time.Second)
			c.checkCompleted(c.createTask("acct_a", textRequest("a boat")))
		}

		c.setRenderTime(100 * time.Second)
		time.Sleep(2 * time.Minute) // the durations are read again

		id := c.createTask("acct_a", textRequest("a boat"))
		c.waitForState(id, task.Running)
		next := c.createTask("acct_a", textRequest("waits"))
		last := map[string]int64{}
		checkProgress := func() {
			t.Helper()

			for _, r := range c.replicas {
				if !r.isWorking() {
					continue
				}

				progress, _, eta, ok := r.d.Live(id)
				if c.task(id).State.Final() { // Live is not called for final tasks
					continue
				}

				if progress < last[r.name] {
					t.Errorf("%s: progress fell from %d to %d", r.name, last[r.name], progress)
				}

				last[r.name] = progress
				if left := time.Until(time.Unix(eta, 0)); ok && eta > 0 && (left > 110*time.Second || left < -2*time.Second) {
					t.Errorf("%s: the estimate is %s from now", r.name, left)
				}
			}
		}

		for range 60 {
			time.Sleep(time.Second)
			checkProgress()
		}

		if last["owner"] < 10 || last["other"] < 10 || last["owner"]-last["other"] > 10 || last["other"]-last["owner"] > 10 {
			t.Errorf("progress is %v", last)
		}

		for _, r := range c.replicas {
			if _, position, _, ok := r.d.Live(next); !ok || position != 1 {
				t.Errorf("%s: position %d, %v", r.name, position, ok)
			}

			list, err := r.d.Upstreams(context.Background())
			if err != nil || list[0].InProgress != 1 || list[0].Queued != 1 || len(list[0].Models) != 1 {
				t.Errorf("%s: %+v, %v", r.name, list, err)
			}
		}

		owner.shutdown()

		for c.task(id).State == task.Running {
			time.Sleep(time.Second)
			checkProgress()
		}

		if c.replicaServing("up1") != other || last["other"] < 40 {
			t.Errorf("progress was %v", last)
		}

		c.checkCompleted(id, next)
	})
}
