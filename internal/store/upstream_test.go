package store

import (
	"errors"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// TestRemoveSetupWaitsForTasks checks that an added upstream keeps its
// configuration until it is removed and none of its tasks is in progress, and
// that its fence never starts again.
func TestRemoveSetupWaitsForTasks(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		add := func(text string) (made bool) {
			write(t, s, func(tx *Tx) (err error) { made, err = tx.AddUpstream(ctx, "wave", text); return err })
			return made
		}
		remove := func() (done bool) {
			write(t, s, func(tx *Tx) (err error) { done, err = tx.RemoveSetup(ctx, "wave"); return err })
			return done
		}

		if !add("{1}") || add("{2}") {
			t.Error("the upstream was not added, or was added twice")
		}

		var fence int64

		write(t, s, func(tx *Tx) (err error) { fence, err = tx.AcquireLease(ctx, "wave", "me", 5, 1000); return err })
		write(t, s, func(tx *Tx) error { return insertTaskWithHold(ctx, tx, "task_1", "acct_a", "queue", task.Queued) })
		write(t, s, func(tx *Tx) error {
			_, err := tx.Claim(ctx, Claim{Queue: "queue", Upstream: "wave", SupplierAccount: "wave", Model: "m", Owner: "me", Fence: fence, At: 6})
			return err
		})

		if remove() {
			t.Error("the configuration was deleted before the upstream was removed")
		}

		write(t, s, func(tx *Tx) error { return tx.SetDesiredState(ctx, "wave", DesiredRemoved) })

		if remove() {
			t.Error("the configuration was deleted while a task is in progress")
		}

		tk, err := s.Task(ctx, "task_1")
		if err != nil {
			t.Fatal(err)
		}

		write(t, s, func(tx *Tx) error {
			_, err := task.Advance(ctx, tx, tk, task.Step{At: 7, EntryIDs: [2]string{"e1", "e2"}, Edit: func(t *task.Task) { t.State = task.Cancelled }})
			return err
		})

		if !remove() {
			t.Error("the configuration was not deleted although no task is in progress")
		}

		if !add("{3}") {
			t.Error("the upstream cannot be added again")
		}

		if u, err := s.Upstream(ctx, "wave"); err != nil || u.Setup != "{3}" || u.DesiredState != DesiredServing || u.Fence < fence {
			t.Errorf("%+v, %v", u, err)
		}

		if err := s.Write(ctx, func(tx *Tx) error { return tx.SetDesiredState(ctx, "nobody", DesiredPaused) }); !errors.Is(err, ErrNotFound) {
			t.Errorf("desired state of an unknown upstream: %v", err)
		}
	})
}

// TestHeartbeatUpdatesServes matters because upstreams can be added while a
// replica is running.
func TestHeartbeatUpdatesServes(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, serves := range [][]string{{"one"}, {"one", "added"}} {
			write(t, s, func(tx *Tx) error {
				return tx.Heartbeat(ctx, Replica{ID: "me", Name: "host", Serves: serves}, 5, 10_000)
			})

			list, err := s.Replicas(ctx, 6)
			if err != nil || len(list) != 1 || len(list[0].Serves) != len(serves) {
				t.Errorf("%+v, %v; want %v", list, err, serves)
			}
		}
	})
}
