package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// TestACrashAtEveryPointLosesNothing is the crash table of the design: at each
// line the process dies, another one goes on from the same files, and the end
// state, the ledger and the supplier's own count are looked at.
func TestACrashAtEveryPointLosesNothing(t *testing.T) {
	t.Parallel()

	for _, point := range []string{"preparing", "before-submit", "after-submit", "polling", "collecting", "after-put", "after-final-commit"} {
		t.Run(point, func(t *testing.T) {
			inHouses(t, func(h *house) {
				h.account("acct_a", 1, 0)
				earlier := h.earlierTicket() // proves lists
				id := h.create("acct_a", refs("character1 walks", "https://example.com/face.png"))
				h.crash(point)

				if point != "after-final-commit" && h.task(id).State.Final() {
					t.Fatalf("it ended %s before the crash", h.task(id).State)
				}

				h.start()
				done := h.untilState(id, task.Completed)
				h.holdsVideo(id)
				h.takenTimes(id, 1)
				h.takenTimes(earlier, 1)

				if point == "after-submit" && done.Attempt != 1 {
					t.Errorf("attempt %d: it was submitted again instead of found", done.Attempt)
				}

				h.sound()
			})
		})
	}
}

// earlierTicket runs one task to its end.
func (h *house) earlierTicket() string {
	h.t.Helper()
	h.start()
	id := h.create("acct_a", refs("character1 runs", "https://example.com/face.png"))
	h.untilState(id, task.Completed)
	h.halt()

	return id
}

func TestACancelMeetsASubmit(t *testing.T) {
	t.Parallel()

	for name, agree := range map[string]bool{"and the supplier agrees": true, "and the supplier has begun": false} {
		t.Run(name, func(t *testing.T) {
			inHouses(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.start()
				h.supplier.cancel = func(*render) (bool, error) { return agree, nil }
				h.supplier.submit = func(_ int, o provider.Order) (bool, error) {
					h.edit(o.Task, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
					return true, nil
				}
				id := h.create("acct_a", words("a boat"))

				done := h.untilFinal(id)
				if agree && (done.State != task.Cancelled || done.Cost != 0) {
					t.Errorf("ended %s, cost %s", done.State, done.Cost)
				}

				if !agree && (done.State != task.Completed || len(done.Warnings) != 1 || done.Warnings[0].Code != string(fault.CodeCancelRefused)) {
					t.Errorf("ended %s, warnings %+v", done.State, done.Warnings)
				}

				if h.supplier.cancels != 1 {
					t.Errorf("the supplier was asked to cancel %d times", h.supplier.cancels)
				}

				h.takenTimes(id, 1)
				h.sound()
			})
		})
	}
}

func TestACancelWhileRunningReachesTheSupplierAtOnce(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.renderIn = time.Hour
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)
		time.Sleep(10 * time.Minute) // polls are far apart by now

		begin := time.Now()

		h.edit(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
		h.untilState(id, task.Cancelled)

		if late := time.Since(begin); late > time.Second {
			t.Errorf("cancelled after %s", late)
		}

		h.sound()
	})
}

func TestACancelOfWhatWasNotTakenEndsAtOnce(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		h.supplier.submit = func(_ int, o provider.Order) (bool, error) {
			h.edit(o.Task, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
			return false, saysNo(provider.Throttled)
		}
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Cancelled)
		h.takenTimes(id, 0)
		h.sound()
	})
}

func TestASupplierWithoutCancelRunsOnWithOneWarning(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Provider = plain{h.supplier}
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)
		h.edit(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })

		done := h.untilState(id, task.Completed)
		if len(done.Warnings) != 1 {
			t.Errorf("warnings %+v", done.Warnings)
		}

		h.sound()
	})
}

func TestStoppingLetsTheAnswerOnTheWireArrive(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		begun := make(chan struct{})
		h.supplier.submit = func(int, provider.Order) (bool, error) {
			close(begun)
			time.Sleep(20 * time.Second)

			return true, nil
		}
		id := h.create("acct_a", words("a boat"))

		<-begun
		h.halt()

		if got := h.task(id); got.State != task.Running || got.Ticket != "ticket-1" {
			t.Errorf("after the end it is %s with ticket %q", got.State, got.Ticket)
		}

		h.start()
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
	})
}

// A refusal that arrives after the end wants a decision, and so a lease that is
// still held: Run must neither hang nor lose the task.
func TestStoppingSettlesARefusalOnTheWire(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		begun := make(chan struct{})
		h.supplier.submit = func(n int, _ provider.Order) (bool, error) {
			if n == 1 {
				close(begun)
				time.Sleep(40 * time.Second) // longer than a lease

				return false, saysNo(provider.Passing)
			}

			return true, nil
		}
		id := h.create("acct_a", words("a boat"))

		<-begun
		h.halt()

		if got := h.task(id); got.State != task.Queued {
			t.Errorf("after the end it is %s", got.State)
		}

		h.start()
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
	})
}

func TestADeadProcessIsFollowedAfterItsLease(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)
		h.halt()

		now := time.Now()

		h.write(func(ctx context.Context, tx storeTx) error {
			_, err := tx.TakeLease(ctx, "up", "a dead one", now.UnixMilli(), now.Add(leaseTime).UnixMilli())
			return err
		})
		h.start()
		h.untilState(id, task.Completed)

		if err := h.store.Write(context.Background(), func(tx storeTx) error {
			return tx.Holds(context.Background(), "up", "a dead one", 2, time.Now().UnixMilli())
		}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the dead one still holds the lease: %v", err)
		}

		if late := time.Since(now); late < leaseTime {
			t.Errorf("taken over after %s, before the lease ran out", late)
		}
	})
}
