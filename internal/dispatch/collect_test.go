package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/cleanup"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

func TestCaptureIsReportedUsage(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		usage      *provider.Usage
		billed     int64
		cost       int64   // micro-units
		overbilled float64 // micro-units
	}{
		"as reported":                   {&provider.Usage{Billed: 3650, Input: 1650, Output: 2000}, 3650, 365_000, 0},
		"nothing reported: as measured": {nil, 4000, 400_000, 0},
		"more than the hold":            {&provider.Usage{Billed: 60_000, Output: 2000}, 7000, 700_000, 5_300_000},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					r.usage = c.usage
					return nil, nil
				}
				h.start()
				id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/clip.mp4"))

				done := h.waitForState(id, task.Completed)
				if done.Billed < c.billed-100 || done.Billed > c.billed+100 || int64(done.Cost) < c.cost-10_000 || int64(done.Cost) > c.cost+10_000 {
					t.Errorf("billed %d ms, cost %s of %s; want %d ms", done.Billed, done.Cost, done.Hold, c.billed)
				}

				if got := h.metricValue("unireel_overbilled_micro_units_total"); got != c.overbilled {
					t.Errorf("overbilled %v, want %v", got, c.overbilled)
				}

				h.checkInvariants()
			})
		})
	}
}

func TestResultMismatchIsWarning(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		r := textRequest("a boat")
		r.Seconds = 5
		r.Size = "720*1280"
		r.Width = 720
		r.Height = 1280

		done := h.waitForState(h.createTask("acct_a", r), task.Completed)
		if len(done.Warnings) != 2 || done.Warnings[0].Code != string(fault.CodeResultMismatch) {
			t.Errorf("warnings %+v", done.Warnings)
		}

		for _, property := range []string{"size", "seconds"} {
			if n := h.metricValue("unireel_result_mismatches_total", "up", property); n != 1 {
				t.Errorf("%v mismatches of %s, want 1", n, property)
			}
		}

		h.checkInvariants()
	})
}

func TestFailedDownloadIsRetriedUntilLinkExpires(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		open  func(n int) (io.ReadCloser, error)
		state task.State
		after time.Duration
	}{
		"connection breaks twice": {func(n int) (io.ReadCloser, error) {
			if n < 3 {
				return io.NopCloser(io.MultiReader(bytes.NewReader([]byte("half")), brokenReader{})), nil
			}

			return nil, nil
		}, task.Completed, 0},
		"not a video twice": {func(n int) (io.ReadCloser, error) {
			if n < 3 {
				return io.NopCloser(bytes.NewReader([]byte("<html>Sorry</html>"))), nil
			}

			return nil, nil
		}, task.Completed, 0},
		"link dead for ever":         {func(int) (io.ReadCloser, error) { return nil, &provider.Failure{Class: provider.NotFound} }, task.Failed, time.Hour},
		"connection breaks for ever": {func(int) (io.ReadCloser, error) { return nil, &provider.Failure{Err: io.ErrUnexpectedEOF} }, task.Failed, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.onOpen = c.open
				h.supplier.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					if time.Since(r.createdAt) < 40*time.Second {
						return nil, nil
					}

					return &provider.Report{Phase: provider.Rendered, Result: &provider.Result{URL: "fake://", ExpiresAt: r.createdAt.Add(time.Hour + 40*time.Second).UnixMilli()}}, nil
				}
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				if took := time.Duration(done.CompletedAt-done.RenderedAt) * time.Millisecond; took < c.after-time.Minute {
					t.Errorf("failed after %s, want at least %s", took, c.after)
				}

				h.checkAccepted(id, 1)
				h.checkInvariants()
			})
		})
	}
}

// unavailableStore is a blob store that cannot write until a time.
type unavailableStore struct {
	blob.Store
	until time.Time
}

func (a unavailableStore) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if time.Now().Before(a.until) {
		return blob.Info{}, fmt.Errorf("put: %w", blob.ErrUnavailable)
	}

	return a.Store.Put(ctx, key, r)
}

// TestBlobStoreOutageIsWaitedOut makes the blob store unavailable while references or a
// video are stored. The task continues by itself and is rendered once.
func TestBlobStoreOutageIsWaitedOut(t *testing.T) {
	t.Parallel()

	for name, request := range map[string]catalog.Request{"a video": textRequest("a boat"), "references": referenceRequest("character1 walks", "https://example.com/face.png")} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)

				available := time.Now().Add(30 * time.Minute)
				h.blobs = unavailableStore{h.blobs, available}
				h.start()
				id := h.createTask("acct_a", request)

				done := h.waitForState(id, task.Completed)
				if done.CompletedAt < available.UnixMilli() {
					t.Errorf("completed at %d, before the store was available", done.CompletedAt)
				}

				h.checkAccepted(id, 1)
				h.checkVideo(id)
				h.checkInvariants()
			})
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the connection was lost") }

