package task

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
)

// ledger is a Tx in memory: one task, one balance, what was appended.
type ledger struct {
	saved   Task
	balance credit.Balance
	entries []credit.Entry
	events  []Event
	turns   [][2]State
}

func (l *ledger) LockBalance(context.Context, string) (credit.Balance, error) { return l.balance, nil }

func (l *ledger) SaveTask(_ context.Context, was, next Task) (bool, error) {
	if l.saved.Version != was.Version {
		return false, nil
	}

	l.saved = next

	return true, nil
}

func (l *ledger) Record(_ context.Context, c Consequence) error {
	if c.Was.State != c.Task.State {
		l.turns = append(l.turns, [2]State{c.Was.State, c.Task.State})
	}

	if c.Balance != nil {
		l.balance = *c.Balance
		l.entries = append(l.entries, c.Entries...)
	}

	l.events = append(l.events, c.Event)

	return nil
}

// Whatever steps are tried on a task: only lawful ones are written, each has one
// event with the version as its number, and at its end the hold is divided
// exactly once.
func TestAdvanceKeepsTheLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := money.Amount(rapid.Int64Range(0, 1000).Draw(t, "hold"))
		task := Task{ID: "task_1", Account: "acct_1", Version: 1, State: rapid.SampledFrom([]State{Preparing, Queued}).Draw(t, "first"), Hold: hold}
		l := &ledger{saved: task, balance: credit.Balance{Granted: 1000, Held: hold}}

		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			to := rapid.SampledFrom(States()).Draw(t, "to")
			progress := rapid.Int64Range(0, 100).Draw(t, "progress")
			used := money.Amount(rapid.Int64Range(0, 2000).Draw(t, "used"))
			next, err := Advance(t.Context(), l, task, Step{At: 7, Entries: [2]string{"a", "b"}, Used: used, Edit: func(n *Task) {
				n.State = to

				n.Progress = progress
				if to == Failed {
					n.Error = &Error{Code: "x"}
				}
			}})

			lawful := (to == task.State || task.State.MayBecome(to)) && progress >= task.Progress && (progress == 100) == (to == Completed) &&
				(to == Failed || task.Error == nil)
			if (err == nil) != lawful {
				t.Fatalf("%s -> %s at %d%%: %v", task.State, to, progress, err)
			}

			if err != nil {
				continue
			}

			if next.Version != task.Version+1 || l.events[len(l.events)-1].Seq != next.Version || l.saved.Version != next.Version {
				t.Fatalf("version %d, event %+v", next.Version, l.events[len(l.events)-1])
			}

			task = next
		}

		checkSettled(t, l, task, hold)
	})
}

func checkSettled(t *rapid.T, l *ledger, task Task, hold money.Amount) {
	var settled money.Amount
	for _, e := range l.entries {
		settled += e.Amount
	}

	switch {
	case !task.State.Final() && (len(l.entries) > 0 || l.balance.Held != hold):
		t.Fatalf("settled while %s: %+v", task.State, l.entries)
	case task.State.Final() && (settled != hold || l.balance.Held != 0):
		t.Fatalf("%s: hold %d, settled %d, held %d", task.State, hold, settled, l.balance.Held)
	case task.State != Completed && l.balance.Spent != 0:
		t.Fatalf("%s was charged %d", task.State, l.balance.Spent)
	case l.balance.Spent != task.Cost:
		t.Fatalf("spent %d, the task says %d", l.balance.Spent, task.Cost)
	}
}

func TestAdvanceRefusesAStaleTask(t *testing.T) {
	l := &ledger{saved: Task{ID: "task_1", Version: 5, State: Queued}}

	_, err := Advance(t.Context(), l, Task{ID: "task_1", Version: 4, State: Queued}, Step{Edit: func(n *Task) { n.State = Cancelled }})
	if !errors.Is(err, ErrStale) {
		t.Fatalf("got %v", err)
	}

	if len(l.events) != 0 {
		t.Fatal("an event of a step that was not written")
	}
}

func TestAStepMayNotChangeWhatIsForLife(t *testing.T) {
	for name, edit := range map[string]func(*Task){
		"hold":    func(n *Task) { n.Hold = 1 },
		"price":   func(n *Task) { n.UnitPrice = 1 },
		"account": func(n *Task) { n.Account = "other" },
		"model":   func(n *Task) { n.Resolved = "other" },
	} {
		l := &ledger{saved: Task{ID: "task_1", Version: 1, State: Queued}}
		if _, err := Advance(t.Context(), l, l.saved, Step{Edit: edit}); err == nil {
			t.Errorf("a step changed the %s", name)
		}
	}
}
