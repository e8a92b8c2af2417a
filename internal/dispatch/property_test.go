package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// faultPlan lists the faults of one run: the n-th call of a kind gets the n-th entry of
// its list, which repeats.
type faultPlan struct {
	Submits []string
	Polls   []string
	Opens   []string
	Cancels []int    // seconds after which the n-th task is cancelled; 0 is never
	Crashes []string // fail points at which the process crashes, one after the other
	Lag     int      // delay of the supplier's lists, in seconds
}

var faultPlans = rapid.Custom(func(t *rapid.T) faultPlan {
	list := func(name string, of ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), 1, 7).Draw(t, name)
	}

	return faultPlan{
		Submits: append(list("submits", "accepted", "accepted", "throttled", "transient", "accepted lost", "lost", "account_blocked"), "accepted"),
		Polls:   append(list("polls", "fine", "fine", "fine", "error", "failed", "unknown"), "fine", "fine"),
		Opens:   append(list("opens", "fine", "cut", "error"), "fine"),
		Cancels: rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 30, 100}), 4, 4).Draw(t, "cancels"),
		Crashes: rapid.SliceOfN(rapid.SampledFrom([]string{"before-submit", "after-submit", "polling", "collecting", "after-blob-put", "after-final-commit"}), 0, 3).Draw(t, "crashes"),
		Lag:     rapid.SampledFrom([]int{0, 10, 80}).Draw(t, "lag"),
	}
})

// apply makes the supplier follow the plan. failedRenders counts the failed renders by task.
func (p faultPlan) apply(s *fakeSupplier) (failedRenders map[string]int) {
	failedRenders = map[string]int{}
	failing := map[provider.RemoteID]bool{}
	polls := 0
	s.listLag = time.Duration(p.Lag) * time.Second
	s.onSubmit = func(n int, _ provider.Submission) (bool, error) {
		switch p.Submits[n%len(p.Submits)] {
		case "throttled":
			return false, notAcceptedErr(provider.Throttled)
		case "transient":
			return false, notAcceptedErr(provider.Transient)
		case "account_blocked":
			return false, notAcceptedErr(provider.AccountBlocked)
		case "accepted lost":
			return true, lostResponseErr()
		case "lost":
			return false, lostResponseErr()
		}

		return true, nil
	}
	s.onPoll = func(_ context.Context, r *render, n int) (*provider.Report, error) {
		s.mu.Lock()
		defer s.mu.Unlock()

		if failing[r.remoteID] {
			return &provider.Report{Phase: provider.Failed, Failure: &provider.Failure{Code: "Fake"}}, nil
		}

		polls++
		switch p.Polls[polls%len(p.Polls)] {
		case "error":
			return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
		case "unknown":
			if n == 3 {
				return &provider.Report{Phase: provider.Unknown}, nil
			}
		case "failed":
			if n == 2 {
				failing[r.remoteID] = true
				failedRenders[r.submission.TaskID]++

				return &provider.Report{Phase: provider.Failed, Failure: &provider.Failure{Code: "Fake"}}, nil
			}
		}

		return nil, nil
	}
	s.onOpen = func(n int) (io.ReadCloser, error) {
		switch p.Opens[n%len(p.Opens)] {
		case "cut":
			return io.NopCloser(brokenReader{}), nil
		case "error":
			return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
		}

		return nil, nil
	}

	return failedRenders
}

// TestRandomFaults checks the guarantee of the package: under any faults every task
// becomes final, the supplier accepts it once (and once more for each render that failed
// there), and the ledger is exact.
func TestRandomFaults(t *testing.T) {
	t.Parallel()

	for seed := range seeds(10) {
		plan := faultPlans.Example(seed)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			databasesForSeed(seed)(t, func(h *harness) {
				t.Logf("%+v", plan)
				h.addAccount("acct_a", 1, 0)
				h.addAccount("acct_b", 2, 1)
				h.start()
				earlier := h.createTask("acct_a", textRequest("an earlier task"))
				h.waitForState(earlier, task.Completed)
				failedRenders := plan.apply(h.supplier)

				var ids []string

				for i, after := range plan.Cancels {
					id := h.createTask([]string{"acct_a", "acct_b"}[i%2], textRequest(fmt.Sprint("a boat ", i)))
					ids = append(ids, id)

					if after > 0 {
						go func() {
							time.Sleep(time.Duration(after) * time.Second)
							h.requestCancel(id)
						}()
					}
				}

				h.shutdown()

				for _, point := range plan.Crashes {
					h.crashOrEnd(point, ids)
				}

				h.start()

				for _, id := range ids {
					end := h.waitForFinal(id)
					if accepted := len(h.supplier.accepted(id)); accepted > 1+failedRenders[id] || int64(accepted) > end.Attempt {
						t.Errorf("%s: accepted %d times in %d attempts; %d renders failed", id, accepted, end.Attempt, failedRenders[id])
					}

					if end.State == task.Completed {
						if r := h.supplier.renders[provider.RemoteID(end.RemoteID)]; r == nil || r.submission.TaskID != id {
							t.Errorf("%s has the remote ID %q, which is not its own", id, end.RemoteID)
						}
					} else if end.Cost != 0 {
						t.Errorf("%s is %s and cost %s, want no charge", id, end.State, end.Cost)
					}

					if end.Error != nil && end.Error.Code == string(fault.CodeInternal) {
						t.Errorf("%s failed as %+v", id, end.Error)
					}
				}

				time.Sleep(2 * time.Minute) // for late cancel requests
				h.checkInvariants()
				h.checkSlotsFree()
			})
		})
	}
}

// requestCancel cancels a task as package checkout does for a customer.
func (h *harness) requestCancel(id string) {
	entries := [2]string{h.newID("entry"), h.newID("entry")}

	err := h.store.Write(context.Background(), func(tx *store.Tx) error {
		ctx := context.Background()

		t, err := tx.Task(ctx, id)
		if err != nil || t.State.Final() {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: time.Now().UnixMilli(), EntryIDs: entries, Edit: func(t *task.Task) {
			t.CancelRequestedAt = time.Now().UnixMilli()
			if t.State == task.Queued {
				t.State = task.Cancelled
			}
		}})

		return err
	})
	if err != nil && !errors.Is(err, store.ErrClosed) {
		h.t.Error(err)
	}
}

// crashOrEnd runs a dispatch until it crashes at the fail point or all tasks are final.
func (h *harness) crashOrEnd(point string, ids []string) {
	h.crashAt = point
	h.start()

	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	late := time.After(time.Hour)

	for open := true; open; {
		select {
		case <-h.crashed:
			open = false
		case <-late:
			open = false
		case <-tick.C:
			open = false
			for _, id := range ids {
				open = open || !h.task(id).State.Final()
			}
		}
	}

	h.shutdown()
	h.crashAt = ""
}

// checkSlotsFree checks that every upstream is served and that no slot is in use.
func (h *harness) checkSlotsFree() {
	h.t.Helper()

	workers := fleet{h.d}.workers()
	if all := h.d.upstreams.List(); len(workers) != len(all) {
		h.t.Errorf("%d of %d upstreams are served", len(workers), len(all))
	}

	for _, w := range workers {
		if n := w.InProgress(); n != 0 {
			h.t.Errorf("%d slots of %s are in use though every task is final", n, w.ID)
		}
	}
}
