package dispatch

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

func TestWhatASupplierSaysNoWithDecidesWhatBecomesOfTheTask(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		class provider.Class
		times int // how often it says no before it takes the task; -1 for ever
		state task.State
		code  fault.Code
		least time.Duration // how long it must have held back
	}{
		"throttled is waited out":       {class: provider.Throttled, times: 8, state: task.Completed, least: 30 * time.Second},
		"passing is tried again":        {class: provider.Passing, times: 2, state: task.Completed, least: 2 * time.Second},
		"passing for ever ends":         {class: provider.Passing, times: -1, state: task.Failed, code: fault.CodeRefused},
		"refused ends at once":          {class: provider.Refused, times: -1, state: task.Failed, code: fault.CodeRefused},
		"locked waits for the operator": {class: provider.Locked, times: 1, state: task.Completed, least: 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.start()
				h.supplier.submit = func(n int, _ provider.Order) (bool, error) {
					if c.times < 0 || n <= c.times {
						return false, saysNo(c.class)
					}

					return true, nil
				}
				begin := time.Now()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, c.state)
				if c.code != "" && done.Error.Code != string(c.code) {
					t.Errorf("failed as %s, want %s", done.Error.Code, c.code)
				}

				if c.class == provider.Refused && done.Attempt != 1 {
					t.Errorf("%d attempts at what was refused", done.Attempt)
				}

				if held := time.Since(begin); held < c.least {
					t.Errorf("ended after %s; it should have held back %s", held, c.least)
				}

				if c.state == task.Completed {
					h.takenTimes(id, 1)
				}

				h.sound()
			})
		})
	}
}

// A model that the supplier does not let the account have rests alone, whatever
// the supplier says so to.
func TestWhatConcernsOneModelParksItsGateOnly(t *testing.T) {
	t.Parallel()

	no := &provider.Failure{Taken: provider.NotTaken, Class: provider.Locked, ModelOnly: true, Code: "ModelNotFound", Fault: fault.New(fault.CodeSupplier, "", "No.")}

	for name, bend := range map[string]func(s *supplier, first func(model string) bool){
		"to an order": func(s *supplier, first func(string) bool) {
			s.submit = func(_ int, o provider.Order) (bool, error) {
				if first(o.Model) {
					return false, no
				}

				return true, nil
			}
		},
		"of a ticket": func(s *supplier, first func(string) bool) {
			s.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
				if first(r.order.Model) {
					return &provider.Report{Phase: provider.Broken, Failure: no}, nil
				}

				return nil, nil
			}
		},
		"to a question": func(s *supplier, first func(string) bool) {
			s.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
				if first(r.order.Model) {
					return nil, no
				}

				return nil, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)

				var said atomic.Bool

				bend(h.supplier, func(model string) bool { return model == "wan2.6-t2v" && said.CompareAndSwap(false, true) })
				h.start()
				first := h.create("acct_a", words("a boat"))

				time.Sleep(time.Minute)

				begin := time.Now()
				resting := h.create("acct_a", words("another boat"))
				h.untilState(h.create("acct_a", refs("character1 walks", "https://example.com/face.png")), task.Completed)

				if took := time.Since(begin); took > 2*time.Minute {
					t.Errorf("the other model's task took %s", took)
				}

				if list, err := h.d.Upstreams(context.Background()); err != nil || !said.Load() || list[0].ParkedUntil != 0 || list[0].LastError == "" {
					t.Errorf("said %v, upstreams %+v, %v; want one that is not parked, and its error", said.Load(), list, err)
				}

				h.untilState(resting, task.Completed)
				h.untilState(first, task.Completed)

				if held := time.Since(begin); held < 8*time.Minute {
					t.Errorf("the model's next task ended after %s: its gate did not rest", held)
				}

				h.sound()
			})
		})
	}
}

func TestARetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		var times []time.Time

		h.supplier.submit = func(n int, _ provider.Order) (bool, error) {
			times = append(times, time.Now())

			if n == 1 {
				return false, &provider.Failure{Taken: provider.NotTaken, Class: provider.Throttled, After: 47 * time.Second, Code: "Fake"}
			}

			return true, nil
		}
		h.untilState(h.create("acct_a", words("a boat")), task.Completed)

		if gap := times[1].Sub(times[0]); gap < 47*time.Second || gap > 55*time.Second {
			t.Errorf("asked again after %s", gap)
		}
	})
}

// A limit that can be waited out is: a task that waited longer in its lane than
// a render may take is not ended by one more refusal.
func TestAnOldTaskIsNotEndedByAThrottle(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.timeout = 5 * time.Minute
		h.start()

		until := time.Now().Add(10 * time.Minute)
		h.supplier.submit = func(int, provider.Order) (bool, error) {
			if time.Now().Before(until) {
				return false, saysNo(provider.Throttled)
			}

			return true, nil
		}
		id := h.create("acct_a", words("a boat"))

		time.Sleep(11 * time.Minute)
		h.untilState(id, task.Completed)
	})
}

func TestSlotsRatesAndOneSubmitAtATime(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.account("acct_b", 1, 0)
		h.upstreams[0].Limits = Limits{SubmitsPerSecond: 2, InProgress: 3, QueriesPerSecond: 20}
		h.start()

		inside := 0
		most := 0

		var times []time.Time

		h.supplier.submit = func(int, provider.Order) (bool, error) {
			times = append(times, time.Now())
			running := 0

			for _, r := range h.supplier.renders {
				if time.Since(r.made) < h.supplier.renderIn {
					running++
				}
			}

			most = max(most, running+1)

			if inside++; inside > 1 {
				t.Error("two submissions at the same time")
			}
			h.supplier.mu.Unlock()
			time.Sleep(30 * time.Millisecond)
			h.supplier.mu.Lock()
			inside--

			return true, nil
		}

		var ids []string
		for i := range 8 {
			ids = append(ids, h.create([]string{"acct_a", "acct_b"}[i%2], words("a boat")))
		}

		for _, id := range ids {
			h.untilState(id, task.Completed)
			h.takenTimes(id, 1)
		}

		if most > 3 {
			t.Errorf("%d in progress at the supplier, at most 3 allowed", most)
		}

		if most < 3 {
			t.Errorf("only %d were in progress at once: slots stayed empty", most)
		}

		if gap := times[2].Sub(times[0]); gap < 450*time.Millisecond {
			t.Errorf("the third submission came %s after the first, at 2 a second", gap)
		}

		h.sound()
	})
}

// One account's many do not stand before another's first.
func TestAnotherAccountsFirstDoesNotWaitForMany(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.account("acct_b", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.start()

		for range 12 {
			h.create("acct_a", words("many"))
		}

		one := h.create("acct_b", words("one"))
		h.untilState(one, task.Completed)

		if n := h.supplier.count(); n > 4 {
			t.Errorf("it was the supplier's order number %d", n)
		}
	})
}

func TestReferencesAreUploadedBeforeAndAFailedUploadIsNotTaken(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		tries := 0
		h.supplier.upload = func() error {
			if tries++; tries < 3 {
				return errors.New("the upload broke")
			}

			return nil
		}
		id := h.create("acct_a", refs("character1 walks", "https://example.com/face.png"))

		done := h.untilState(id, task.Completed)
		if done.Attempt != 3 || h.supplier.count() != 1 {
			t.Errorf("%d attempts, %d orders", done.Attempt, h.supplier.count())
		}

		if got := h.counted(h.d.stats.shut.WithLabelValues("up/wan2.6-r2v")); got != 0 {
			t.Errorf("the gate is shut: %v", got)
		}
	})
}

// A task whose kept reference is lost must not hold up its gate for ever.
func TestAReferenceThatIsLostEndsItsTask(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		made := make(chan string, 1)
		h.supplier.upload = func() error {
			_, ready, err := h.d.read(context.Background(), <-made)
			if err != nil {
				return err
			}

			return errors.Join(errors.New("the upload broke"), h.blobs.Delete(context.Background(), ready.References[0].Blob))
		}

		id := h.create("acct_a", refs("character1 walks", "https://example.com/face.png"))
		made <- id

		done := h.untilState(id, task.Failed)
		if done.Error.Code != string(fault.CodeUnreachable) || done.Error.Param != "references[0]" || done.Attempt != 2 {
			t.Errorf("failed as %+v at attempt %d", done.Error, done.Attempt)
		}

		h.sound()
	})
}

