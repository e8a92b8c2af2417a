package dispatch

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

func TestHangingPollDelaysNoOther(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.onPoll = func(ctx context.Context, r *render, _ int) (*provider.Report, error) {
			if r.remoteID == "remote-1" {
				<-ctx.Done()
				return nil, &provider.Failure{Err: ctx.Err()}
			}

			return nil, nil
		}
		h.start()
		stuck := h.createTask("acct_a", textRequest("stuck"))
		h.waitForState(stuck, task.Running)

		begin := time.Now()

		h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)

		if took := time.Since(begin); took > h.supplier.renderIn+20*time.Second {
			t.Errorf("the other task took %s", took)
		}

		if got := h.task(stuck); got.State != task.Running {
			t.Errorf("the stuck task is %s, want running", got.State)
		}
	})
}

func TestPollsStayWithinRateLimit(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits = upstream.Limits{SubmitsPerSecond: 100, InProgress: 40, QueriesPerSecond: 2}

		var times []time.Time

		polled := map[provider.RemoteID]int{}
		h.supplier.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			h.supplier.mu.Lock()

			times = append(times, time.Now())
			polled[r.remoteID]++
			h.supplier.mu.Unlock()

			return &provider.Report{Phase: provider.Rendering, Progress: -1}, nil
		}
		h.start()

		for range 40 {
			h.createTask("acct_a", textRequest("a boat"))
		}

		time.Sleep(4 * time.Minute)
		h.supplier.mu.Lock()
		defer h.supplier.mu.Unlock()

		for i := range times {
			n := 0

			for _, at := range times[i:] {
				if at.Sub(times[i]) < 10*time.Second {
					n++
				}
			}

			if n > 2*10+2 {
				t.Fatalf("%d queries in ten seconds at 2 a second", n)
			}
		}

		fewest := 1 << 30
		most := 0

		for _, n := range polled {
			fewest = min(fewest, n)
			most = max(most, n)
		}

		if len(polled) != 40 || most-fewest > 2 {
			t.Errorf("%d of 40 tasks were polled, between %d and %d times; want all, with a difference of at most 2", len(polled), fewest, most)
		}
	})
}

func TestPollWithoutNewsWritesNothing(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.renderIn = 5 * time.Minute
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		was := h.waitForState(id, task.Running)

		time.Sleep(4 * time.Minute)

		if now := h.task(id); now.Version != was.Version {
			t.Errorf("version went from %d to %d", was.Version, now.Version)
		}

		if h.supplier.pollCounts["remote-1"] < 10 {
			t.Errorf("polled %d times only", h.supplier.pollCounts["remote-1"])
		}
	})
}

func TestProgressIsMonotonicBelow100(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		for range 6 { // past durations, of about 40 s
			h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)
		}

		h.supplier.renderIn = 4 * time.Minute
		id := h.createTask("acct_a", textRequest("a slow boat"))
		h.waitForState(id, task.Running)

		last := int64(0)
		seen := map[int64]bool{}

		for range 230 {
			time.Sleep(time.Second)

			progress, _, _, ok := h.d.Live(id)
			if !ok || progress < last || progress > 95 {
				t.Fatalf("progress %d after %d (%v)", progress, last, ok)
			}

			last = progress
			seen[progress] = true
		}

		if last != 95 || len(seen) < 4 {
			t.Errorf("progress ended at %d, over %d values", last, len(seen))
		}

		if done := h.waitForState(id, task.Completed); done.Progress != 100 {
			t.Errorf("completed at %d", done.Progress)
		}
	})
}

func TestSuppliersProgressIsReported(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.onPoll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
			return &provider.Report{Phase: provider.Rendering, Progress: []int{0, 31, 12, 62, 99}[min(n, 4)]}, nil
		}
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)

		want := map[int64]bool{0: true, 31: true, 62: true, 95: true}

		for range 120 {
			time.Sleep(time.Second)

			if progress, _, _, _ := h.d.Live(id); !want[progress] {
				t.Fatalf("progress %d", progress)
			}
		}
	})
}

func TestRemoteTaskIsLostOnlyAfterTwoNotFounds(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		unknown func(n int) bool
		state   task.State
	}{
		"once":  {func(n int) bool { return n == 2 }, task.Completed},
		"twice": {func(n int) bool { return n >= 2 }, task.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.onPoll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
					if c.unknown(n) {
						return &provider.Report{Phase: provider.Unknown}, nil
					}

					return nil, nil
				}
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeUpstreamLost) || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				h.checkAccepted(id, 1)
				h.checkInvariants()
			})
		})
	}
}

func TestFailedRenderIsResubmittedFewTimes(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		class        provider.Class
		failures     int // how many renders fail
		state        task.State
		wantAccepted int
	}{
		"transient, once":   {provider.Transient, 1, task.Completed, 2},
		"transient, always": {provider.Transient, 99, task.Failed, 3},
		"invalid_request":   {provider.InvalidRequest, 99, task.Failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					if int(r.submission.Attempt) <= c.failures {
						return &provider.Report{Phase: provider.Failed, Failure: &provider.Failure{Class: c.class, Code: "Fake", Fault: fault.New(fault.CodeContentRejected, "prompt", "No.")}}, nil
					}

					return nil, nil
				}
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeContentRejected) || done.Error.Param != "prompt" || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				h.checkAccepted(id, c.wantAccepted)
				h.checkInvariants()
			})
		})
	}
}

func TestTaskTimeout(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.timeout = time.Hour
		h.supplier.renderIn = 1000 * time.Hour
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))

		done := h.waitForState(id, task.Failed)
		if took := time.Duration(done.CompletedAt-done.StartedAt) * time.Millisecond; done.Error.Code != string(fault.CodeTaskTimedOut) || took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("failed as %+v after %s", done.Error, took)
		}

		h.checkInvariants()
	})
}

func TestUnreachableSupplierIsPolledAgain(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.onPoll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
			if n < 20 {
				return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
			}

			return nil, nil
		}
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
	})
}

func TestPositionsMatchClaimOrder(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.addAccount("acct_b", 3, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.supplier.renderIn = time.Hour
		h.start()
		h.waitForState(h.createTask("acct_a", textRequest("first")), task.Running)

		var all []string
		for range 9 {
			all = append(all, h.createTask("acct_a", textRequest("a")), h.createTask("acct_b", textRequest("b")))
		}

		time.Sleep(2 * time.Second)

		at := map[int64]string{}

		for _, id := range all {
			_, position, eta, ok := h.d.Live(id)
			if !ok || position < 1 || at[position] != "" || eta < time.Now().Unix() {
				t.Fatalf("%s: position %d, eta %d, ok %v", id, position, eta, ok)
			}

			at[position] = id
		}
		// The tasks are claimed in the order that the snapshot predicted.
		h.supplier.mu.Lock()
		h.supplier.renderIn = 10 * time.Second
		h.supplier.mu.Unlock()

		for _, id := range all {
			h.waitForState(id, task.Completed)
		}

		var got, want []string
		for i, o := range h.supplier.submissions[1:] {
			got = append(got, o.TaskID)
			want = append(want, at[int64(i)+1])
		}

		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("claimed\n%v\nthe snapshot predicted\n%v", got, want)
		}
	})
}
