package store

import (
	"errors"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// An upstream that was added is kept with its set-up until it is removed and
// nothing of it is in progress; its fence goes on.
func TestAnAddedUpstreamIsForgottenWhenNothingIsInProgress(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)

		setUp := func(text string) (made bool) {
			write(t, s, func(tx *Tx) (err error) { made, err = tx.SetUp(ctx, "wave", text); return err })
			return made
		}
		forget := func() (done bool) {
			write(t, s, func(tx *Tx) (err error) { done, err = tx.Forget(ctx, "wave"); return err })
			return done
		}

		if !setUp("{1}") || setUp("{2}") {
			t.Error("one of this name: made twice, or never")
		}

		var fence int64

		write(t, s, func(tx *Tx) (err error) { fence, err = tx.TakeLease(ctx, "wave", "me", 5, 1000); return err })
		write(t, s, func(tx *Tx) error { return hold(ctx, tx, "task_1", "acct_a", "lane", task.Queued) })
		write(t, s, func(tx *Tx) error {
			_, err := tx.Claim(ctx, Claim{Lane: "lane", Upstream: "wave", SupplierAccount: "wave", Model: "m", Owner: "me", Fence: fence, At: 6})
			return err
		})

		if forget() {
			t.Error("forgotten before it was removed")
		}

		write(t, s, func(tx *Tx) error { return tx.SetWish(ctx, "wave", WishRemove) })

		if forget() {
			t.Error("forgotten while a task is in progress")
		}

		tk, err := s.Task(ctx, "task_1")
		if err != nil {
			t.Fatal(err)
		}

		write(t, s, func(tx *Tx) error {
			_, err := task.Advance(ctx, tx, tk, task.Step{At: 7, Entries: [2]string{"e1", "e2"}, Edit: func(t *task.Task) { t.State = task.Cancelled }})
			return err
		})

		if !forget() {
			t.Error("not forgotten when it was empty")
		}

		if !setUp("{3}") {
			t.Error("it cannot be added again")
		}

		if u, err := s.Upstream(ctx, "wave"); err != nil || u.Setup != "{3}" || u.Wish != WishServe || u.Fence < fence {
			t.Errorf("%+v, %v", u, err)
		}

		if err := s.Write(ctx, func(tx *Tx) error { return tx.SetWish(ctx, "nobody", WishPause) }); !errors.Is(err, ErrNotFound) {
			t.Errorf("a wish of nobody: %v", err)
		}
	})
}

// What a replica serves may grow while it lives: upstreams are added.
func TestAReplicaTellsWhatItServesByNow(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, serves := range [][]string{{"one"}, {"one", "added"}} {
			write(t, s, func(tx *Tx) error { return tx.Beat(ctx, Replica{ID: "me", Name: "host", Serves: serves}, 5, 10_000) })

			list, err := s.Replicas(ctx, 6)
			if err != nil || len(list) != 1 || len(list[0].Serves) != len(serves) {
				t.Errorf("%+v, %v; want %v", list, err, serves)
			}
		}
	})
}
