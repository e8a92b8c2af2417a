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

// weather is what goes wrong in one run: the n-th call of a kind meets the n-th
// entry, round and round.
type weather struct {
	Submits []string
	Polls   []string
	Opens   []string
	Cancels []int    // seconds after which the n-th task's customer gives up; 0 is never
	Crashes []string // fail points at which processes die, one after the other
	Lag     int      // of the supplier's lists, seconds
}

var anyWeather = rapid.Custom(func(t *rapid.T) weather {
	list := func(name string, of ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), 1, 7).Draw(t, name)
	}

	return weather{
		Submits: append(list("submits", "taken", "taken", "throttled", "passing", "lost taken", "lost", "locked"), "taken"),
		Polls:   append(list("polls", "fine", "fine", "fine", "no answer", "broken", "unknown"), "fine", "fine"),
		Opens:   append(list("opens", "fine", "cut", "no answer"), "fine"),
		Cancels: rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 30, 100}), 4, 4).Draw(t, "cancels"),
		Crashes: rapid.SliceOfN(rapid.SampledFrom([]string{"before-submit", "after-submit", "polling", "collecting", "after-put", "after-final-commit"}), 0, 3).Draw(t, "crashes"),
		Lag:     rapid.SampledFrom([]int{0, 10, 80}).Draw(t, "lag"),
	}
})

// blow makes the supplier behave so, and counts the renders that broke, by task.
func (w weather) blow(s *supplier) (broke map[string]int) {
	broke = map[string]int{}
	marked := map[provider.Ticket]bool{}
	polls := 0
	s.lag = time.Duration(w.Lag) * time.Second
	s.submit = func(n int, _ provider.Order) (bool, error) {
		switch w.Submits[n%len(w.Submits)] {
		case "throttled":
			return false, saysNo(provider.Throttled)
		case "passing":
			return false, saysNo(provider.Passing)
		case "locked":
			return false, saysNo(provider.Locked)
		case "lost taken":
			return true, lost()
		case "lost":
			return false, lost()
		}

		return true, nil
	}
	s.poll = func(_ context.Context, r *render, n int) (*provider.Report, error) {
		s.mu.Lock()
		defer s.mu.Unlock()

		if marked[r.ticket] {
			return &provider.Report{Phase: provider.Broken, Failure: &provider.Failure{Code: "Fake"}}, nil
		}

		polls++
		switch w.Polls[polls%len(w.Polls)] {
		case "no answer":
			return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
		case "unknown":
			if n == 3 {
				return &provider.Report{Phase: provider.Unknown}, nil
			}
		case "broken":
			if n == 2 {
				marked[r.ticket] = true
				broke[r.order.Task]++

				return &provider.Report{Phase: provider.Broken, Failure: &provider.Failure{Code: "Fake"}}, nil
			}
		}

		return nil, nil
	}
	s.open = func(n int) (io.ReadCloser, error) {
		switch w.Opens[n%len(w.Opens)] {
		case "cut":
			return io.NopCloser(failing{}), nil
		case "no answer":
			return nil, &provider.Failure{Err: io.ErrUnexpectedEOF}
		}

		return nil, nil
	}

	return broke
}

// TestWhateverGoesWrong is the law of the room: in any weather every task ends,
// is at the supplier only once (and once more for each render that broke there),
// and the ledger is exact.
func TestWhateverGoesWrong(t *testing.T) {
	t.Parallel()

	for seed := range seeds(10) {
		w := anyWeather.Example(seed)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inSomeHouses(seed)(t, func(h *house) {
				t.Logf("%+v", w)
				h.account("acct_a", 1, 0)
				h.account("acct_b", 2, 1)
				h.start()
				proof := h.create("acct_a", words("proves lists"))
				h.untilState(proof, task.Completed)
				broke := w.blow(h.supplier)

				var ids []string

				for i, after := range w.Cancels {
					id := h.create([]string{"acct_a", "acct_b"}[i%2], words(fmt.Sprint("a boat ", i)))
					ids = append(ids, id)

					if after > 0 {
						go func() {
							time.Sleep(time.Duration(after) * time.Second)
							h.wish(id)
						}()
					}
				}

				h.halt()

				for _, point := range w.Crashes {
					h.crashOrEnd(point, ids)
				}

				h.start()

				for _, id := range ids {
					end := h.untilFinal(id)
					if taken := len(h.supplier.taken(id)); taken > 1+broke[id] || int64(taken) > end.Attempt {
						t.Errorf("%s: taken %d times in %d attempts; %d renders broke", id, taken, end.Attempt, broke[id])
					}

					if end.State == task.Completed {
						if r := h.supplier.renders[provider.Ticket(end.Ticket)]; r == nil || r.order.Task != id {
							t.Errorf("%s was given the ticket %q", id, end.Ticket)
						}
					} else if end.Cost != 0 {
						t.Errorf("%s %s, and cost %s", id, end.State, end.Cost)
					}

					if end.Error != nil && end.Error.Code == string(fault.CodeInternal) {
						t.Errorf("%s failed as %+v", id, end.Error)
					}
				}

				time.Sleep(2 * time.Minute) // late wishes
				h.sound()
				h.slotsFree()
			})
		})
	}
}

// wish is a customer's cancel, as checkout takes it.
func (h *house) wish(id string) {
	entries := [2]string{h.newID("entry"), h.newID("entry")}

	err := h.store.Write(context.Background(), func(tx *store.Tx) error {
		ctx := context.Background()

		t, err := tx.Task(ctx, id)
		if err != nil || t.State.Final() {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: time.Now().UnixMilli(), Entries: entries, Edit: func(t *task.Task) {
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

// crashOrEnd runs a process until it dies at the point, or until all is done.
func (h *house) crashOrEnd(point string, ids []string) {
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

	h.halt()
	h.crashAt = ""
}

// slotsFree says that no slot is counted for a task that is not there any more.
func (h *house) slotsFree() {
	h.t.Helper()

	tenures := h.d.keeper.tenures()
	if len(tenures) != len(h.d.roster.list()) {
		h.t.Errorf("%d of %d upstreams are served", len(tenures), len(h.d.roster.list()))
	}

	for _, t := range tenures {
		if n := t.inProgress(); n != 0 {
			h.t.Errorf("%d slots of %s are in use though every task is final", n, t.id)
		}
	}
}
