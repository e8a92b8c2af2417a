package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// thumbnailTimeout bounds the making of one thumbnail, including the wait for a slot.
const thumbnailTimeout = 30 * time.Second

// Thumbnail makes a completed task's thumbnail if it has none yet: most are never looked at,
// so that none is made before somebody asks for it. A caller that asks while it is being
// made waits for that one. store.ErrNotFound says that there is no video.
func (d *Dispatch) Thumbnail(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, thumbnailTimeout)
	defer cancel()

	for {
		if _, err := d.Store.Artifact(ctx, id, task.Thumbnail); !errors.Is(err, store.ErrNotFound) {
			return err
		}

		finished, owner := d.startThumbnail(id)
		if !owner {
			select {
			case <-finished:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}

		err := d.makeThumbnail(ctx, id)
		d.mu.Lock()
		delete(d.thumbnailRuns, id)
		d.mu.Unlock()
		close(finished)

		return err
	}
}

// startThumbnail decides who makes a task's thumbnail: the caller, if owner is true, or
// another one who closes finished.
func (d *Dispatch) startThumbnail(id string) (finished chan struct{}, owner bool) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if finished, running := d.thumbnailRuns[id]; running {
		return finished, false
	}

	finished = make(chan struct{})
	d.thumbnailRuns[id] = finished

	return finished, true
}

func (d *Dispatch) makeThumbnail(ctx context.Context, id string) error {
	select {
	case d.thumbnailSlots <- struct{}{}:
		defer func() { <-d.thumbnailSlots }()
	case <-ctx.Done():
		return ctx.Err()
	}

	t, err := d.Store.Task(ctx, id)
	if err != nil {
		return err
	}

	video, err := d.Store.Artifact(ctx, id, task.Video)
	if err != nil {
		return err
	}

	a, err := d.renderThumbnail(ctx, t, video)
	if err != nil {
		return fmt.Errorf("thumbnail of %s: %w", id, err)
	}

	return d.write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Artifact(ctx, id, task.Video); err != nil {
			return err // swept meanwhile; the new blob is deleted as unreferenced
		}

		return tx.InsertArtifact(ctx, a)
	})
}

// renderThumbnail takes a frame from the video, at a third of its duration.
func (d *Dispatch) renderThumbnail(ctx context.Context, t task.Task, video task.Artifact) (task.Artifact, error) {
	folder, err := os.MkdirTemp(d.ScratchDir, "thumbnail-*")
	if err != nil {
		return task.Artifact{}, fmt.Errorf("scratch: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()

	videoPath := filepath.Join(folder, "video.mp4")
	imagePath := filepath.Join(folder, "thumbnail.jpg")

	if err := d.copyBlob(ctx, video.Blob, videoPath); err != nil {
		return task.Artifact{}, err
	}

	if err := d.Fetch.Thumbnail(ctx, videoPath, imagePath, time.Duration(video.Millis/3)*time.Millisecond); err != nil {
		return task.Artifact{}, err
	}

	media, err := d.Fetch.Probe(ctx, imagePath)
	if err != nil {
		return task.Artifact{}, err
	}

	a := task.Artifact{Task: t.ID, Kind: task.Thumbnail, Type: media.Type, Width: media.Width, Height: media.Height}

	return a, d.storeFile(ctx, t, imagePath, ".jpg", &a)
}

func (d *Dispatch) copyBlob(ctx context.Context, key, path string) error {
	src, err := d.Blobs.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()

	dst, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	_, err = io.Copy(dst, src)

	return errors.Join(err, dst.Close())
}
