package task

import (
	"context"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
)

// memoryTx is a Tx in memory: one task, one balance, and what was appended.
type memoryTx struct {
	saved       Task
	balance     credit.Balance
	entries     []credit.Entry
	events      []Event
	transitions [][2]State
}

func (tx *memoryTx) LockBalance(context.Context, string) (credit.Balance, error) {
	return tx.balance, nil
}

func (tx *memoryTx) SaveTask(_ context.Context, before, next Task) (bool, error) {
	if tx.saved.Version != before.Version {
		return false, nil
	}

	tx.saved = next

	return true, nil
}

func (tx *memoryTx) SaveEffects(_ context.Context, effects Effects) error {
	if effects.Before.State != effects.After.State {
		tx.transitions = append(tx.transitions, [2]State{effects.Before.State, effects.After.State})
	}

	if effects.Balance != nil {
		tx.balance = *effects.Balance
		tx.entries = append(tx.entries, effects.Entries...)
	}

	tx.events = append(tx.events, effects.Event)

	return nil
}

// TestAdvanceProperties tries random steps on a task. Only allowed steps are
// written, each has one event with the task's version as its number, and at the
// task's end its hold is divided exactly once.
func TestAdvanceProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := money.Amount(rapid.Int64Range(0, 1000).Draw(t, "hold"))
		task := Task{ID: "task_1", Account: "acct_1", Version: 1, State: rapid.SampledFrom([]State{Preparing, Queued}).Draw(t, "first"), Hold: hold}
		tx := &memoryTx{saved: task, balance: credit.Balance{Granted: 1000, Held: hold}}

		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			to := rapid.SampledFrom(States()).Draw(t, "to")
			progress := rapid.Int64Range(0, 100).Draw(t, "progress")
			used := money.Amount(rapid.Int64Range(0, 2000).Draw(t, "used"))
			next, err := Advance(t.Context(), tx, task, Step{At: 7, EntryIDs: [2]string{"a", "b"}, UsageCost: used, Edit: func(n *Task) {
				n.State = to
				n.Progress = progress

				if to == Failed {
					n.Error = &Error{Code: "x"}
				}
			}})

			allowed := (to == task.State || task.State.CanBecome(to)) && progress >= task.Progress && (progress == 100) == (to == Completed) &&
				(to == Failed || task.Error == nil)
			if (err == nil) != allowed {
				t.Fatalf("%s -> %s at %d%%: %v", task.State, to, progress, err)
			}

			if err != nil {
				continue
			}

			if next.Version != task.Version+1 || tx.events[len(tx.events)-1].Seq != next.Version || tx.saved.Version != next.Version {
				t.Fatalf("version %d, event %+v", next.Version, tx.events[len(tx.events)-1])
			}

			task = next
		}

		checkSettled(t, tx, task, hold)
	})
}

func checkSettled(t *rapid.T, tx *memoryTx, task Task, hold money.Amount) {
	var settled money.Amount
	for _, e := range tx.entries {
		settled += e.Amount
	}

	switch {
	case !task.State.Final() && (len(tx.entries) > 0 || tx.balance.Held != hold):
		t.Fatalf("settled while %s: %+v", task.State, tx.entries)
	case task.State.Final() && (settled != hold || tx.balance.Held != 0):
		t.Fatalf("%s: hold %d, settled %d, held %d", task.State, hold, settled, tx.balance.Held)
	case task.State != Completed && tx.balance.Spent != 0:
		t.Fatalf("%s was charged %d", task.State, tx.balance.Spent)
	case tx.balance.Spent != task.Cost:
		t.Fatalf("spent %d, the task says %d", tx.balance.Spent, task.Cost)
	}
}

func TestAdvanceStaleVersion(t *testing.T) {
	tx := &memoryTx{saved: Task{ID: "task_1", Version: 5, State: Queued}}

	_, err := Advance(t.Context(), tx, Task{ID: "task_1", Version: 4, State: Queued}, Step{Edit: func(n *Task) { n.State = Cancelled }})
	if !errors.Is(err, ErrStale) {
		t.Fatalf("got %v", err)
	}

	if len(tx.events) != 0 {
		t.Fatal("an event was appended for a step that was not written")
	}
}

func TestAdvanceRefusesImmutableFields(t *testing.T) {
	for name, edit := range map[string]func(*Task){
		"hold":    func(n *Task) { n.Hold = 1 },
		"price":   func(n *Task) { n.UnitPrice = 1 },
		"account": func(n *Task) { n.Account = "other" },
		"model":   func(n *Task) { n.ResolvedModel = "other" },
	} {
		tx := &memoryTx{saved: Task{ID: "task_1", Version: 1, State: Queued}}
		if _, err := Advance(t.Context(), tx, tx.saved, Step{Edit: edit}); err == nil {
			t.Errorf("a step changed the %s", name)
		}
	}
}
