package dispatch

import (
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// lostOnce lets the first answer be lost, taken or not.
func lostOnce(taken bool) func(int, provider.Order) (bool, error) {
	return func(n int, _ provider.Order) (bool, error) {
		if n == 1 {
			return taken, lost()
		}

		return true, nil
	}
}

// known runs one task to its end, so that lists can be proved and our key is
// known; orders are counted from then on.
func (h *house) known() {
	h.t.Helper()
	h.account("acct_a", 1, 0)
	h.start()
	h.untilState(h.create("acct_a", words("an earlier one")), task.Completed)
	h.supplier.mu.Lock()
	h.supplier.orders = nil
	h.supplier.mu.Unlock()
}

func (h *house) rescued(result string, want float64) {
	h.t.Helper()

	if got := h.counted(h.d.stats.rescues.WithLabelValues(result)); got != want {
		h.t.Errorf("rescues %q = %v, want %v", result, got, want)
	}
}

func TestALostAnswerIsFoundAgain(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.submit = lostOnce(true)
		id := h.create("acct_a", words("a boat"))
		next := h.create("acct_a", words("waits behind the shut gate"))
		done := h.untilState(id, task.Completed)
		h.untilState(next, task.Completed)

		if done.Attempt != 1 {
			t.Errorf("%d attempts", done.Attempt)
		}

		h.takenTimes(id, 1)
		h.takenTimes(next, 1)
		h.rescued("adopted", 1)
		h.sound()
	})
}

func TestWhatWasProvedNotTakenGoesBackLateEnough(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.submit = lostOnce(false)
		begin := time.Now()
		id := h.create("acct_a", words("a boat"))

		again := h.until(id, "submitted again", func(t task.Task) bool { return t.Attempt == 2 })
		if early := time.UnixMilli(again.SubmittedAt).Sub(begin); early < listsAfter+listsApart {
			t.Errorf("submitted again after %s, before it was proved", early)
		}

		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
		h.rescued("not taken", 1)
		h.sound()
	})
}

// A list that lags shows nothing of ours: it proves nothing, however late.
func TestABlindOrLaggingListProvesNothing(t *testing.T) {
	t.Parallel()

	for name, bend := range map[string]func(*supplier){
		"blind":   func(s *supplier) { s.blind = true },
		"lagging": func(s *supplier) { s.lag = 3 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.known()
				bend(h.supplier)
				h.supplier.submit = lostOnce(true)
				begin := time.Now()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, task.Failed)
				if done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0 {
					t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
				}

				if took := time.Since(begin); took < rescueGiveUp || took > rescueGiveUp+2*time.Minute {
					t.Errorf("given up after %s", took)
				}

				h.takenTimes(id, 1) // and never a second time
				h.sound()
			})
		})
	}
}

func TestAListThatLagsAMinuteIsWaitedFor(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.lag = 75 * time.Second
		h.supplier.submit = lostOnce(true)
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
		h.rescued("adopted", 1)
	})
}

func order(prompt string, seconds int) provider.Order {
	return provider.Order{Task: "theirs", Model: "wan2.6-t2v", Prompt: prompt, Size: "1280*720", Seconds: seconds}
}

func TestForeignTasksAreNeverAdopted(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		foreign func(h *house)
		taken   bool
		state   task.State
	}{
		"of another key":                                 {func(h *house) { h.supplier.foreign(order("a boat", 2), "key-theirs") }, true, task.Completed},
		"of another key, ours not taken":                 {func(h *house) { h.supplier.foreign(order("a boat", 2), "key-theirs") }, false, task.Completed},
		"of a shared key with another prompt":            {func(h *house) { h.supplier.foreign(order("a car", 2), "key-ours") }, true, task.Completed},
		"of a shared key with another length":            {func(h *house) { h.supplier.foreign(order("a boat", 5), "key-ours") }, true, task.Completed},
		"of a shared key, only theirs is there":          {func(h *house) { h.supplier.foreign(order("a car", 2), "key-ours") }, false, task.Failed},
		"of a shared key, two with the same prompt":      {func(h *house) { h.supplier.foreign(order("a boat", 2), "key-ours") }, true, task.Failed},
		"of a shared key, another request, ours too old": {func(h *house) { h.supplier.foreign(order("a car", 2), "key-ours").made = time.Now().Add(-time.Minute) }, true, task.Completed},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.known()
				h.supplier.submit = func(n int, o provider.Order) (bool, error) {
					if n == 1 {
						h.supplier.mu.Unlock()
						c.foreign(h)
						h.supplier.mu.Lock()

						return c.taken, lost()
					}

					return true, nil
				}
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeUpstreamUnknown) || done.Cost != 0) {
					t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
				}

				if ticket := h.supplier.renders[provider.Ticket(done.Ticket)]; done.State == task.Completed && (ticket == nil || ticket.foreign) {
					t.Errorf("it was given somebody else's ticket %q", done.Ticket)
				}

				if done.State == task.Completed {
					h.takenTimes(id, 1)
				}

				h.sound()
			})
		})
	}
}

