package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/task"
)

func TestNoStateIsWithoutAWayOn(t *testing.T) {
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
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.supplier.renderIn = time.Hour
		h.start()
		up := h.create("acct_a", words("a boat"))
		h.untilState(up, task.Running)
		h.halt()
		// This one listens to nothing: only the sweep tells it.
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
		h.d.upstreams[0].polls.each(func(r *running) { wished = wished || r.cancel })
		if !wished {
			t.Error("a missed wish to cancel was not heeded")
		}
	})
}
