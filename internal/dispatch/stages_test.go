package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

func TestNoStateIsWithoutAWayOn(t *testing.T) {
	t.Parallel()

	has := map[task.State]stage{}
	for _, s := range stages {
		if _, twice := has[s.state]; twice {
			t.Errorf("%s stands twice", s.state)
		}

		has[s.state] = s
	}

	for _, s := range task.States() {
		if _, ok := has[s]; ok == s.Final() {
			t.Errorf("%s: in the table %v, final %v", s, ok, s.Final())
		}

		if !s.Final() && s != task.Queued && has[s].take == nil {
			t.Errorf("%s has nobody who takes it up after a restart", s)
		}
	}
}

func TestAMissedChangeIsTakenUp(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.renderIn = time.Hour
		h.start()
		up := h.create("acct_a", words("a boat"))
		h.untilState(up, task.Running)
		h.halt()
		// This one serves the upstream, but listens to nothing: only the sweep tells it.
		served := h.deafTenure()
		defer served.lose(errStopped)

		preparing := h.create("acct_a", refs("walks", "https://example.com/face.png"))
		if err := h.d.sweepMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		if n := h.d.prepares.waiting(); n != 1 {
			t.Errorf("%d tasks to prepare after %s was missed", n, preparing)
		}

		h.edit(up, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })

		if err := h.d.sweepMissed(context.Background()); err != nil {
			t.Fatal(err)
		}

		wished := false

		served.polls.each(func(r *running) { wished = wished || r.cancel })

		if !wished {
			t.Error("a missed wish to cancel was not heeded")
		}
	})
}

// deafTenure has the dispatch that was halted serve its first upstream again, with
// nobody who listens, looks around or polls.
func (h *house) deafTenure() *tenure {
	h.t.Helper()

	ctx := context.Background()

	var fence int64

	now := time.Now()

	h.write(func(ctx context.Context, tx storeTx) (err error) {
		fence, err = tx.TakeLease(ctx, "up", h.d.owner, now.UnixMilli(), now.Add(leaseTime).UnixMilli())
		return err
	})
	served := newTenure(h.d.newLease(ctx, "up", fence, now), h.d.roster.list()[0])

	h.d.keeper.held["up"] = served.lease
	if err := served.recover(ctx); err != nil {
		h.t.Fatal(err)
	}

	served.door.Lock()
	defer served.door.Unlock()

	served.open = true

	return served
}