// The id of an exchange whose body was lost names the ticket among equals.
func TestTheRequestIDIdentifiesATicketAmongEquals(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.submit = func(n int, o provider.Order) (bool, error) {
			if n == 1 {
				h.supplier.add(order("a boat", 2), "key-ours").foreign = true
				return true, &provider.Failure{Taken: provider.Unsure, RequestID: "request-3"}
			}

			return true, nil
		}
		id := h.create("acct_a", words("a boat"))

		done := h.untilState(id, task.Completed)
		if done.Ticket != "ticket-3" {
			t.Errorf("adopted %s", done.Ticket)
		}

		h.rescued("adopted", 1)
		h.sound()
	})
}

func TestALongPromptIsProvedAsItWasCut(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.submit = lostOnce(true)

		long := make([]rune, 1600)
		for i := range long {
			long[i] = '船'
		}

		id := h.create("acct_a", words(string(long)))
		h.untilState(id, task.Completed)
		h.rescued("quarantined", 0)
	})
}

func TestWithoutAListItStaysUnknown(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Provider = plain{h.supplier}
		h.start()
		h.supplier.submit = lostOnce(true)

		id := h.create("acct_a", words("a boat"))
		if done := h.untilState(id, task.Failed); done.Error.Code != string(fault.CodeUpstreamUnknown) {
			t.Errorf("failed as %+v", done.Error)
		}

		h.takenTimes(id, 1)
		h.untilState(h.create("acct_a", words("the gate is open again")), task.Completed)
		h.sound()
	})
}

func TestACancelOfAnUnsureTaskIsKept(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.lag = time.Minute
		h.supplier.renderIn = time.Hour
		h.supplier.submit = lostOnce(true)
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Submitting)
		time.Sleep(10 * time.Second)
		h.edit(id, func(t *task.Task) { t.CancelRequestedAt = time.Now().UnixMilli() })
		h.untilState(id, task.Cancelled)

		if !h.supplier.renders["ticket-2"].stopped {
			t.Error("the supplier renders on")
		}

		h.sound()
	})
}

func TestARestartInTheMiddleOfARescue(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.lag = time.Minute
		h.supplier.submit = lostOnce(true)
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Submitting)
		time.Sleep(20 * time.Second)
		h.halt()
		h.start()
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
		h.sound()
	})
}

func TestOrphansAreCountedAndWaitingOnesCancelled(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		theirs := h.supplier.foreign(order("somebody else's", 2), "key-theirs")
		ours := h.supplier.foreign(order("nobody ordered it", 2), "key-ours")
		theirs.waits = true
		ours.waits = true

		time.Sleep(orphansEvery + time.Minute)

		if got := h.counted(h.d.stats.orphans.WithLabelValues("up")); got < 1 {
			t.Errorf("%v orphans were counted, want 1", got)
		}

		if theirs.stopped || !ours.stopped {
			t.Errorf("stopped: theirs %v, ours %v", theirs.stopped, ours.stopped)
		}

		time.Sleep(3 * orphansEvery)

		if got := h.counted(h.d.stats.orphans.WithLabelValues("up")); got != 1 {
			t.Errorf("%v orphans were counted, want 1", got)
		}
	})
}

// Whoever comes back after hours still looks before giving up.
func TestALongSleepDoesNotGiveUpUnlooked(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.supplier.lag = time.Minute
		h.supplier.submit = lostOnce(true)
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Submitting)
		time.Sleep(20 * time.Second)
		h.halt()
		time.Sleep(2 * time.Hour)
		h.start()
		h.untilState(id, task.Completed)
		h.takenTimes(id, 1)
	})
}

// A list shows 24 hours: what was sent before can be neither found nor disproved.
func TestAfterTheListsWindowNothingIsBelieved(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.known()
		h.halt()
		id := h.create("acct_a", words("a boat"))
		h.crash("after-submit")
		time.Sleep(25 * time.Hour)

		h.supplier.blind = true
		h.start()

		if done := h.untilState(id, task.Failed); done.Error.Code != string(fault.CodeUpstreamUnknown) {
			t.Errorf("failed as %+v", done.Error)
		}

		h.takenTimes(id, 1)
		h.sound()
	})
}
