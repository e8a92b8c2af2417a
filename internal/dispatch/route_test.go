package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// addUpstream adds an upstream like the harness's first one, with its own supplier.
func (h *harness) addUpstream(name string, change func(*upstream.Config)) *fakeSupplier {
	other := newFakeSupplier(h.supplier.video)
	u := h.upstreams[0]
	u.Name = name
	u.Provider = other
	change(&u)
	h.upstreams = append(h.upstreams, u)

	return other
}

func (s *fakeSupplier) submissionCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.submissions)
}

// Routes of the lowest order take tasks while they have free slots; the rest goes to the
// next order.
func TestOverflowGoesToNextOrder(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 2
		other := h.addUpstream("another", func(u *upstream.Config) {
			u.Order = 2
			u.Limits.InProgress = 10
		})
		h.start()
		time.Sleep(time.Second) // in fake time: both are served then

		var ids []string
		for range 5 {
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))

			time.Sleep(time.Second) // in fake time
		}

		for _, id := range ids {
			h.waitForState(id, task.Completed)
		}

		if first, second := h.supplier.submissionCount(), other.submissionCount(); first != 2 || second != 3 {
			t.Errorf("submissions %d and %d, want 2 and 3", first, second)
		}

		h.checkInvariants()
	})
}

// Routes of the same order share tasks by weight.
func TestRoutesShareByWeight(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)

		limits := upstream.Limits{SubmitsPerSecond: 1000, InProgress: 1000, QueriesPerSecond: 1000}
		h.upstreams[0].Limits = limits
		h.upstreams[0].Weight = 3
		other := h.addUpstream("another", func(u *upstream.Config) { u.Weight = 1 })
		h.start()
		time.Sleep(time.Second) // in fake time: both are served then

		var ids []string
		for range 120 {
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))
		}

		for _, id := range ids {
			h.waitForState(id, task.Completed)
		}

		if n := other.submissionCount(); h.supplier.submissionCount()+n != 120 || n < 15 || n > 48 {
			t.Errorf("submissions %d and %d, want about 90 and 30", h.supplier.submissionCount(), n)
		}

		h.checkInvariants()
	})
}

// The route that should take the task at the head of a queue is notified: a burst is not
// delayed by routes that wait for each other.
func TestBurstOverSeveralRoutesIsNotDelayed(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits = upstream.Limits{SubmitsPerSecond: 1000, InProgress: 1000, QueriesPerSecond: 1000}
		h.addUpstream("another", func(*upstream.Config) {})
		h.addUpstream("a third", func(*upstream.Config) {})
		h.start()
		time.Sleep(time.Second) // in fake time: all are served then

		begin := h.d.Clock.Millis()

		var ids []string
		for range 30 {
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))
		}

		for _, id := range ids {
			h.waitFor(id, "submitted", func(t task.Task) bool { return t.SubmittedAt > 0 })

			if waited := h.task(id).SubmittedAt - begin; waited > 100 {
				t.Fatalf("%s was submitted after %d ms", id, waited)
			}
		}
	})
}

// A route gets no task that it cannot make. A request that no route can make is rejected,
// and the error names the field.
func TestQueueHoldsOnlyCapableRoutes(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addUpstream("short", func(u *upstream.Config) {
			u.Routes = []upstream.ModelRoute{{Models: []string{"wan2.6-t2v"}, Capability: catalog.Capability{Seconds: []int{2}, Unsupported: []catalog.Feature{catalog.FeatureSeed}}}}
		})
		h.start()

		r := textRequest("a boat")

		r.Seconds = 2
		if queue, f := h.d.QueueFor(r); f != nil || queue != "short/wan2.6-t2v|up/wan2.6-t2v" {
			t.Errorf("both can: %q, %v", queue, f)
		}

		r.Seed = 9
		if queue, f := h.d.QueueFor(r); f != nil || queue != "up/wan2.6-t2v" {
			t.Errorf("one has no seed: %q, %v", queue, f)
		}

		if err := h.d.SetDesiredState(context.Background(), "up", store.DesiredDraining); err != nil {
			t.Fatal(err)
		}

		if queue, f := h.d.QueueFor(r); f == nil || f.Code != fault.CodeNoRoute || f.Param != "seed" {
			t.Errorf("none can: %q, %v", queue, f)
		}
	})
}

