package dispatch

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

func TestFailureClassDecidesOutcome(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		class   provider.Class
		times   int // rejections before the supplier accepts the task; -1: it never accepts
		state   task.State
		code    fault.Code
		minTime time.Duration // minimum time until the task is final
	}{
		"throttled is retried until accepted":    {class: provider.Throttled, times: 8, state: task.Completed, minTime: 30 * time.Second},
		"transient is retried":                   {class: provider.Transient, times: 2, state: task.Completed, minTime: 2 * time.Second},
		"transient fails in the end":             {class: provider.Transient, times: -1, state: task.Failed, code: fault.CodeSupplierRejected},
		"invalid_request fails at once":          {class: provider.InvalidRequest, times: -1, state: task.Failed, code: fault.CodeSupplierRejected},
		"account_blocked waits for the operator": {class: provider.AccountBlocked, times: 1, state: task.Completed, minTime: 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.start()
				h.supplier.onSubmit = func(n int, _ provider.Submission) (bool, error) {
					if c.times < 0 || n <= c.times {
						return false, notAcceptedErr(c.class)
					}

					return true, nil
				}
				begin := time.Now()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, c.state)
				if c.code != "" && done.Error.Code != string(c.code) {
					t.Errorf("failed as %s, want %s", done.Error.Code, c.code)
				}

				if c.class == provider.InvalidRequest && done.Attempt != 1 {
					t.Errorf("%d attempts for an invalid request, want 1", done.Attempt)
				}

				if elapsed := time.Since(begin); elapsed < c.minTime {
					t.Errorf("ended after %s, want at least %s", elapsed, c.minTime)
				}

				if c.state == task.Completed {
					h.checkAccepted(id, 1)
				}

				h.checkInvariants()
			})
		})
	}
}

// When the supplier does not let the account use one model, only the submitter of that
// model is suspended, whichever call reports it.
func TestModelFailureSuspendsOneSubmitter(t *testing.T) {
	t.Parallel()

	modelFailure := &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.AccountBlocked, ModelOnly: true, Code: "ModelNotFound", Fault: fault.New(fault.CodeSupplierFailed, "", "No.")}

	for name, respond := range map[string]func(s *fakeSupplier, first func(model string) bool){
		"reported by a submission": func(s *fakeSupplier, first func(string) bool) {
			s.onSubmit = func(_ int, o provider.Submission) (bool, error) {
				if first(o.Model) {
					return false, modelFailure
				}

				return true, nil
			}
		},
		"reported for a remote task": func(s *fakeSupplier, first func(string) bool) {
			s.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
				if first(r.submission.Model) {
					return &provider.Report{Phase: provider.Failed, Failure: modelFailure}, nil
				}

				return nil, nil
			}
		},
		"reported by a poll": func(s *fakeSupplier, first func(string) bool) {
			s.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
				if first(r.submission.Model) {
					return nil, modelFailure
				}

				return nil, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)

				var answered atomic.Bool

				respond(h.supplier, func(model string) bool { return model == "wan2.6-t2v" && answered.CompareAndSwap(false, true) })
				h.start()
				first := h.createTask("acct_a", textRequest("a boat"))

				time.Sleep(time.Minute)

				begin := time.Now()
				suspended := h.createTask("acct_a", textRequest("another boat"))
				h.waitForState(h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png")), task.Completed)

				if took := time.Since(begin); took > 2*time.Minute {
					t.Errorf("the other model's task took %s", took)
				}

				if list, err := h.d.Upstreams(context.Background()); err != nil || !answered.Load() || list[0].SuspendedUntil != 0 || list[0].LastError == "" {
					t.Errorf("reported: %v; upstreams %+v, %v; want one that is not suspended and has a last error", answered.Load(), list, err)
				}

				h.waitForState(suspended, task.Completed)
				h.waitForState(first, task.Completed)

				if elapsed := time.Since(begin); elapsed < 8*time.Minute {
					t.Errorf("the model's next task ended after %s: its submitter was not suspended", elapsed)
				}

				h.checkInvariants()
			})
		})
	}
}

