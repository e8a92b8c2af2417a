package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// TestCrashAtEveryFailPointLosesNothing is the crash table of the design: at each
// line the process dies, another one goes on from the same files, and the end
// state, the ledger and the supplier's own count are looked at.
func TestCrashAtEveryFailPointLosesNothing(t *testing.T) {
	t.Parallel()

	for _, point := range []string{"preparing", "before-submit", "after-submit", "polling", "collecting", "after-blob-put", "after-final-commit"} {
		t.Run(point, func(t *testing.T) {
			withEachDatabase(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				earlier := h.completeEarlierTask() // shows that lists are reliable
				id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png"))
				h.runUntilCrash(point)

				if point != "after-final-commit" && h.task(id).State.Final() {
					t.Fatalf("it ended %s before the crash", h.task(id).State)
				}

				h.start()
				done := h.waitForState(id, task.Completed)
				h.checkVideo(id)
				h.checkAccepted(id, 1)
				h.checkAccepted(earlier, 1)

				if point == "after-submit" && done.Attempt != 1 {
					t.Errorf("attempt %d: it was submitted again instead of found", done.Attempt)
				}

				h.checkInvariants()
			})
		})
	}
}

// completeEarlierTask starts a dispatch, completes one task and stops the dispatch.
func (h *harness) completeEarlierTask() string {
	h.t.Helper()
	h.start()
	id := h.createTask("acct_a", referenceRequest("character1 runs", "https://example.com/face.png"))
	h.waitForState(id, task.Completed)
	h.shutdown()

	return id
}

func TestCancelDuringSubmit(t *testing.T) {
	t.Parallel()

	for name, cancels := range map[string]bool{"and the supplier cancels": true, "and the supplier refuses": false} {
		t.Run(name, func(t *testing.T) {
			withEachDatabase(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.start()
				h.supplier.onCancel = func(*render) (bool, error) { return cancels, nil }
				h.supplier.onSubmit = func(_ int, o provider.Submission) (bool, error) {
					h.editTask(o.TaskID, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
					return true, nil
				}
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForFinal(id)
				if cancels && (done.State != task.Cancelled || done.Cost != 0) {
					t.Errorf("ended %s, cost %s", done.State, done.Cost)
				}

				if !cancels && (done.State != task.Completed || len(done.Warnings) != 1 || done.Warnings[0].Code != string(fault.CodeCancelRefused)) {
					t.Errorf("ended %s, warnings %+v", done.State, done.Warnings)
				}

				if h.supplier.cancels != 1 {
					t.Errorf("the supplier got %d cancel requests, want 1", h.supplier.cancels)
				}

				h.checkAccepted(id, 1)
				h.checkInvariants()
			})
		})
	}
}

func TestCancelOfRunningTaskIsForwardedAtOnce(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.renderIn = time.Hour
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)
		time.Sleep(10 * time.Minute) // polls are far apart by now

		begin := time.Now()

		h.editTask(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
		h.waitForState(id, task.Cancelled)

		if late := time.Since(begin); late > time.Second {
			t.Errorf("cancelled after %s", late)
		}

		h.checkInvariants()
	})
}

func TestCancelOfUnacceptedSubmissionEndsAtOnce(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		h.supplier.onSubmit = func(_ int, o provider.Submission) (bool, error) {
			h.editTask(o.TaskID, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
			return false, notAcceptedErr(provider.Throttled)
		}
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Cancelled)
		h.checkAccepted(id, 0)
		h.checkInvariants()
	})
}

func TestCancelUnsupportedBySupplierWarnsOnce(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Provider = requiredOnly{h.supplier}
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)
		h.editTask(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })

		done := h.waitForState(id, task.Completed)
		if len(done.Warnings) != 1 {
			t.Errorf("warnings %+v", done.Warnings)
		}

		h.checkInvariants()
	})
}

func TestShutdownWaitsForSubmissionInFlight(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		begun := make(chan struct{})
		h.supplier.onSubmit = func(int, provider.Submission) (bool, error) {
			close(begun)
			time.Sleep(20 * time.Second)

			return true, nil
		}
		id := h.createTask("acct_a", textRequest("a boat"))

		<-begun
		h.shutdown()

		if got := h.task(id); got.State != task.Running || got.RemoteID != "remote-1" {
			t.Errorf("after the shutdown it is %s with remote ID %q", got.State, got.RemoteID)
		}

		h.start()
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
	})
}

// A rejection that arrives after the shutdown began needs a decision, and so a lease that
// is still held: Run must neither hang nor lose the task.
func TestShutdownRecordsRejectionInFlight(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		begun := make(chan struct{})
		h.supplier.onSubmit = func(n int, _ provider.Submission) (bool, error) {
			if n == 1 {
				close(begun)
				time.Sleep(40 * time.Second) // longer than a lease

				return false, notAcceptedErr(provider.Transient)
			}

			return true, nil
		}
		id := h.createTask("acct_a", textRequest("a boat"))

		<-begun
		h.shutdown()

		if got := h.task(id); got.State != task.Queued {
			t.Errorf("after the shutdown it is %s, want queued", got.State)
		}

		h.start()
		h.waitForState(id, task.Completed)
		h.checkAccepted(id, 1)
	})
}

func TestTakeoverAfterLeaseExpires(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)
		h.shutdown()

		now := time.Now()

		h.write(func(ctx context.Context, tx storeTx) error {
			_, err := tx.AcquireLease(ctx, "up", "a dead replica", now.UnixMilli(), now.Add(lease.Duration).UnixMilli())
			return err
		})
		h.start()
		h.waitForState(id, task.Completed)

		if err := h.store.Write(context.Background(), func(tx storeTx) error {
			return tx.CheckLease(context.Background(), "up", "a dead replica", 2, time.Now().UnixMilli())
		}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the dead replica still holds the lease: %v", err)
		}

		if late := time.Since(now); late < lease.Duration {
			t.Errorf("taken over after %s, before the lease expired", late)
		}
	})
}
