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
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

func TestTheCaptureIsWhatTheSupplierReports(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		usage  *provider.Usage
		billed int64
		cost   int64 // micro-units
		excess float64
	}{
		"as reported":                   {&provider.Usage{Billed: 3650, Input: 1650, Output: 2000}, 3650, 365_000, 0},
		"nothing reported: as measured": {nil, 4000, 400_000, 0},
		"more than the hold":            {&provider.Usage{Billed: 60_000, Output: 2000}, 7000, 700_000, 5_300_000},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					r.usage = c.usage
					return nil, nil
				}
				h.start()
				id := h.create("acct_a", refs("character1 walks", "https://example.com/clip.mp4"))

				done := h.untilState(id, task.Completed)
				if done.Billed < c.billed-100 || done.Billed > c.billed+100 || int64(done.Cost) < c.cost-10_000 || int64(done.Cost) > c.cost+10_000 {
					t.Errorf("billed %d ms, cost %s of %s; want %d ms", done.Billed, done.Cost, done.Hold, c.billed)
				}

				if got := h.counted(h.d.stats.excess); got != c.excess {
					t.Errorf("excess %v, want %v", got, c.excess)
				}

				h.sound()
			})
		})
	}
}

func TestWhatDiffersFromWhatWasBoughtIsAWarning(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		r := words("a boat")
		r.Seconds = 5
		r.Size = "720*1280"
		r.Width = 720
		r.Height = 1280

		done := h.untilState(h.create("acct_a", r), task.Completed)
		if len(done.Warnings) != 2 || done.Warnings[0].Code != string(fault.CodeResultMismatch) {
			t.Errorf("warnings %+v", done.Warnings)
		}

		for _, what := range []string{"size", "seconds"} {
			if n := h.counted(h.d.stats.mismatches.WithLabelValues("up", what)); n != 1 {
				t.Errorf("%v mismatches of %s", n, what)
			}
		}

		h.sound()
	})
}

func TestABrokenDownloadIsTriedAgainUntilTheLinkEnds(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		open  func(n int) (io.ReadCloser, error)
		state task.State
		after time.Duration
	}{
		"breaks twice": {func(n int) (io.ReadCloser, error) {
			if n < 3 {
				return io.NopCloser(io.MultiReader(bytes.NewReader([]byte("half")), failing{})), nil
			}

			return nil, nil
		}, task.Completed, 0},
		"no video twice": {func(n int) (io.ReadCloser, error) {
			if n < 3 {
				return io.NopCloser(bytes.NewReader([]byte("<html>Sorry</html>"))), nil
			}

			return nil, nil
		}, task.Completed, 0},
		"gone for ever":   {func(int) (io.ReadCloser, error) { return nil, &provider.Failure{Class: provider.Gone} }, task.Failed, time.Hour},
		"broken for ever": {func(int) (io.ReadCloser, error) { return nil, &provider.Failure{Err: io.ErrUnexpectedEOF} }, task.Failed, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.open = c.open
				h.supplier.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
					if time.Since(r.made) < 40*time.Second {
						return nil, nil
					}

					return &provider.Report{Phase: provider.Rendered, Result: &provider.Result{URL: "fake://", ExpiresAt: r.made.Add(time.Hour + 40*time.Second).UnixMilli()}}, nil
				}
				h.start()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, c.state)
				if done.State == task.Failed && (done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0) {
					t.Errorf("failed as %+v", done.Error)
				}

				if took := time.Duration(done.CompletedAt-done.RenderedAt) * time.Millisecond; took < c.after-time.Minute {
					t.Errorf("given up after %s", took)
				}

				h.takenTimes(id, 1)
				h.sound()
			})
		})
	}
}

// away is a blob store that is down until a time.
type away struct {
	blob.Store
	until time.Time
}

func (a away) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if time.Now().Before(a.until) {
		return blob.Info{}, fmt.Errorf("put: %w", blob.ErrUnavailable)
	}

	return a.Store.Put(ctx, key, r)
}

// TestBlobsThatAreAwayAreWaitedFor has the store down while references are kept
// and again while a video is: the task goes on by itself, rendered once.
func TestBlobsThatAreAwayAreWaitedFor(t *testing.T) {
	t.Parallel()

	for name, order := range map[string]catalog.Request{"a video": words("a boat"), "references": refs("character1 walks", "https://example.com/face.png")} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)

				back := time.Now().Add(30 * time.Minute)
				h.blobs = away{h.blobs, back}
				h.start()
				id := h.create("acct_a", order)

				done := h.untilState(id, task.Completed)
				if done.CompletedAt < back.UnixMilli() {
					t.Errorf("completed at %d, before the store was back", done.CompletedAt)
				}

				h.takenTimes(id, 1)
				h.holdsVideo(id)
				h.sound()
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the connection broke") }