func TestRoutesAreLanes(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		animatic := Upstream{Name: "animatic", Kind: provider.Kind{Name: "animatic", Traits: provider.Traits{Preview: true, Resubmit: true}}, Provider: h.supplier, Limits: Limits{InProgress: 2}}
		second := h.upstreams[0]
		second.Name = "another"
		second.Models = []string{"wan2.6-r2v"}
		h.upstreams = append(h.upstreams, second, animatic)
		h.start()

		preview := words("a boat")
		preview.Preview = true
		lane := func(want string, got string, f *fault.Fault) {
			t.Helper()

			if got != want || (f != nil) != (want == "") {
				t.Errorf("lane %q, %v; want %q", got, f, want)
			}
		}
		got, f := h.d.Route(words("a boat"))
		lane("up/wan2.6-t2v", got, f)
		got, f = h.d.Route(refs("walks", "https://example.com/face.png"))
		lane("another/wan2.6-r2v|up/wan2.6-r2v", got, f)

		got, f = h.d.Route(preview)
		if f != nil || !strings.HasPrefix(got, "animatic/") || strings.Contains(got, "|") {
			t.Errorf("preview's lane %q, %v", got, f)
		}

		unknown := words("a boat")
		unknown.Resolved = "no-such-model"
		got, f = h.d.Route(unknown)
		lane("", got, f)
	})
}

func TestALaneOfTwoUpstreamsUsesBoth(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		other := newSupplier(h.supplier.video)
		second := h.upstreams[0]
		second.Name = "another"
		second.Provider = other

		h.upstreams = append(h.upstreams, second)
		for i := range h.upstreams {
			h.upstreams[i].Limits.InProgress = 1
		}

		h.start()

		var ids []string
		for range 4 {
			ids = append(ids, h.create("acct_a", words("a boat")))
		}

		for _, id := range ids {
			h.untilState(id, task.Completed)

			if n := len(h.supplier.taken(id)) + len(other.taken(id)); n != 1 {
				t.Errorf("%s was taken %d times", id, n)
			}
		}

		if h.supplier.count() == 0 || other.count() == 0 {
			t.Errorf("orders %d and %d: one upstream stood idle", h.supplier.count(), other.count())
		}

		h.sound()
	})
}

func TestARendererOfOurOwnMayBeSubmittedAgain(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.standIn = true
		h.upstreams[0].Kind = provider.Kind{Name: "animatic", Traits: provider.Traits{Preview: true, Resubmit: true, PollEvery: [2]time.Duration{time.Second, 2 * time.Second}}}
		h.start()

		r := words("a boat")
		r.Preview = true
		id := h.create("acct_a", r)
		h.untilState(id, task.Running)
		h.halt()
		h.supplier.mu.Lock()
		clear(h.supplier.renders) // its process is gone, and its tickets with it
		h.supplier.mu.Unlock()
		h.start()

		done := h.untilState(id, task.Completed)
		if done.Attempt != 2 || done.Cost != 0 {
			t.Errorf("attempt %d, cost %s", done.Attempt, done.Cost)
		}

		h.sound()
	})
}

func TestASubmissionThatWasLostInOurOwnRendererGoesBack(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.standIn = true
		h.upstreams[0].Kind = provider.Kind{Name: "animatic", Traits: provider.Traits{Preview: true, Resubmit: true, PollEvery: [2]time.Duration{time.Second, 2 * time.Second}}}
		r := words("a boat")
		r.Preview = true

		h.start()
		id := h.create("acct_a", r)
		h.untilState(id, task.Completed)
		h.halt()
		next := h.create("acct_a", r)
		h.crash("before-submit")
		h.start()
		h.untilState(next, task.Completed)
		h.takenTimes(next, 1)
		h.sound()
	})
}
