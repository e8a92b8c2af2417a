package dispatch

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/task"
)

func TestATaskGoesFromItsCreationToItsEnd(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		id := h.create("acct_a", refs("character1 walks", "https://example.com/face.png", "https://example.com/clip.mp4"))
		done := h.untilState(id, task.Completed)

		// The input is a clip of 2 s and a picture, the output 2 s: 2 + 2 s, as the
		// supplier says 2 s only, it is billed for those.
		if done.Billed != 2000 || done.Cost != 200_000 || done.Hold <= done.Cost {
			t.Errorf("billed %d ms, cost %s of %s held", done.Billed, done.Cost, done.Hold)
		}

		if len(done.Warnings) != 0 || done.Progress != 100 {
			t.Errorf("warnings %v, progress %d", done.Warnings, done.Progress)
		}

		if done.StartedAt == 0 || done.RenderedAt < done.StartedAt || done.ExpiresAt != done.CompletedAt+h.retention.Milliseconds() {
			t.Errorf("times: %+v", done)
		}

		events, err := h.store.Events(context.Background(), id, 0, 100)
		if err != nil {
			t.Fatal(err)
		}

		var states []task.State
		for _, e := range events {
			states = append(states, e.State)
		}

		if diff := cmp.Diff([]task.State{task.Preparing, task.Queued, task.Submitting, task.Running, task.Collecting, task.Completed}, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}

		h.holdsVideo(id)
		h.takenTimes(id, 1)

		order := h.supplier.orders[0]
		if len(order.References) != 2 || order.References[0].URL != "oss://wan2.6-r2v/face.png" || order.References[1].Millis < 1900 || order.Model != "wan2.6-r2v" || order.Seconds != 2 {
			t.Errorf("order %+v", order)
		}

		h.sound()
	})
}

// holdsVideo says that a task's video is ours, whole, and has a thumbnail.
func (h *house) holdsVideo(id string) {
	h.t.Helper()

	ctx := context.Background()

	video, err := h.store.Artifact(ctx, id, task.Video)
	if err != nil {
		h.t.Fatal(err)
	}

	r, err := h.blobs.Open(ctx, video.Blob)
	if err != nil {
		h.t.Fatal(err)
	}

	defer func() { _ = r.Close() }()

	bytes, err := io.ReadAll(r)
	if err != nil || string(bytes) != string(h.supplier.video) {
		h.t.Errorf("%d bytes (%v) are not the supplier's %d", len(bytes), err, len(h.supplier.video))
	}

	if video.Width != 1280 || video.Height != 720 || !video.Sound || video.Bytes != int64(len(bytes)) {
		h.t.Errorf("artifact %+v", video)
	}

	var looking sync.WaitGroup
	for range 3 { // however many look at once, it is made once
		looking.Go(func() {
			if err := h.d.Thumbnail(ctx, id); err != nil {
				h.t.Errorf("thumbnail: %v", err)
			}
		})
	}

	looking.Wait()

	if thumbnail, err := h.store.Artifact(ctx, id, task.Thumbnail); err != nil || thumbnail.Type != "image/jpeg" || thumbnail.Bytes == 0 {
		h.t.Errorf("thumbnail %+v, %v", thumbnail, err)
	}
}

func TestTheFirstTaskOfALaneDoesNotWaitForATick(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.start()
		time.Sleep(100 * time.Millisecond) // between two ticks

		begin := time.Now()
		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Running)

		if late := time.Since(begin); late > 200*time.Millisecond {
			t.Errorf("submitted after %s", late)
		}
	})
}