func TestADeletedTasksBytesGoWithItsEnd(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Provider = plain{h.supplier}
		h.start()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)
		h.edit(id, func(t *task.Task) {
			t.CancelRequestedAt = time.Now().UnixMilli()
			t.HiddenAt = time.Now().UnixMilli()
		})
		h.untilState(id, task.Completed)

		swept := h.until(id, "swept", func(t task.Task) bool { return t.SweptAt > 0 })
		if swept.Cost == 0 {
			t.Error("it was not charged")
		}

		time.Sleep(time.Second)
		h.noBlobs(id)
		h.sound()
	})
}

// noBlobs says that nothing is kept of a task.
func (h *house) noBlobs(id string) {
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

func TestRetentionSweepsAVideo(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.retention = 20 * time.Minute
		h.start()
		id := h.create("acct_a", refs("character1 walks", "https://example.com/face.png"))
		done := h.untilState(id, task.Completed)

		swept := h.until(id, "swept", func(t task.Task) bool { return t.SweptAt > 0 })
		if kept := swept.SweptAt - done.CompletedAt; kept < h.retention.Milliseconds() {
			t.Errorf("kept for %d ms only", kept)
		}

		if _, err := h.store.Artifact(context.Background(), id, task.Video); err == nil {
			t.Error("the row still names the video")
		}

		time.Sleep(time.Second)
		h.noBlobs(id)
		h.sound()
	})
}

// A delivery that waits for an endpoint that is left alone ends when its day is over.
// It is remembered for the time of history, as a task's events are, or for ever.
func TestWhatIsRememberedHasItsTime(t *testing.T) {
	t.Parallel()

	for _, history := range []time.Duration{0, 10 * time.Minute} {
		inHouse(t, func(h *house) {
			h.history = history
			asked := time.Now().Add(time.Minute - 24*time.Hour).UnixMilli()

			h.write(func(ctx context.Context, tx *store.Tx) error {
				if err := tx.InsertEndpoint(ctx, store.Endpoint{ID: "hook_a", Account: "acct_a", Kind: store.SetEndpoint, URL: "https://a.example"}); err != nil {
					return err
				}

				return tx.InsertDelivery(ctx, store.Delivery{Endpoint: "hook_a", ID: "evt_1", Account: "acct_a", Event: "webhook.test", CreatedAt: asked})
			})
			ctx := context.Background()
			delivery := func(want store.DeliveryState) {
				t.Helper()

				if d, err := h.store.Delivery(ctx, "acct_a", "hook_a", "evt_1"); err != nil || d.State != want {
					t.Errorf("history %s: the delivery is %q, %v; want %q", history, d.State, err, want)
				}
			}

			h.account("acct_a", 1, 0)
			id := h.create("acct_a", words("one"))
			events := func() int {
				list, err := h.store.Happenings(ctx, id, 0, 100)
				if err != nil {
					t.Fatal(err)
				}

				return len(list)
			}

			h.start()
			time.Sleep(50 * time.Second) // of the bubble
			delivery(store.Pending)
			time.Sleep(time.Minute)
			delivery(store.GivenUp)
			h.untilState(id, task.Completed)

			all := events()
			if all < 2 {
				t.Errorf("history %s: %d events of a finished task", history, all)
			}

			time.Sleep(5 * time.Minute)
			delivery(store.GivenUp)

			if n := events(); n != all {
				t.Errorf("history %s: %d of %d events after half of it", history, n, all)
			}

			time.Sleep(8 * time.Minute)

			if history == 0 {
				delivery(store.GivenUp)

				if n := events(); n != all {
					t.Errorf("%d of %d events, which are for ever", n, all)
				}

				return
			}

			if _, err := h.store.Delivery(ctx, "acct_a", "hook_a", "evt_1"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the delivery is remembered: %v", err)
			}

			if n := events(); n != 1 {
				t.Errorf("%d of %d events are left, want the last one", n, all)
			}
		})
	}
}

