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

// advance is a step of dispatch's; false says that the law forbids it by now.
func (w *world) advance(id string, edit func(*task.Task)) bool {
	err := w.Store.Write(context.Background(), func(tx *store.Tx) error {
		t, err := tx.Task(context.Background(), id)
		if err != nil {
			return err
		}

		_, err = task.Advance(context.Background(), tx, t, task.Step{At: 1, Edit: edit, Used: t.Hold * 3 / 4, Entries: [2]string{w.NewID("entry"), w.NewID("entry")}})

		return err
	})

	return err == nil
}

func (w *world) claim() {
	_ = w.Store.Write(context.Background(), func(tx *store.Tx) error {
		fence, err := tx.TakeLease(context.Background(), "up", "me", 1, 10)
		if err != nil {
			return err
		}

		_, err = tx.Claim(context.Background(), store.Claim{Lane: "lane", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: 1})

		return err
	})
}

// TestCancelAndDeleteKeepTheirLaws walks tasks through random interleavings of
// dispatch's steps and the customer's wishes.
func TestCancelAndDeleteKeepTheirLaws(t *testing.T) {
	onEach(t, 1_000_000_000, func(t *testing.T, w *world) {
		ctx := context.Background()

		rapid.Check(t, func(r *rapid.T) {
			ask := waves()
			if rapid.Bool().Draw(r, "prepares") {
				ask = portrait("file_sample_otter")
			}

			made, _, err := w.Submit(ctx, w.who, Order{Ask: ask})
			if err != nil {
				r.Fatal(err)
			}

			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				before, err := w.Store.Task(ctx, made.ID)
				if err != nil {
					r.Fatal(err)
				}

				switch rapid.SampledFrom([]string{"cancel", "delete", "prepare", "claim", "run", "collect", "complete", "fail", "requeue"}).Draw(r, "step") {
				case "cancel":
					got, err := w.Cancel(ctx, w.who.Account, made.ID)
					checkCancel(r, before, got, err)
				case "delete":
					err := w.Delete(ctx, w.who.Account, made.ID)
					after, _ := w.Store.Task(ctx, made.ID)
					checkDelete(r, before, after, err)
				case "prepare":
					w.advance(made.ID, func(t *task.Task) {
						t.State = task.Queued
						t.Lane = "lane"
					})
				case "claim":
					w.claim()
				case "run":
					w.advance(made.ID, func(t *task.Task) { t.State = task.Running })
				case "collect":
					w.advance(made.ID, func(t *task.Task) { t.State = task.Collecting })
				case "complete":
					w.advance(made.ID, func(t *task.Task) {
						t.State = task.Completed
						t.Progress = 100
						t.SweptAt = 1
					})
				case "fail":
					w.advance(made.ID, func(t *task.Task) {
						t.State = task.Failed
						t.Error = &task.Error{Code: "x"}
					})
				case "requeue": // of a preparing task it is what prepare does
					w.advance(made.ID, func(t *task.Task) {
						t.State = task.Queued
						t.Lane = "lane"
					})
				}
			}

			w.advance(made.ID, func(t *task.Task) {
				t.State = task.Failed
				t.Error = &task.Error{Code: "x"}
			}) // or the next walk's claim takes it

			findings, err := w.Store.Audit(ctx, 5)
			if err != nil || len(findings) > 0 {
				r.Fatalf("audit: %v, %v", findings, err)
			}
		})
	})
}

func checkCancel(r *rapid.T, before, got task.Task, err error) {
	if before.HiddenAt != 0 {
		if !fault.Is(err, fault.CodeNoTask) {
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
		r.Fatal("the wish was not kept")
	}

	if got.State == task.Cancelled && got.Cost != 0 {
		r.Fatal("a cancelled task was charged")
	}
}

func checkDelete(r *rapid.T, before, after task.Task, err error) {
	if before.HiddenAt != 0 {
		if !fault.Is(err, fault.CodeNoTask) {
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
		r.Fatal("deleting did not wish the end")
	}
}

func TestManyCancelAtOnce(t *testing.T) {
	onEach(t, 100_000_000, func(t *testing.T, w *world) {
		made, _, err := w.Submit(context.Background(), w.who, Order{Ask: waves()})
		if err != nil {
			t.Fatal(err)
		}

		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				if got, err := w.Cancel(context.Background(), w.who.Account, made.ID); err != nil || got.State != task.Cancelled {
					t.Errorf("%s, %v", got.State, err)
				}
			})
		}

		wg.Wait()

		if b := w.balance(); b.Held != 0 || b.Spent != 0 {
			t.Errorf("%+v", b)
		}

		entries, err := w.Store.EntriesOf(context.Background(), made.ID)
		if err != nil || len(entries) != 2 {
			t.Errorf("%v, %v", entries, err)
		}

		w.sound()
	})
}

func TestAnotherAccountsTaskDoesNotExist(t *testing.T) {
	onEach(t, 100_000_000, func(t *testing.T, w *world) {
		made, _, err := w.Submit(context.Background(), w.who, Order{Ask: waves()})
		if err != nil {
			t.Fatal(err)
		}

		_, err = w.Cancel(context.Background(), "acct_bob", made.ID)
		wantFault(t, err, fault.CodeNoTask, "id")
		wantFault(t, w.Delete(context.Background(), "acct_bob", made.ID), fault.CodeNoTask, "id")

		if kept, err := w.Store.Task(context.Background(), made.ID); err != nil || kept.State != task.Queued {
			t.Error(fmt.Sprint(kept.State, err))
		}
	})
}