func TestRetryAfterIsHonored(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		var times []time.Time

		h.supplier.onSubmit = func(n int, _ provider.Submission) (bool, error) {
			times = append(times, time.Now())

			if n == 1 {
				return false, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.Throttled, RetryAfter: 47 * time.Second, Code: "Fake"}
			}

			return true, nil
		}
		h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)

		if gap := times[1].Sub(times[0]); gap < 47*time.Second || gap > 55*time.Second {
			t.Errorf("submitted again after %s, want 47 to 55 s", gap)
		}
	})
}

// Throttling is retried without limit: a task that waited in its queue for longer than
// the task timeout is not failed by one more rejection.
func TestThrottlingDoesNotEndOldTask(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.timeout = 5 * time.Minute
		h.start()

		until := time.Now().Add(10 * time.Minute)
		h.supplier.onSubmit = func(int, provider.Submission) (bool, error) {
			if time.Now().Before(until) {
				return false, notAcceptedErr(provider.Throttled)
			}

			return true, nil
		}
		id := h.createTask("acct_a", textRequest("a boat"))

		time.Sleep(11 * time.Minute)
		h.waitForState(id, task.Completed)
	})
}

func TestSlotsRateAndSingleSubmission(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.addAccount("acct_b", 1, 0)
		h.upstreams[0].Limits = upstream.Limits{SubmitsPerSecond: 2, InProgress: 3, QueriesPerSecond: 20}
		h.start()

		concurrent := 0
		maxRunning := 0

		var times []time.Time

		h.supplier.onSubmit = func(int, provider.Submission) (bool, error) {
			times = append(times, time.Now())
			running := 0

			for _, r := range h.supplier.renders {
				if time.Since(r.createdAt) < h.supplier.renderIn {
					running++
				}
			}

			maxRunning = max(maxRunning, running+1)

			if concurrent++; concurrent > 1 {
				t.Error("two submissions at the same time")
			}
			h.supplier.mu.Unlock()
			time.Sleep(30 * time.Millisecond)
			h.supplier.mu.Lock()
			concurrent--

			return true, nil
		}

		var ids []string
		for i := range 8 {
			ids = append(ids, h.createTask([]string{"acct_a", "acct_b"}[i%2], textRequest("a boat")))
		}

		for _, id := range ids {
			h.waitForState(id, task.Completed)
			h.checkAccepted(id, 1)
		}

		if maxRunning > 3 {
			t.Errorf("%d in progress at the supplier, at most 3 allowed", maxRunning)
		}

		if maxRunning < 3 {
			t.Errorf("only %d were in progress at once: slots stayed empty", maxRunning)
		}

		if gap := times[2].Sub(times[0]); gap < 450*time.Millisecond {
			t.Errorf("the third submission came %s after the first, at 2 a second", gap)
		}

		h.checkInvariants()
	})
}

// Many tasks of one account do not delay the first task of another account.
func TestManyTasksDoNotDelayOtherAccount(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.addAccount("acct_b", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.start()

		for range 12 {
			h.createTask("acct_a", textRequest("many"))
		}

		one := h.createTask("acct_b", textRequest("one"))
		h.waitForState(one, task.Completed)

		if n := h.supplier.submissionCount(); n > 4 {
			t.Errorf("it was submission number %d, want at most 4", n)
		}
	})
}

func TestFailedUploadIsNotAccepted(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		tries := 0
		h.supplier.onUpload = func() error {
			if tries++; tries < 3 {
				return errors.New("the upload failed")
			}

			return nil
		}
		id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png"))

		done := h.waitForState(id, task.Completed)
		if done.Attempt != 3 || h.supplier.submissionCount() != 1 {
			t.Errorf("%d attempts, %d submissions", done.Attempt, h.supplier.submissionCount())
		}

		if got := h.metricValue("unireel_submissions_blocked", "up/wan2.6-r2v"); got != 0 {
			t.Errorf("submissions are blocked: %v", got)
		}
	})
}

