package result

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

// maxThumbnailRenders is how many thumbnails are made at the same time.
const maxThumbnailRenders = 2

// thumbnailTimeout bounds the making of one thumbnail, including the wait for a slot.
const thumbnailTimeout = 30 * time.Second

// Thumbnail makes a completed task's thumbnail if it has none yet: most are never looked at,
// so that none is made before somebody asks for it. Callers that ask at the same time share
// one, which is made also when the first of them leaves. store.ErrNotFound says that there
// is no video.
func (c *Collector) Thumbnail(ctx context.Context, id string) error {
	if _, err := c.store.Artifact(ctx, id, task.Thumbnail); !errors.Is(err, store.ErrNotFound) {
		return err
	}

	made := c.thumbnails.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), thumbnailTimeout)
		defer cancel()

		return nil, c.makeThumbnail(ctx, id)
	})

	select {
	case result := <-made:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Collector) makeThumbnail(ctx context.Context, id string) error {
	select {
	case c.thumbnailSlots <- struct{}{}:
		defer func() { <-c.thumbnailSlots }()
	case <-ctx.Done():
		return ctx.Err()
	}

	t, err := c.store.Task(ctx, id)
	if err != nil {
		return err
	}

	video, err := c.store.Artifact(ctx, id, task.Video)
	if err != nil {
		return err
	}

	a, err := c.renderThumbnail(ctx, t, video)
	if err != nil {
		return fmt.Errorf("thumbnail of %s: %w", id, err)
	}

	return c.Tasks.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Artifact(ctx, id, task.Video); err != nil {
			return err // swept meanwhile; the new blob is deleted as unreferenced
		}

		return tx.InsertArtifact(ctx, a)
	})
}

// renderThumbnail takes a frame from the video, at a third of its duration.
func (c *Collector) renderThumbnail(ctx context.Context, t task.Task, video task.Artifact) (task.Artifact, error) {
	folder, err := os.MkdirTemp(c.ScratchDir, "thumbnail-*")
	if err != nil {
		return task.Artifact{}, fmt.Errorf("scratch: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()

	videoPath := filepath.Join(folder, "video.mp4")
	imagePath := filepath.Join(folder, "thumbnail.jpg")

	if err := c.copyBlob(ctx, video.Blob, videoPath); err != nil {
		return task.Artifact{}, err
	}

	if err := c.Fetch.Thumbnail(ctx, videoPath, imagePath, time.Duration(video.Millis/3)*time.Millisecond); err != nil {
		return task.Artifact{}, err
	}

	media, err := c.Fetch.Probe(ctx, imagePath)
	if err != nil {
		return task.Artifact{}, err
	}

	a := task.Artifact{Task: t.ID, Kind: task.Thumbnail, Type: media.Type, Width: media.Width, Height: media.Height}

	return a, c.storeFile(ctx, t, imagePath, ".jpg", &a)
}

func (c *Collector) copyBlob(ctx context.Context, key, path string) error {
	src, err := c.Blobs.Open(ctx, key)
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
