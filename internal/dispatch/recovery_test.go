package dispatch

import (
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// loseFirstResponse loses the response to the first submission; accepted tells whether the
// supplier accepted it.
func loseFirstResponse(accepted bool) func(int, provider.Submission) (bool, error) {
	return func(n int, _ provider.Submission) (bool, error) {
		if n == 1 {
			return accepted, lostResponseErr()
		}

		return true, nil
	}
}

// prepareRecovery completes one task, so that lists are known to show our tasks and the ID
// of our key is known. Submissions are counted from then on.
func (h *harness) prepareRecovery() {
	h.t.Helper()
	h.addAccount("acct_a", 1, 0)
	h.start()
	h.waitForState(h.createTask("acct_a", textRequest("an earlier task")), task.Completed)
	h.supplier.mu.Lock()
	h.supplier.submissions = nil
	h.supplier.mu.Unlock()
}

func (h *harness) checkRecoveries(result string, want float64) {
	h.t.Helper()

	if got := h.metricValue("unireel_recoveries_total", result); got != want {
		h.t.Errorf("recoveries %q = %v, want %v", result, got, want)
	}
}

func TestLostResponseIsRecovered(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.onSubmit = loseFirstResponse(true)
		id := h.createTask("acct_a", textRequest("a boat"))
		next := h.createTask("acct_a", textRequest("waits while submissions are blocked"))
		done := h.waitForState(id, task.Completed)
		h.waitForState(next, task.Completed)

		if done.Attempt != 1 {
			t.Errorf("%d attempts", done.Attempt)
		}

		h.checkAccepted(id, 1)
		h.checkAccepted(next, 1)
		h.checkRecoveries("recovered", 1)
		h.checkInvariants()
	})
}

func TestUnacceptedSubmissionIsRequeuedAfterProof(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.onSubmit = loseFirstResponse(false)
		begin := time.Now()
		id := h.createTask("acct_a", textRequest("a boat"))

		again := h.waitFor(id, "submitted again", func(t task.Task) bool { return t.Attempt == 2 })
		if early := time.UnixMilli(again.SubmittedAt).Sub(begin); early < minListDelay+minListInterval {
			t.Errorf("submitted again after %s, before the list proved that it was not accepted", early)
		}

		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
		h.checkRecoveries("not_accepted", 1)
		h.checkInvariants()
	})
}

// A list that lags does not show our tasks, so it proves nothing, however old the
// submission is.
func TestEmptyOrLaggingListProvesNothing(t *testing.T) {
	t.Parallel()

	for name, degrade := range map[string]func(*fakeSupplier){
		"empty":   func(s *fakeSupplier) { s.listEmpty = true },
		"lagging": func(s *fakeSupplier) { s.listLag = 3 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.prepareRecovery()
				degrade(h.supplier)
				h.supplier.onSubmit = loseFirstResponse(true)
				begin := time.Now()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, task.Failed)
				if done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0 {
					t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
				}

				if took := time.Since(begin); took < recoveryTimeout || took > recoveryTimeout+2*time.Minute {
					t.Errorf("failed after %s", took)
				}

				h.checkAccepted(id, 1) // and never a second time
				h.checkInvariants()
			})
		})
	}
}

func TestRecoveryWaitsForLaggingList(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.listLag = 75 * time.Second
		h.supplier.onSubmit = loseFirstResponse(true)
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
		h.checkRecoveries("recovered", 1)
	})
}

func foreignSubmission(prompt string, seconds int) provider.Submission {
	return provider.Submission{TaskID: "theirs", Model: "wan2.6-t2v", Prompt: prompt, Size: "1280*720", Seconds: seconds}
}

func TestForeignTasksAreNeverRecovered(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		foreign  func(h *harness)
		accepted bool
		state    task.State
	}{
		"of another key":                            {func(h *harness) { h.supplier.addForeign(foreignSubmission("a boat", 2), "key-theirs") }, true, task.Completed},
		"of another key, ours not accepted":         {func(h *harness) { h.supplier.addForeign(foreignSubmission("a boat", 2), "key-theirs") }, false, task.Completed},
		"of a shared key with another prompt":       {func(h *harness) { h.supplier.addForeign(foreignSubmission("a car", 2), "key-ours") }, true, task.Completed},
		"of a shared key with another length":       {func(h *harness) { h.supplier.addForeign(foreignSubmission("a boat", 5), "key-ours") }, true, task.Completed},
		"of a shared key, ours not accepted":        {func(h *harness) { h.supplier.addForeign(foreignSubmission("a car", 2), "key-ours") }, false, task.Failed},
		"of a shared key, two with the same prompt": {func(h *harness) { h.supplier.addForeign(foreignSubmission("a boat", 2), "key-ours") }, true, task.Failed},
		"of a shared key with another prompt, created earlier": {func(h *harness) {
			h.supplier.addForeign(foreignSubmission("a car", 2), "key-ours").createdAt = time.Now().Add(-time.Minute)
		}, true, task.Completed},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.prepareRecovery()
				h.supplier.onSubmit = func(n int, o provider.Submission) (bool, error) {
					if n == 1 {
						h.supplier.mu.Unlock()
						c.foreign(h)
						h.supplier.mu.Lock()

						return c.accepted, lostResponseErr()
					}

					return true, nil
				}
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0) {
					t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
				}

				if rendered := h.supplier.renders[provider.RemoteID(done.RemoteID)]; done.State == task.Completed && (rendered == nil || rendered.foreign) {
					t.Errorf("it was recovered with the foreign remote ID %q", done.RemoteID)
				}

				if done.State == task.Completed {
					h.checkAccepted(id, 1)
				}

				h.checkInvariants()
			})
		})
	}
}