// A task whose stored reference is lost must not block its submitter for ever.
func TestLostReferenceFailsTask(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		made := make(chan string, 1)
		h.supplier.onUpload = func() error {
			request, err := h.d.tasks.Request(context.Background(), <-made)
			if err != nil {
				return err
			}

			return errors.Join(errors.New("the upload failed"), h.blobs.Delete(context.Background(), request.Prepared.References[0].Blob))
		}

		id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png"))
		made <- id

		done := h.waitForState(id, task.Failed)
		if done.Error.Code != string(fault.CodeReferenceUnreachable) || done.Error.Param != "references[0]" || done.Attempt != 2 {
			t.Errorf("failed as %+v at attempt %d", done.Error, done.Attempt)
		}

		h.checkInvariants()
	})
}

func TestQueueFor(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		animatic := upstream.Config{
			Name:     "animatic",
			Driver:   provider.Driver{Name: "animatic", Capabilities: provider.Capabilities{Preview: true, SafeToResubmit: true}},
			Provider: h.supplier,
			Limits:   upstream.Limits{InProgress: 2},
		}
		second := h.upstreams[0]
		second.Name = "another"
		second.Models = []string{"wan2.6-r2v"}
		h.upstreams = append(h.upstreams, second, animatic)
		h.start()

		preview := textRequest("a boat")
		preview.Preview = true
		queue := func(want string, got string, f *fault.Fault) {
			t.Helper()

			if got != want || (f != nil) != (want == "") {
				t.Errorf("queue %q, %v; want %q", got, f, want)
			}
		}
		got, f := h.d.QueueFor(textRequest("a boat"))
		queue("up/wan2.6-t2v", got, f)
		got, f = h.d.QueueFor(referenceRequest("walks", "https://example.com/face.png"))
		queue("another/wan2.6-r2v|up/wan2.6-r2v", got, f)

		got, f = h.d.QueueFor(preview)
		if f != nil || !strings.HasPrefix(got, "animatic/") || strings.Contains(got, "|") {
			t.Errorf("queue of the preview %q, %v", got, f)
		}

		unknown := textRequest("a boat")
		unknown.Resolved = "no-such-model"
		got, f = h.d.QueueFor(unknown)
		queue("", got, f)
	})
}

func TestQueueWithTwoUpstreamsUsesBoth(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		other := newFakeSupplier(h.supplier.video)
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
			ids = append(ids, h.createTask("acct_a", textRequest("a boat")))
		}

		for _, id := range ids {
			h.waitForState(id, task.Completed)

			if n := len(h.supplier.accepted(id)) + len(other.accepted(id)); n != 1 {
				t.Errorf("%s was accepted %d times, want once", id, n)
			}
		}

		if h.supplier.submissionCount() == 0 || other.submissionCount() == 0 {
			t.Errorf("submissions %d and %d: one upstream was idle", h.supplier.submissionCount(), other.submissionCount())
		}

		h.checkInvariants()
	})
}

// embeddedRenderer is the driver of a preview renderer inside the process.
func embeddedRenderer() provider.Driver {
	return provider.Driver{Name: "animatic", Capabilities: provider.Capabilities{
		Preview:        true,
		SafeToResubmit: true,
		PollInterval:   [2]time.Duration{time.Second, 2 * time.Second},
	}}
}

func TestEmbeddedRendererIsResubmitted(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.previewFallback = true
		h.upstreams[0].Driver = embeddedRenderer()
		h.start()

		r := textRequest("a boat")
		r.Preview = true
		id := h.createTask("acct_a", r)
		h.waitForState(id, task.Running)
		h.shutdown()
		h.supplier.mu.Lock()
		clear(h.supplier.renders) // the renderer's process has ended, and its renders are gone
		h.supplier.mu.Unlock()
		h.start()

		done := h.waitForState(id, task.Completed)
		if done.Attempt != 2 || done.Cost != 0 {
			t.Errorf("attempt %d, cost %s", done.Attempt, done.Cost)
		}

		h.checkInvariants()
	})
}

func TestLostSubmissionToEmbeddedRendererIsRequeued(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.previewFallback = true
		h.upstreams[0].Driver = embeddedRenderer()
		r := textRequest("a boat")
		r.Preview = true

		h.start()
		id := h.createTask("acct_a", r)
		h.waitForState(id, task.Completed)
		h.shutdown()
		next := h.createTask("acct_a", r)
		h.runUntilCrash("before-submit")
		h.start()
		h.waitForState(next, task.Completed)
		h.checkAccepted(next, 1)
		h.checkInvariants()
	})
}