// After consecutive failures an upstream is suspended, each time for longer; then a single
// submission finds out whether it works again. Other upstreams serve meanwhile, and
// customers do not notice.
func TestBreakerSuspendsFailingUpstream(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Order = 1
		other := h.addUpstream("another", func(u *upstream.Config) { u.Order = 2 })
		broken := true
		h.supplier.onSubmit = func(int, provider.Submission) (bool, error) {
			if broken {
				return false, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.Transient}
			}

			return true, nil
		}
		h.start()
		time.Sleep(time.Second) // in fake time: both are served then

		var ids []string
		for range 20 {
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))

			time.Sleep(2 * time.Second)
		}

		for _, id := range ids {
			h.waitForState(id, task.Completed)
		}

		attempts := h.supplier.submissionCount()
		if attempts < breakerThreshold || attempts > breakerThreshold+3 || other.submissionCount() != 20 {
			t.Errorf("submissions %d and %d, want a few and 20", attempts, other.submissionCount())
		}

		row, err := h.store.Upstream(context.Background(), "up")
		if err != nil || row.SuspendedUntil == 0 || row.SuspendedReason == "" {
			t.Errorf("the suspension is not stored: %+v, %v", row, err)
		}

		h.supplier.mu.Lock()
		broken = false
		h.supplier.mu.Unlock()
		time.Sleep(breakerMaxSuspension)
		h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)

		if h.supplier.submissionCount() != attempts+1 {
			t.Errorf("%d submissions after it works again, %d before; want one more", h.supplier.submissionCount(), attempts)
		}

		h.checkInvariants()
	})
}

// Pausing and draining do not affect tasks in progress.
func TestDesiredStateSparesTasksInProgress(t *testing.T) {
	t.Parallel()

	for _, state := range []store.DesiredState{store.DesiredPaused, store.DesiredDraining} {
		t.Run(string(state), func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.start()
				first := h.createTask("acct_a", textRequest("a boat"))
				h.waitForState(first, task.Running)

				if err := h.d.SetDesiredState(context.Background(), "up", state); err != nil {
					t.Fatal(err)
				}

				second := ""
				if state == store.DesiredPaused {
					second = h.createTask("acct_a", textRequest("another boat"))
				} else if _, f := h.d.QueueFor(textRequest("a boat")); f == nil {
					t.Error("a new task got a queue on a draining upstream")
				}

				h.waitForState(first, task.Completed)
				time.Sleep(5 * time.Minute)

				if n := h.supplier.submissionCount(); n != 1 {
					t.Errorf("%d submissions, want 1", n)
				}

				if err := h.d.SetDesiredState(context.Background(), "up", store.DesiredServing); err != nil {
					t.Fatal(err)
				}

				if second == "" {
					second = h.createTask("acct_a", textRequest("another boat"))
				}

				h.waitForState(second, task.Completed)
				h.checkInvariants()
			})
		})
	}
}