// The request ID of a response whose body was lost identifies the remote task among
// tasks that are otherwise equal.
func TestRecoveryByRequestID(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.onSubmit = func(n int, o provider.Submission) (bool, error) {
			if n == 1 {
				h.supplier.addRender(foreignSubmission("a boat", 2), "key-ours").foreign = true
				return true, &provider.Failure{Acceptance: provider.AcceptanceUnknown, RequestID: "request-3"}
			}

			return true, nil
		}
		id := h.createTask("acct_a", textRequest("a boat"))

		done := h.waitForState(id, task.Completed)
		if done.RemoteID != "remote-3" {
			t.Errorf("recovered remote ID %s, want remote-3", done.RemoteID)
		}

		h.checkRecoveries("recovered", 1)
		h.checkInvariants()
	})
}

func TestRecoveryWithTruncatedPrompt(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.onSubmit = loseFirstResponse(true)

		long := make([]rune, 1600)
		for i := range long {
			long[i] = '船'
		}

		id := h.createTask("acct_a", textRequest(string(long)))
		h.waitForState(id, task.Completed)
		h.checkRecoveries("rejected", 0)
	})
}

func TestRecoveryWithoutList(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Provider = requiredOnly{h.supplier}
		h.start()
		h.supplier.onSubmit = loseFirstResponse(true)

		id := h.createTask("acct_a", textRequest("a boat"))
		if done := h.waitForState(id, task.Failed); done.Error.Code != string(fault.CodeUpstreamUnknown) {
			t.Errorf("failed as %+v", done.Error)
		}

		h.checkAccepted(id, 1)
		h.waitForState(h.createTask("acct_a", textRequest("submissions are not blocked any more")), task.Completed)
		h.checkInvariants()
	})
}

func TestCancelDuringRecovery(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.listLag = time.Minute
		h.supplier.renderIn = time.Hour
		h.supplier.onSubmit = loseFirstResponse(true)
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Submitting)
		time.Sleep(10 * time.Second)
		h.editTask(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
		h.waitForState(id, task.Cancelled)

		if !h.supplier.renders["remote-2"].cancelled {
			t.Error("the supplier still renders")
		}

		h.checkInvariants()
	})
}

func TestRestartDuringRecovery(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.listLag = time.Minute
		h.supplier.onSubmit = loseFirstResponse(true)
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Submitting)
		time.Sleep(20 * time.Second)
		h.shutdown()
		h.start()
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
		h.checkInvariants()
	})
}

func TestOrphansAreCountedAndQueuedOnesCancelled(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		theirs := h.supplier.addForeign(foreignSubmission("a foreign task", 2), "key-theirs")
		ours := h.supplier.addForeign(foreignSubmission("no task of ours", 2), "key-ours")
		theirs.queued = true
		ours.queued = true

		time.Sleep(orphanScanInterval + time.Minute)

		if got := h.metricValue("unireel_orphans_total", "up"); got < 1 {
			t.Errorf("%v orphans were counted, want 1", got)
		}

		if theirs.cancelled || !ours.cancelled {
			t.Errorf("cancelled: theirs %v, ours %v; want only ours", theirs.cancelled, ours.cancelled)
		}

		time.Sleep(3 * orphanScanInterval)

		if got := h.metricValue("unireel_orphans_total", "up"); got != 1 {
			t.Errorf("%v orphans were counted, want 1", got)
		}
	})
}

// A replica that starts hours later still reads the list before it gives up.
func TestRecoveryAfterLongDowntime(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.supplier.listLag = time.Minute
		h.supplier.onSubmit = loseFirstResponse(true)
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Submitting)
		time.Sleep(20 * time.Second)
		h.shutdown()
		time.Sleep(2 * time.Hour)
		h.start()
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
	})
}

// A list shows the last 24 hours: whether an older submission was accepted cannot be
// found out any more.
func TestRecoveryAfterListWindow(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.prepareRecovery()
		h.shutdown()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.runUntilCrash("after-submit")
		time.Sleep(25 * time.Hour)

		h.supplier.listEmpty = true
		h.start()

		if done := h.waitForState(id, task.Failed); done.Error.Code != string(fault.CodeUpstreamUnknown) {
			t.Errorf("failed as %+v", done.Error)
		}

		h.checkAccepted(id, 1)
		h.checkInvariants()
	})
}
