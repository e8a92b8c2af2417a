package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

func TestEveryStateHasStage(t *testing.T) {
	t.Parallel()

	has := map[task.State]stage{}
	for _, s := range stages {
		if _, twice := has[s.state]; twice {
			t.Errorf("%s has two stages", s.state)
		}

		has[s.state] = s
	}

	for _, s := range task.States() {
		if _, ok := has[s]; ok == s.Final() {
			t.Errorf("%s: has a stage: %v, final: %v; want exactly one of the two", s, ok, s.Final())
		}

		if !s.Final() && s != task.Queued && has[s].resume == nil {
			t.Errorf("%s has no resume function for restarts", s)
		}
	}
}

func TestMissedChangeIsResynced(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.supplier.renderIn = time.Hour
		h.start()
		up := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(up, task.Running)
		h.shutdown()
		// This worker serves the upstream but receives no changes: only resyncMissed tells it.
		w := h.newPassiveWorker()
		defer w.revoke(errShutdown)

		preparing := h.createTask("acct_a", referenceRequest("walks", "https://example.com/face.png"))
		if err := h.d.resyncMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		if n := h.d.prepareQueue.waiting(); n != 1 {
			t.Errorf("%d tasks in the prepare queue after the change of %s was missed, want 1", n, preparing)
		}

		h.editTask(up, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })

		if err := h.d.resyncMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		cancelRequested := false

		w.poller.eachTracked(func(r *trackedTask) { cancelRequested = cancelRequested || r.cancelRequested })

		if !cancelRequested {
			t.Error("a missed cancel request was not delivered to the poller")
		}
	})
}

// newPassiveWorker makes the stopped dispatch serve its first upstream again, without the
// goroutines that receive changes, observe leases and poll.
func (h *harness) newPassiveWorker() *worker {
	h.t.Helper()

	ctx := context.Background()

	var fence int64

	now := time.Now()

	h.write(func(ctx context.Context, tx storeTx) (err error) {
		fence, err = tx.AcquireLease(ctx, "up", h.d.owner, now.UnixMilli(), now.Add(leaseDuration).UnixMilli())
		return err
	})
	w := newWorker(h.d.newLease(ctx, "up", fence, now), h.d.registry.list()[0])

	h.d.coordinator.held["up"] = w.lease
	if err := w.resumeTasks(ctx); err != nil {
		h.t.Fatal(err)
	}

	w.submittersMu.Lock()
	defer w.submittersMu.Unlock()

	w.ready = true

	return w
}