func TestDeletedTaskIsSweptWhenItEnds(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Provider = requiredOnly{h.supplier}
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)
		h.editTask(id, func(t *task.Task) {
			t.CancelRequestedAt = time.Now().UnixMilli()
			t.HiddenAt = time.Now().UnixMilli()
		})
		h.waitForState(id, task.Completed)

		swept := h.waitFor(id, "swept", func(t task.Task) bool { return t.SweptAt > 0 })
		if swept.Cost == 0 {
			t.Error("it was not charged")
		}

		time.Sleep(time.Second)
		h.checkNoBlobs(id)
		h.checkInvariants()
	})
}

// checkNoBlobs checks that no blob of a task is stored.
func (h *harness) checkNoBlobs(id string) {
	h.t.Helper()

	err := h.blobs.List(context.Background(), func(i blob.Info) bool {
		if len(i.Key) > len(id) && i.Key[:len(id)] == id {
			h.t.Errorf("blob %s is still there", i.Key)
		}

		return true
	})
	if err != nil {
		h.t.Error(err)
	}
}

func TestRetentionDeletesVideo(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.retention = 20 * time.Minute
		h.start()
		id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png"))
		done := h.waitForState(id, task.Completed)

		swept := h.waitFor(id, "swept", func(t task.Task) bool { return t.SweptAt > 0 })
		if kept := swept.SweptAt - done.CompletedAt; kept < h.retention.Milliseconds() {
			t.Errorf("kept for %d ms only", kept)
		}

		if _, err := h.store.Artifact(context.Background(), id, task.Video); err == nil {
			t.Error("the store still has the video's artifact")
		}

		time.Sleep(time.Second)
		h.checkNoBlobs(id)
		h.checkInvariants()
	})
}

// A delivery that is never attempted fails when its 24 hours are over. It is kept for the
// duration History, as a task's events are, or for ever if that is 0.
func TestHistoryRetention(t *testing.T) {
	t.Parallel()

	for _, history := range []time.Duration{0, 10 * time.Minute} {
		withHarness(t, func(h *harness) {
			h.history = history
			createdAt := time.Now().Add(time.Minute - 24*time.Hour).UnixMilli()

			h.write(func(ctx context.Context, tx *store.Tx) error {
				if err := tx.InsertEndpoint(ctx, store.Endpoint{ID: "hook_a", Account: "acct_a", Kind: store.AccountEndpoint, URL: "https://a.example"}); err != nil {
					return err
				}

				return tx.InsertDelivery(ctx, store.Delivery{Endpoint: "hook_a", ID: "evt_1", Account: "acct_a", Event: "webhook.test", CreatedAt: createdAt})
			})
			ctx := context.Background()
			delivery := func(want store.DeliveryState) {
				t.Helper()

				if d, err := h.store.Delivery(ctx, "acct_a", "hook_a", "evt_1"); err != nil || d.State != want {
					t.Errorf("history %s: the delivery is %q, %v; want %q", history, d.State, err, want)
				}
			}

			h.addAccount("acct_a", 1, 0)
			id := h.createTask("acct_a", textRequest("one"))
			events := func() int {
				list, err := h.store.EventsOfTask(ctx, id, 0, 100)
				if err != nil {
					t.Fatal(err)
				}

				return len(list)
			}

			h.start()
			time.Sleep(50 * time.Second) // in fake time
			delivery(store.DeliveryPending)
			time.Sleep(time.Minute)
			delivery(store.DeliveryFailed)
			h.waitForState(id, task.Completed)

			all := events()
			if all < 2 {
				t.Errorf("history %s: a finished task has %d events, want 2 or more", history, all)
			}

			time.Sleep(5 * time.Minute)
			delivery(store.DeliveryFailed)

			if n := events(); n != all {
				t.Errorf("history %s: %d of %d events are left after half of it, want all", history, n, all)
			}

			time.Sleep(8 * time.Minute)

			if history == 0 {
				delivery(store.DeliveryFailed)

				if n := events(); n != all {
					t.Errorf("%d of %d events are left, want all: they are kept for ever", n, all)
				}

				return
			}

			if _, err := h.store.Delivery(ctx, "acct_a", "hook_a", "evt_1"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the delivery is still stored: %v", err)
			}

			if n := events(); n != 1 {
				t.Errorf("%d of %d events are left, want the last one", n, all)
			}
		})
	}
}

