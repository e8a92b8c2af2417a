package checkout

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}

	return true
}

// advance applies a step as dispatch does. It returns false if the transition is not
// allowed from the task's current state.
func (fx *fixture) advance(id string, edit func(*task.Task)) bool {
	err := fx.Store.Write(context.Background(), func(tx *store.Tx) error {
		t, err := tx.Task(context.Background(), id)
		if err != nil {
			return err
		}

		_, err = task.Advance(context.Background(), tx, t, task.Step{
			At:        1,
			Edit:      edit,
			UsageCost: t.Hold * 3 / 4,
			EntryIDs:  [2]string{fx.NewID("entry"), fx.NewID("entry")},
		})

		return err
	})

	return err == nil
}

func (fx *fixture) claim() {
	_ = fx.Store.Write(context.Background(), func(tx *store.Tx) error {
		fence, err := tx.AcquireLease(context.Background(), "up", "me", 1, 10)
		if err != nil {
			return err
		}

		_, err = tx.Claim(context.Background(), store.Claim{
			Queue:           "queue",
			Upstream:        "up",
			SupplierAccount: "up",
			Model:           "m",
			Owner:           "me",
			Fence:           fence,
			At:              1,
		})

		return err
	})
}

// TestCancelAndDeleteInvariants runs random sequences of dispatch's steps and the
// customer's cancels and deletes on tasks.
func TestCancelAndDeleteInvariants(t *testing.T) {
	onEachDatabase(t, 1_000_000_000, func(t *testing.T, fx *fixture) {
		ctx := context.Background()

		rapid.Check(t, func(r *rapid.T) {
			raw := textToVideo()
			if rapid.Bool().Draw(r, "prepares") {
				raw = referenceToVideo("file_sample_otter")
			}

			made, _, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: raw})
			if err != nil {
				r.Fatal(err)
			}

			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				before, err := fx.Store.Task(ctx, made.ID)
				if err != nil {
					r.Fatal(err)
				}

				switch rapid.SampledFrom([]string{"cancel", "delete", "prepare", "claim", "run", "collect", "complete", "fail", "requeue"}).Draw(r, "step") {
				case "cancel":
					got, err := fx.Cancel(ctx, fx.caller.Account, made.ID)
					checkCancel(r, before, got, err)
				case "delete":
					err := fx.Delete(ctx, fx.caller.Account, made.ID)
					after, _ := fx.Store.Task(ctx, made.ID)
					checkDelete(r, before, after, err)
				case "prepare":
					fx.advance(made.ID, func(t *task.Task) {
						t.State = task.Queued
						t.Queue = "queue"
					})
				case "claim":
					fx.claim()
				case "run":
					fx.advance(made.ID, func(t *task.Task) { t.State = task.Running })
				case "collect":
					fx.advance(made.ID, func(t *task.Task) { t.State = task.Collecting })
				case "complete":
					fx.advance(made.ID, func(t *task.Task) {
						t.State = task.Completed
						t.Progress = 100
						t.SweptAt = 1
					})
				case "fail":
					fx.advance(made.ID, func(t *task.Task) {
						t.State = task.Failed
						t.Error = &task.Error{Code: "x"}
					})
				case "requeue": // for a preparing task this equals prepare
					fx.advance(made.ID, func(t *task.Task) {
						t.State = task.Queued
						t.Queue = "queue"
					})
				}
			}

			fx.advance(made.ID, func(t *task.Task) {
				t.State = task.Failed
				t.Error = &task.Error{Code: "x"}
			}) // otherwise the next run's claim takes it

			findings, err := fx.Store.CheckIntegrity(ctx, 5)
			if err != nil || len(findings) > 0 {
				r.Fatalf("audit: %v, %v", findings, err)
			}
		})
	})
}

func checkCancel(r *rapid.T, before, got task.Task, err error) {
	if before.HiddenAt != 0 {
		if !fault.Is(err, fault.CodeVideoNotFound) {
			r.Fatalf("cancelling a deleted task: %v", err)
		}

		return
	}

	if err != nil {
		r.Fatal(err)
	}

	want := before.State
	if !before.State.Final() && !before.State.Submitted() {
		want = task.Cancelled
	}

	if got.State != want {
		r.Fatalf("cancel made %s %s", before.State, got.State)
	}

	if before.State.Final() && got.Version != before.Version {
		r.Fatal("a final task was changed")
	}

	if !before.State.Final() && got.CancelRequestedAt == 0 {
		r.Fatal("the request to cancel was not stored")
	}

	if got.State == task.Cancelled && got.Cost != 0 {
		r.Fatal("a cancelled task was charged")
	}
}

func checkDelete(r *rapid.T, before, after task.Task, err error) {
	if before.HiddenAt != 0 {
		if !fault.Is(err, fault.CodeVideoNotFound) {
			r.Fatalf("deleting a deleted task: %v", err)
		}

		return
	}

	if err != nil || after.HiddenAt == 0 {
		r.Fatalf("deleted %+v, %v", after, err)
	}

	if after.State.Final() && after.SweptAt == 0 && after.ExpiresAt == 0 {
		r.Fatal("nothing will sweep it")
	}

	if !before.State.Final() && after.CancelRequestedAt == 0 {
		r.Fatal("deleting did not request the cancel")
	}
}

func TestConcurrentCancels(t *testing.T) {
	onEachDatabase(t, 100_000_000, func(t *testing.T, fx *fixture) {
		made, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: textToVideo()})
		if err != nil {
			t.Fatal(err)
		}

		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if got, err := fx.Cancel(context.Background(), fx.caller.Account, made.ID); err != nil || got.State != task.Cancelled {
					t.Errorf("%s, %v", got.State, err)
				}
			})
		}

		wg.Wait()

		if b := fx.balance(); b.Held != 0 || b.Spent != 0 {
			t.Errorf("%+v", b)
		}

		entries, err := fx.Store.EntriesOf(context.Background(), made.ID)
		if err != nil || len(entries) != 2 {
			t.Errorf("%v, %v", entries, err)
		}

		fx.checkConsistency()
	})
}

func TestOtherAccountsTaskIsNotFound(t *testing.T) {
	onEachDatabase(t, 100_000_000, func(t *testing.T, fx *fixture) {
		made, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: textToVideo()})
		if err != nil {
			t.Fatal(err)
		}

		_, err = fx.Cancel(context.Background(), "acct_bob", made.ID)
		wantFault(t, err, fault.CodeVideoNotFound, "id")
		wantFault(t, fx.Delete(context.Background(), "acct_bob", made.ID), fault.CodeVideoNotFound, "id")

		if kept, err := fx.Store.Task(context.Background(), made.ID); err != nil || kept.State != task.Queued {
			t.Error(fmt.Sprint(kept.State, err))
		}
	})
}