// A queued task whose only upstream is drained or removed gets another route if there is
// one; otherwise it fails free of charge.
func TestQueuedTasksAreReroutedFromClosedUpstream(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.buildUpstream = func(setup string) (upstream.Config, error) {
			u := h.upstreams[0]
			u.Name = setup
			u.Provider = newFakeSupplier(h.supplier.video)

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "up"); !errors.Is(err, upstream.ErrExists) {
			t.Errorf("AddUpstream of an existing name: %v, want upstream.ErrExists", err)
		}

		first := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(first, task.Running)
		waiting := h.createTask("acct_a", textRequest("a waiting boat"))
		h.waitForState(waiting, task.Queued)

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		added, ok := h.d.upstreams.Find("wave").Provider.(*fakeSupplier)
		if !ok {
			t.Fatal("the added upstream was not built")
		}

		if err := h.d.SetDesiredState(context.Background(), "up", store.DesiredDraining); err != nil {
			t.Fatal(err)
		}

		h.waitForState(waiting, task.Completed)

		if h.waitForState(first, task.Completed); added.submissionCount() != 1 {
			t.Errorf("%d submissions to the added upstream, want 1", added.submissionCount())
		}
		// Now the added upstream is removed too: the task in progress there is completed, the
		// queued task fails.
		running := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(running, task.Running)
		queued := h.createTask("acct_a", textRequest("a waiting boat"))
		h.waitForState(queued, task.Queued)

		if err := h.d.SetDesiredState(context.Background(), "wave", store.DesiredRemoved); err != nil {
			t.Fatal(err)
		}

		if failed := h.waitForState(queued, task.Failed); failed.Error.Code != string(fault.CodeNoRoute) || failed.Cost != 0 {
			t.Errorf("failed as %+v", failed.Error)
		}

		h.waitForState(running, task.Completed)
		h.waitUntil("the removed upstream is forgotten", func() bool { return h.d.upstreams.Find("wave") == nil })

		if err := h.d.SetDesiredState(context.Background(), "up", store.DesiredRemoved); !errors.Is(err, upstream.ErrConfigured) {
			t.Errorf("removing a configured upstream: %v, want upstream.ErrConfigured", err)
		}

		if err := h.d.SetDesiredState(context.Background(), "nobody", store.DesiredPaused); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("pausing an unknown upstream: %v, want ErrNotFound", err)
		}

		h.checkInvariants()
	})
}

// An upstream that was added at run time is there again after a restart.
func TestAddedUpstreamSurvivesRestart(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		other := newFakeSupplier(h.supplier.video)
		h.buildUpstream = func(setup string) (upstream.Config, error) {
			if setup == "broken" {
				return upstream.Config{}, errors.New("its key is missing")
			}

			u := h.upstreams[0]
			u.Name = setup
			u.Provider = other

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "broken"); err == nil {
			t.Error("an upstream that cannot be built was added")
		}

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		if err := h.d.SetDesiredState(context.Background(), "up", store.DesiredDraining); err != nil {
			t.Fatal(err)
		}

		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)
		h.shutdown()

		h.registry = prometheus.NewRegistry()
		if d, err := New(context.Background(), h.options()); err != nil || d.upstreams.Find("wave") == nil {
			t.Errorf("the added upstream is missing before Run: %v", err)
		}

		h.start()
		h.waitForState(id, task.Completed)

		if n := len(other.accepted(id)); n != 1 {
			t.Errorf("accepted %d times, want once", n)
		}

		h.checkInvariants()
	})
}

// waitUntil waits for a condition that no task event announces, for at most 1000 s.
func (h *harness) waitUntil(what string, ok func() bool) {
	h.t.Helper()

	for range 1000 {
		if ok() {
			return
		}

		time.Sleep(time.Second) // of fake time
	}

	h.t.Fatalf("condition %q never held", what)
}

// A submission that may have been accepted is never sent to another upstream, however many
// routes the queue has; one that was not accepted is.
func TestOnlyUnacceptedSubmissionIsRerouted(t *testing.T) {
	t.Parallel()

	for _, acceptance := range []provider.Acceptance{provider.NotAccepted, provider.AcceptanceUnknown} {
		t.Run(map[provider.Acceptance]string{provider.NotAccepted: "not_accepted", provider.AcceptanceUnknown: "uncertain"}[acceptance], func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				other := h.addUpstream("another", func(u *upstream.Config) { u.Order = 2 })
				h.start()
				time.Sleep(time.Second) // in fake time: both are served then
				h.waitForState(h.createTask("acct_a", textRequest("an earlier task")), task.Completed)
				h.supplier.mu.Lock()
				h.supplier.listEmpty = true // accepted submissions cannot be found
				h.supplier.onSubmit = func(int, provider.Submission) (bool, error) {
					return acceptance == provider.AcceptanceUnknown, &provider.Failure{Acceptance: acceptance, Class: provider.Transient}
				}
				h.supplier.mu.Unlock()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForFinal(id)
				if acceptance == provider.NotAccepted {
					if done.State != task.Completed || len(other.accepted(id)) != 1 {
						t.Errorf("ended %s; the next route accepted it %d times", done.State, len(other.accepted(id)))
					}

					return
				}

				if done.State != task.Failed || done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0 || other.submissionCount() != 0 || len(h.supplier.accepted(id)) != 1 {
					t.Errorf("ended %s, %+v; submitted %d and %d times", done.State, done.Error, h.supplier.submissionCount(), other.submissionCount())
				}

				h.checkInvariants()
			})
		})
	}
}