func TestOnlyUnreferencedBlobsAreSwept(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		ctx := context.Background()

		h.addAccount("acct_a", 1, 0)
		h.start()
		done := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(done, task.Completed)
		h.supplier.renderIn = time.Hour
		running := h.createTask("acct_a", textRequest("a slow boat"))
		h.waitForState(running, task.Running)
		h.shutdown()

		for _, id := range []string{done, running} {
			if _, err := h.blobs.Put(ctx, id+"/9-half.mp4", bytes.NewReader([]byte("half"))); err != nil {
				t.Fatal(err)
			}
		}

		later := func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) } // files have the times of the real clock

		sweeper := cleanup.New(cleanup.Options{Tasks: h.d.tasks, Blobs: h.blobs, Clock: clock.New(later, 1), Log: h.log()})
		if err := sweeper.DeleteUnreferenced(ctx); err != nil {
			t.Fatal(err)
		}

		h.checkVideo(done)

		if _, err := h.blobs.Stat(ctx, done+"/9-half.mp4"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("the unreferenced blob of a completed task: %v, want not found", err)
		}

		if _, err := h.blobs.Stat(ctx, running+"/9-half.mp4"); err != nil {
			t.Errorf("the blob of an unfinished task was swept: %v", err)
		}
	})
}

func TestTaskExpiresAtStartBy(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		h.supplier.onSubmit = func(int, provider.Submission) (bool, error) { return false, notAcceptedErr(provider.AccountBlocked) }
		r := textRequest("a boat")
		r.StartBy = time.Now().Add(3 * time.Minute).Unix()
		id := h.createTask("acct_a", r)

		done := h.waitForState(id, task.Failed)
		if late := time.Since(time.Unix(r.StartBy, 0)); done.Error.Code != string(fault.CodeExpired) || late > time.Minute {
			t.Errorf("failed as %+v, %s late", done.Error, late)
		}

		h.checkInvariants()
	})
}

func TestNoSubmissionAfterStartBy(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.supplier.renderIn = 47 * time.Second
		h.start()

		begin := time.Now()

		h.waitForState(h.createTask("acct_a", textRequest("before")), task.Running)
		r := textRequest("a boat")
		r.StartBy = begin.Add(46 * time.Second).Unix() // it passes between two sweeps, just before the slot is free

		id := h.createTask("acct_a", r)
		if done := h.waitForFinal(id); done.State != task.Failed || done.Error.Code != string(fault.CodeExpired) {
			t.Errorf("ended %s, %+v", done.State, done.Error)
		}

		h.checkAccepted(id, 0)
		h.checkInvariants()
	})
}

func TestInvalidReferenceNamesField(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		request catalog.Request
		code    fault.Code
		param   string
		state   task.State
	}{
		"missing file":          {referenceRequest("walks", "https://example.com/face.png", "https://example.com/none.png"), fault.CodeReferenceUnreachable, "references[1]", task.Failed},
		"too small":             {referenceRequest("walks", "https://example.com/tiny.png"), fault.CodeReferenceInvalid, "references[0]", task.Failed},
		"text named as a video": {referenceRequest("walks", "https://example.com/text.mp4"), fault.CodeReferenceInvalid, "references[0]", task.Failed},
		"unknown file ID":       {referenceRequest("walks", "file_01ABC"), fault.CodeReferenceUnreachable, "references[0]", task.Failed},
		"a private address":     {referenceRequest("walks", "http://127.0.0.1:9/face.png"), fault.CodeReferenceUnreachable, "references[0]", task.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.start()
				id := h.createTask("acct_a", c.request)

				done := h.waitForState(id, c.state)
				if done.Error.Code != string(c.code) || done.Error.Param != c.param || done.Cost != 0 {
					t.Errorf("failed as %+v", done.Error)
				}

				h.checkAccepted(id, 0)
				h.checkInvariants()
			})
		})
	}
}

func TestTransientFetchErrorIsRetried(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		id := h.createTask("acct_a", referenceRequest("walks", "https://studio.test/face.png"))

		done := h.waitForState(id, task.Failed)
		if done.Error.Code != string(fault.CodeReferenceUnreachable) || done.Error.Param != "references[0]" || done.Cost != 0 {
			t.Errorf("failed as %+v", done.Error)
		}

		if n := h.lookups.Load(); n != maxFetchTries {
			t.Errorf("tried %d times, want %d", n, maxFetchTries)
		}

		h.checkInvariants()
	})
}

func TestTrustedReferenceIsPassedByURL(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()

		r := referenceRequest("walks", "https://studio.test/face.png", "https://example.com/face.png")
		r.ReferencesCheck = "trust"
		id := h.createTask("acct_a", r)
		h.waitForState(id, task.Completed)

		got := h.supplier.submissions[0].References
		if got[0].URL != "https://studio.test/face.png" || got[0].Open != nil || got[1].URL != "oss://wan2.6-r2v/face.png" {
			t.Errorf("references %+v", got)
		}

		h.checkInvariants()
	})
}