func TestStrayBlobsAreSweptAndNoOthers(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		ctx := context.Background()

		h.account("acct_a", 1, 0)
		h.start()
		done := h.create("acct_a", words("a boat"))
		h.untilState(done, task.Completed)
		h.supplier.renderIn = time.Hour
		running := h.create("acct_a", words("a slow boat"))
		h.untilState(running, task.Running)
		h.halt()

		for _, id := range []string{done, running} {
			if _, err := h.blobs.Put(ctx, id+"/9-half.mp4", bytes.NewReader([]byte("half"))); err != nil {
				t.Fatal(err)
			}
		}

		h.d.Now = func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) } // files have the real clock's times
		if err := h.d.sweepStray(ctx); err != nil {
			t.Fatal(err)
		}

		h.holdsVideo(done)

		if _, err := h.blobs.Stat(ctx, done+"/9-half.mp4"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("the stray blob of a completed task: %v", err)
		}

		if _, err := h.blobs.Stat(ctx, running+"/9-half.mp4"); err != nil {
			t.Errorf("a blob of an unfinished task: %v", err)
		}
	})
}

func TestATaskThatIsNotSubmittedInTimeExpires(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		h.supplier.submit = func(int, provider.Order) (bool, error) { return false, saysNo(provider.Locked) }
		r := words("a boat")
		r.StartBy = time.Now().Add(3 * time.Minute).Unix()
		id := h.create("acct_a", r)

		done := h.untilState(id, task.Failed)
		if late := time.Since(time.Unix(r.StartBy, 0)); done.Error.Code != string(fault.CodeExpired) || late > time.Minute {
			t.Errorf("failed as %+v, %s late", done.Error, late)
		}

		h.sound()
	})
}

func TestNothingIsSubmittedPastItsStartBy(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits.InProgress = 1
		h.supplier.renderIn = 47 * time.Second
		h.start()

		begin := time.Now()

		h.untilState(h.create("acct_a", words("before")), task.Running)
		r := words("a boat")
		r.StartBy = begin.Add(46 * time.Second).Unix() // past between two sweeps, when the slot is free at last

		id := h.create("acct_a", r)
		if done := h.untilFinal(id); done.State != task.Failed || done.Error.Code != string(fault.CodeExpired) {
			t.Errorf("ended %s, %+v", done.State, done.Error)
		}

		h.takenTimes(id, 0)
		h.sound()
	})
}

func TestBadReferencesFailWithTheirField(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		request catalog.Request
		code    fault.Code
		param   string
		state   task.State
	}{
		"nothing there":     {refs("walks", "https://example.com/face.png", "https://example.com/none.png"), fault.CodeUnreachable, "references[1]", task.Failed},
		"too small":         {refs("walks", "https://example.com/tiny.png"), fault.CodeBadReference, "references[0]", task.Failed},
		"text called video": {refs("walks", "https://example.com/text.mp4"), fault.CodeBadReference, "references[0]", task.Failed},
		"no such file":      {refs("walks", "file_01ABC"), fault.CodeUnreachable, "references[0]", task.Failed},
		"a private address": {refs("walks", "http://127.0.0.1:9/face.png"), fault.CodeUnreachable, "references[0]", task.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.start()
				id := h.create("acct_a", c.request)

				done := h.untilState(id, c.state)
				if done.Error.Code != string(c.code) || done.Error.Param != c.param || done.Cost != 0 {
					t.Errorf("failed as %+v", done.Error)
				}

				h.takenTimes(id, 0)
				h.sound()
			})
		})
	}
}

func TestAFetchThatMayPassIsTriedAFewTimes(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		id := h.create("acct_a", refs("walks", "https://studio.test/face.png"))

		done := h.untilState(id, task.Failed)
		if done.Error.Code != string(fault.CodeUnreachable) || done.Error.Param != "references[0]" || done.Cost != 0 {
			t.Errorf("failed as %+v", done.Error)
		}

		if n := h.lookups.Load(); n != fetchTries {
			t.Errorf("tried %d times, want %d", n, fetchTries)
		}

		h.sound()
	})
}

func TestATrustedReferenceIsHandedOnByItsAddress(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()

		r := refs("walks", "https://studio.test/face.png", "https://example.com/face.png")
		r.ReferencesCheck = "trust"
		id := h.create("acct_a", r)
		h.untilState(id, task.Completed)

		got := h.supplier.orders[0].References
		if got[0].URL != "https://studio.test/face.png" || got[0].Open != nil || got[1].URL != "oss://wan2.6-r2v/face.png" {
			t.Errorf("references %+v", got)
		}

		h.sound()
	})
}
