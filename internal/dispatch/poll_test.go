package dispatch

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

func TestOneHangingQueryDelaysNoOther(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.poll = func(ctx context.Context, r *render, _ int) (*provider.Report, error) {
			if r.ticket == "ticket-1" {
				<-ctx.Done()
				return nil, &provider.Failure{Err: ctx.Err()}
			}

			return nil, nil
		}
		h.start()
		stuck := h.create("acct_a", words("stuck"))
		h.untilState(stuck, task.Running)

		begin := time.Now()

		h.untilState(h.create("acct_a", words("a boat")), task.Completed)

		if took := time.Since(begin); took > h.supplier.renderIn+20*time.Second {
			t.Errorf("the other took %s", took)
		}

		if got := h.task(stuck); got.State != task.Running {
			t.Errorf("the stuck one is %s", got.State)
		}
	})
}

func TestQueriesStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits = Limits{SubmitsPerSecond: 100, InProgress: 40, QueriesPerSecond: 2}

		var times []time.Time

		asked := map[provider.Ticket]int{}
		h.supplier.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			h.supplier.mu.Lock()

			times = append(times, time.Now())
			asked[r.ticket]++
			h.supplier.mu.Unlock()

			return &provider.Report{Phase: provider.Rendering, Progress: -1}, nil
		}
		h.start()

		for range 40 {
			h.create("acct_a", words("a boat"))
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

		least := 1 << 30
		most := 0

		for _, n := range asked {
			least = min(least, n)
			most = max(most, n)
		}

		if len(asked) != 40 || most-least > 2 {
			t.Errorf("%d of 40 were asked about, %d to %d times: not fairly", len(asked), least, most)
		}
	})
}

func TestAPollThatFindsNothingNewWritesNothing(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.renderIn = 5 * time.Minute
		h.start()
		id := h.create("acct_a", words("a boat"))
		was := h.untilState(id, task.Running)

		time.Sleep(4 * time.Minute)

		if now := h.task(id); now.Version != was.Version {
			t.Errorf("version went from %d to %d", was.Version, now.Version)
		}

		if h.supplier.asked["ticket-1"] < 10 {
			t.Errorf("asked %d times only", h.supplier.asked["ticket-1"])
		}
	})
}

func TestProgressNeverFallsNorEndsEarly(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		for range 6 { // past durations, of about 40 s
			h.untilState(h.create("acct_a", words("a boat")), task.Completed)
		}

		h.supplier.renderIn = 4 * time.Minute
		id := h.create("acct_a", words("a slow boat"))
		h.untilState(id, task.Running)

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

		if done := h.untilState(id, task.Completed); done.Progress != 100 {
			t.Errorf("completed at %d", done.Progress)
		}
	})
}

func TestASuppliersOwnProgressIsTold(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.poll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
			return &provider.Report{Phase: provider.Rendering, Progress: []int{0, 31, 12, 62, 99}[min(n, 4)]}, nil
		}
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)

		want := map[int64]bool{0: true, 31: true, 62: true, 95: true}

		for range 120 {
			time.Sleep(time.Second)

			if progress, _, _, _ := h.d.Live(id); !want[progress] {
				t.Fatalf("progress %d", progress)
			}
		}
	})
}

func TestATicketIsLostOnlyWhenTheSupplierSaysSoTwice(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		unknown func(n int) bool
		state   task.State
	}{
		"once":  {func(n int) bool { return n == 2 }, task.Completed},
		"twice": {func(n int) bool { return n >= 2 }, task.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.poll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
					if c.unknown(n) {
						return &provider.Report{Phase: provider.Unknown}, nil
					}

					return nil, nil
				}
				h.start()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeUpstreamLost) || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				h.takenTimes(id, 1)
				h.sound()
			})
		})
	}
}

func TestABrokenRenderIsSubmittedAgainAFewTimes(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		class  provider.Class
		breaks int // how many renders break
		state  task.State
		taken  int
	}{
		"passing, once":     {provider.Passing, 1, task.Completed, 2},
		"passing, for ever": {provider.Passing, 99, task.Failed, 3},
		"refused":           {provider.Refused, 99, task.Failed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					if int(r.order.Attempt) <= c.breaks {
						return &provider.Report{Phase: provider.Broken, Failure: &provider.Failure{Class: c.class, Code: "Fake", Fault: fault.New(fault.CodeModerated, "prompt", "No.")}}, nil
					}

					return nil, nil
				}
				h.start()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeModerated) || done.Error.Param != "prompt" || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				h.takenTimes(id, c.taken)
				h.sound()
			})
		})
	}
}

func TestATaskThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.timeout = time.Hour
		h.supplier.renderIn = 1000 * time.Hour
		h.start()
		id := h.create("acct_a", words("a boat"))

		done := h.untilState(id, task.Failed)
		if took := time.Duration(done.CompletedAt-done.StartedAt) * time.Millisecond; done.Error.Code != string(fault.CodeTimedOut) || took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("failed as %+v after %s", done.Error, took)
		}

		h.sound()
	})
}

func TestASupplierOutOfReachIsAskedAgain(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.poll = func(_ context.Context, _ *render, n int) (*provider.Report, error) {
			if n < 20 {
				return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
			}

			return nil, nil
		}
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
	})
}

func TestPositionsAreExactAndShared(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.account("acct_b", 3, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.supplier.renderIn = time.Hour
		h.start()
		h.untilState(h.create("acct_a", words("first")), task.Running)

		var all []string
		for range 9 {
			all = append(all, h.create("acct_a", words("a")), h.create("acct_b", words("b")))
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
		// What the snapshot said is what the claims do.
		h.supplier.mu.Lock()
		h.supplier.renderIn = 10 * time.Second
		h.supplier.mu.Unlock()

		for _, id := range all {
			h.untilState(id, task.Completed)
		}

		var got, want []string
		for i, o := range h.supplier.orders[1:] {
			got = append(got, o.Task)
			want = append(want, at[int64(i)+1])
		}

		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("claimed\n%v\nafter the snapshot said\n%v", got, want)
		}
	})
}