// The same request costs the same on every route, whatever usage the supplier reports.
func TestPriceIsSameOnEveryRoute(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		other := h.addUpstream("another", func(u *upstream.Config) { u.Order = 2 })
		other.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			r.usage = nil // it reports no usage
			return nil, nil
		}

		h.start()
		time.Sleep(time.Second) // in fake time: both are served then

		costs := map[string]bool{}

		var ids []string
		for range 2 {
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))
		}

		for _, id := range ids {
			costs[h.waitForState(id, task.Completed).Cost.String()] = true
		}

		if len(costs) != 1 || h.supplier.submissionCount() != 1 || other.submissionCount() != 1 {
			t.Errorf("costs %v; submissions %d and %d", costs, h.supplier.submissionCount(), other.submissionCount())
		}

		h.checkInvariants()
	})
}

// A name that was removed can be configured again, and is served then.
func TestRemovedNameCanBeConfiguredAgain(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.buildUpstream = func(setup string) (upstream.Config, error) {
			u := h.upstreams[0]
			u.Name = setup
			u.Provider = newFakeSupplier(h.supplier.video)

			return u, nil
		}
		h.start()

		if _, err := h.d.AddUpstream(context.Background(), "wave"); err != nil {
			t.Fatal(err)
		}

		if err := h.d.SetDesiredState(context.Background(), "wave", store.DesiredRemoved); err != nil {
			t.Fatal(err)
		}

		h.waitUntil("the removed upstream is forgotten", func() bool { return h.d.upstreams.Find("wave") == nil })
		h.shutdown()
		h.upstreams[0].Name = "wave"
		h.start()
		h.waitUntil("the configured upstream is served", func() bool { _, f := h.d.QueueFor(textRequest("a boat")); return f == nil })
		h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)
		h.checkInvariants()
	})
}

// A new upstream is found twice, by the request that adds it and by the coordinator's next
// sync: it is registered once.
func TestUpstreamIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		built := 0
		h.buildUpstream = func(setup string) (upstream.Config, error) {
			built++
			u := h.upstreams[0]
			u.Name = setup

			return u, nil
		}
		h.start()

		row := store.Upstream{ID: "wave", Setup: "wave"}

		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { h.d.upstreams.SyncRows([]store.Upstream{row}, h.d.upstreams.Version()) })
		}

		all.Wait()

		if n := len(h.d.upstreams.List()); n != 2 || built != 1 {
			t.Errorf("%d upstreams, built %d times; want 2, built once", n, built)
		}
	})
}

// A sync that read its rows before the desired state changed, and applies them after it,
// does not undo the change.
func TestStaleRowsDoNotOverwriteDesiredState(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.start()
		time.Sleep(time.Second) // in fake time: it is served then

		ctx := context.Background()
		version := h.d.upstreams.Version()

		rows, err := h.store.Upstreams(ctx)
		if err != nil {
			t.Fatal(err)
		}

		if err := h.d.SetDesiredState(ctx, "up", store.DesiredPaused); err != nil {
			t.Fatal(err)
		}

		h.d.upstreams.SyncRows(rows, version)

		up := h.d.upstreams.Find("up")
		if up.State().Desired != store.DesiredPaused {
			t.Errorf("after syncing older rows its desired state is %q", up.State().Desired)
		}

		version = h.d.upstreams.Version()
		h.d.upstreams.Suspend(ctx, up, time.Now().Add(time.Hour), "a test")
		h.d.upstreams.SyncRows(rows, version)

		if !up.State().SuspendedUntil.After(time.Now()) {
			t.Error("after syncing older rows it is not suspended any more")
		}

		time.Sleep(5 * time.Second) // in fake time: the coordinator has synced by itself

		if up.State().Desired != store.DesiredPaused || !up.State().SuspendedUntil.After(time.Now()) {
			t.Errorf("after syncing newer rows its desired state is %q, suspended until %s", up.State().Desired, up.State().SuspendedUntil)
		}
	})
}
