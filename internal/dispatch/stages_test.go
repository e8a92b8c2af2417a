package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/task"
)

func TestEveryStateHasStage(t *testing.T) {
	t.Parallel()

	has := stages()

	for _, s := range task.States() {
		if _, ok := has[s]; ok == s.Final() {
			t.Errorf("%s: has a stage: %v, final: %v; want exactly one of the two", s, ok, s.Final())
		}

		if !s.Final() && s != task.Queued && has[s] != byPreparer && has[s] != byWorker {
			t.Errorf("%s is carried on by nobody after a restart", s)
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
		// The upstream is served, but nobody receives changes: only resyncMissed tells of them.
		defer h.serveWithoutChanges()()

		preparing := h.createTask("acct_a", referenceRequest("walks", "https://example.com/face.png"))
		if err := h.d.resyncMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		if n := h.d.references.Waiting(); n != 1 {
			t.Errorf("%d tasks wait to be prepared after the change of %s was missed, want 1", n, preparing)
		}

		h.editTask(up, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })

		if err := h.d.resyncMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Second) // of fake time: the poller is awake by then

		h.supplier.mu.Lock()
		defer h.supplier.mu.Unlock()

		if h.supplier.cancels == 0 {
			t.Error("a missed cancel request did not reach the supplier")
		}
	})
}

// serveWithoutChanges makes a stopped engine serve its upstreams again, without the
// goroutines that receive changes and that prepare. The function that it returns ends that.
func (h *harness) serveWithoutChanges() (stop func()) {
	h.t.Helper()

	ctx, cancel := context.WithCancel(context.Background())

	e := h.d
	e.leases = lease.NewCoordinator(e.leases.Options)

	ended := make(chan struct{})

	go func() {
		defer close(ended)

		e.leases.Run(ctx)
	}()

	h.waitUntil("the upstream is served", func() bool { return (fleet{e}).Serves("up") })

	return func() {
		e.leases.Shutdown(context.Background())
		cancel()
		<-ended
		e.leases.Wait()
	}
}
