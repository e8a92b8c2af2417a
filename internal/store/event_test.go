package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// note writes an event of an account, as a step would.
func note(ctx context.Context, tx *Tx, id, account string, seq int64, state task.State) error {
	s, _ := tx.eventBy(task.Event{Task: id, Account: account, Seq: seq, State: state, At: 1})
	return tx.together(ctx, []statement{s})
}

func places(list []Happened) (text string) {
	for _, h := range list {
		text += fmt.Sprintf("%s/%d ", h.Task, h.Seq)
	}

	return text
}

func TestAnAccountsEventsComeInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		if at, err := s.LastPlace(ctx, "acct_a"); err != nil || at != (Place{}) {
			t.Errorf("before all: %v, %v", at, err)
		}

		if _, err := s.Create(ctx, creation("task_1", "acct_a", "k", task.Queued)); err != nil {
			t.Fatal(err)
		}

		for _, e := range []task.Event{{Task: "task_2", Account: "acct_a", Seq: 1}, {Task: "task_1", Account: "acct_a", Seq: 2}, {Task: "task_3", Account: "acct_b", Seq: 1}, {Task: "task_1", Account: "acct_a", Seq: 3}} {
			write(t, s, func(tx *Tx) error { return note(ctx, tx, e.Task, e.Account, e.Seq, task.State(fmt.Sprint(e.Seq))) })
		}

		all, unsettled, err := s.HappeningsOf(ctx, "acct_a", Place{}, 10)
		if err != nil || unsettled || places(all) != "task_1/1 task_2/1 task_1/2 task_1/3 " {
			t.Fatalf("%s, %v, %v", places(all), unsettled, err)
		}

		if all[0].Before != "" || all[1].Before != "" || all[2].Before != task.Queued || all[3].Before != "2" {
			t.Errorf("what was before: %+v", all)
		}

		for i, h := range all {
			rest, _, err := s.HappeningsOf(ctx, "acct_a", h.Place, 10)
			if err != nil || places(rest) != places(all[i+1:]) {
				t.Errorf("after %v: %s, %v", h.Place, places(rest), err)
			}
		}

		if some, _, err := s.HappeningsOf(ctx, "acct_a", Place{}, 2); err != nil || places(some) != places(all[:2]) {
			t.Errorf("two: %s, %v", places(some), err)
		}

		if at, err := s.LastPlace(ctx, "acct_a"); err != nil || at != all[3].Place || !at.After(all[2].Place) || at.After(at) {
			t.Errorf("the last place: %v, %v", at, err)
		}

		if one, err := s.Happenings(ctx, "task_1", 1, 10); err != nil || places(one) != "task_1/2 task_1/3 " || one[0].Place != all[2].Place {
			t.Errorf("of the task: %v, %v", one, err)
		}
	})
}

// What is committed late has a place before what was committed meanwhile, so that
// has to wait. SQLite has one writer: nothing is ever late.
func TestWhatIsCommittedLateIsNotPassedOver(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		if s.d.name == sqlite.name {
			return
		}

		ctx := t.Context()
		begun := make(chan struct{})
		goOn := make(chan struct{})

		late := make(chan error, 1)
		go func() {
			late <- s.Write(ctx, func(tx *Tx) error {
				err := note(ctx, tx, "late", "acct_a", 1, task.Queued)

				close(begun)
				<-goOn

				return err
			})
		}()

		<-begun
		write(t, s, func(tx *Tx) error { return note(ctx, tx, "early", "acct_a", 1, task.Queued) })

		list, unsettled, err := s.HappeningsOf(ctx, "acct_a", Place{}, 10)
		if err != nil || len(list) > 0 || !unsettled {
			t.Errorf("while another goes on: %s, %v, %v", places(list), unsettled, err)
		}

		if at, err := s.LastPlace(ctx, "acct_a"); err != nil || at != (Place{}) {
			t.Errorf("the last place: %v, %v", at, err)
		}

		close(goOn)

		if err := <-late; err != nil {
			t.Fatal(err)
		}

		list, unsettled, err = s.HappeningsOf(ctx, "acct_a", Place{}, 10)
		if err != nil || unsettled || places(list) != "late/1 early/1 " {
			t.Errorf("after it: %s, %v, %v", places(list), unsettled, err)
		}
	})
}

// What docs/operating.md has done after a dump was restored into another cluster,
// whose transaction numbers are behind: old events come first again, and none waits.
func TestEventsOfARestoredDumpComeFirst(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		if s.d.name == sqlite.name {
			return
		}

		ctx := t.Context()
		write(t, s, func(tx *Tx) error { return note(ctx, tx, "old", "acct_a", 1, task.Queued) })

		change := func(text string) {
			write(t, s, func(tx *Tx) error { _, err := tx.changed(ctx, text); return err })
		}
		change("UPDATE event SET xid = xid + 1000000000")
		write(t, s, func(tx *Tx) error { return note(ctx, tx, "new", "acct_a", 1, task.Queued) })

		if list, unsettled, err := s.HappeningsOf(ctx, "acct_a", Place{}, 10); err != nil || !unsettled || places(list) != "new/1 " {
			t.Errorf("before: %s, %v, %v", places(list), unsettled, err)
		}

		change("UPDATE event SET xid = 0")

		if list, unsettled, err := s.HappeningsOf(ctx, "acct_a", Place{}, 10); err != nil || unsettled || places(list) != "old/1 new/1 " {
			t.Errorf("after: %s, %v, %v", places(list), unsettled, err)
		}
	})
}
