package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// insertEvent writes an event of an account, like a step does.
func insertEvent(ctx context.Context, tx *Tx, id, account string, seq int64, state task.State) error {
	s, _ := tx.eventStatement(task.Event{Task: id, Account: account, Seq: seq, State: state, At: 1})
	return tx.pipeline(ctx, []statement{s})
}

func eventKeys(list []PositionedEvent) (text string) {
	for _, h := range list {
		text += fmt.Sprintf("%s/%d ", h.Task, h.Seq)
	}

	return text
}

func TestEventsOfAccountInOrder(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		if at, err := s.LastEventPosition(ctx, "acct_a"); err != nil || at != (EventPosition{}) {
			t.Errorf("before any event: %v, %v", at, err)
		}

		if _, err := s.Create(ctx, creation("task_1", "acct_a", "k", task.Queued)); err != nil {
			t.Fatal(err)
		}

		for _, e := range []task.Event{
			{Task: "task_2", Account: "acct_a", Seq: 1},
			{Task: "task_1", Account: "acct_a", Seq: 2},
			{Task: "task_3", Account: "acct_b", Seq: 1},
			{Task: "task_1", Account: "acct_a", Seq: 3},
		} {
			write(t, s, func(tx *Tx) error {
				return insertEvent(ctx, tx, e.Task, e.Account, e.Seq, task.State(fmt.Sprint(e.Seq)))
			})
		}

		all, pending, err := s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 10)
		if err != nil || pending || eventKeys(all) != "task_1/1 task_2/1 task_1/2 task_1/3 " {
			t.Fatalf("%s, %v, %v", eventKeys(all), pending, err)
		}

		if all[0].PreviousState != "" || all[1].PreviousState != "" || all[2].PreviousState != task.Queued || all[3].PreviousState != "2" {
			t.Errorf("previous states: %+v", all)
		}

		for i, h := range all {
			rest, _, err := s.EventsOfAccount(ctx, "acct_a", h.Position, 10)
			if err != nil || eventKeys(rest) != eventKeys(all[i+1:]) {
				t.Errorf("after %v: %s, %v", h.Position, eventKeys(rest), err)
			}
		}

		if some, _, err := s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 2); err != nil || eventKeys(some) != eventKeys(all[:2]) {
			t.Errorf("two: %s, %v", eventKeys(some), err)
		}

		if at, err := s.LastEventPosition(ctx, "acct_a"); err != nil || at != all[3].Position || !at.After(all[2].Position) || at.After(at) {
			t.Errorf("the last position: %v, %v", at, err)
		}

		if one, err := s.EventsOfTask(ctx, "task_1", 1, 10); err != nil || eventKeys(one) != "task_1/2 task_1/3 " || one[0].Position != all[2].Position {
			t.Errorf("of the task: %v, %v", one, err)
		}
	})
}

// TestLateCommitIsNotSkipped checks that an event is held back while an older
// transaction may still commit an event before it. SQLite has one writer, so no
// commit is late there.
func TestLateCommitIsNotSkipped(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		if s.d.name == sqlite.name {
			return
		}

		ctx := t.Context()
		begun := make(chan struct{})
		release := make(chan struct{})
		late := make(chan error, 1)

		go func() {
			late <- s.Write(ctx, func(tx *Tx) error {
				err := insertEvent(ctx, tx, "late", "acct_a", 1, task.Queued)

				close(begun)
				<-release

				return err
			})
		}()

		<-begun
		write(t, s, func(tx *Tx) error { return insertEvent(ctx, tx, "early", "acct_a", 1, task.Queued) })

		list, pending, err := s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 10)
		if err != nil || len(list) > 0 || !pending {
			t.Errorf("while another transaction is running: %s, %v, %v", eventKeys(list), pending, err)
		}

		if at, err := s.LastEventPosition(ctx, "acct_a"); err != nil || at != (EventPosition{}) {
			t.Errorf("the last position: %v, %v", at, err)
		}

		close(release)

		if err := <-late; err != nil {
			t.Fatal(err)
		}

		list, pending, err = s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 10)
		if err != nil || pending || eventKeys(list) != "late/1 early/1 " {
			t.Errorf("after it: %s, %v, %v", eventKeys(list), pending, err)
		}
	})
}

// TestEventsOfRestoredDumpComeFirst checks the step that docs/operating.md
// requires after a dump was restored into another cluster, whose transaction ids
// are lower: after it, old events come first again and none is held back.
func TestEventsOfRestoredDumpComeFirst(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		if s.d.name == sqlite.name {
			return
		}

		ctx := t.Context()
		write(t, s, func(tx *Tx) error { return insertEvent(ctx, tx, "old", "acct_a", 1, task.Queued) })

		change := func(text string) {
			write(t, s, func(tx *Tx) error { _, err := tx.exec(ctx, text); return err })
		}
		change("UPDATE event SET xid = xid + 1000000000")
		write(t, s, func(tx *Tx) error { return insertEvent(ctx, tx, "new", "acct_a", 1, task.Queued) })

		if list, pending, err := s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 10); err != nil || !pending || eventKeys(list) != "new/1 " {
			t.Errorf("before: %s, %v, %v", eventKeys(list), pending, err)
		}

		change("UPDATE event SET xid = 0")

		if list, pending, err := s.EventsOfAccount(ctx, "acct_a", EventPosition{}, 10); err != nil || pending || eventKeys(list) != "old/1 new/1 " {
			t.Errorf("after: %s, %v, %v", eventKeys(list), pending, err)
		}
	})
}
