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

func TestTaskFromCreationToCompletion(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/face.png", "https://example.com/clip.mp4"))
		done := h.waitForState(id, task.Completed)

		// The input is a clip of 2 s and an image, the output is 2 s: the hold covers
		// 2 + 2 s. The supplier reports 2 s only, so those are billed.
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

		h.checkVideo(id)
		h.checkAccepted(id, 1)

		submission := h.supplier.submissions[0]
		if submission.Model != "wan2.6-r2v" || submission.Seconds != 2 {
			t.Errorf("submission %+v", submission)
		}

		references := submission.References
		if len(references) != 2 || references[0].URL != "oss://wan2.6-r2v/face.png" || references[1].DurationMillis < 1900 {
			t.Errorf("references %+v", references)
		}

		h.checkInvariants()
	})
}

// checkVideo checks that a task's video is stored completely and has a thumbnail.
func (h *harness) checkVideo(id string) {
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
		h.t.Errorf("the stored video has %d bytes (%v) and differs from the supplier's %d bytes", len(bytes), err, len(h.supplier.video))
	}

	if video.Width != 1280 || video.Height != 720 || !video.Sound || video.Bytes != int64(len(bytes)) {
		h.t.Errorf("artifact %+v", video)
	}

	var requests sync.WaitGroup
	for range 3 { // concurrent requests make it once
		requests.Go(func() {
			if err := h.d.Thumbnail(ctx, id); err != nil {
				h.t.Errorf("thumbnail: %v", err)
			}
		})
	}

	requests.Wait()

	if thumbnail, err := h.store.Artifact(ctx, id, task.Thumbnail); err != nil || thumbnail.Type != "image/jpeg" || thumbnail.Bytes == 0 {
		h.t.Errorf("thumbnail %+v, %v", thumbnail, err)
	}
}

func TestFirstTaskOfQueueStartsAtOnce(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.start()
		time.Sleep(100 * time.Millisecond) // to be between two ticks of the submitter

		begin := time.Now()
		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Running)

		if late := time.Since(begin); late > 200*time.Millisecond {
			t.Errorf("submitted after %s", late)
		}
	})
}
