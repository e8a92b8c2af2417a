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

// thumbnailTime bounds the making of one thumbnail, waiting for a place included.
const thumbnailTime = 30 * time.Second

// Thumbnail makes a completed task's thumbnail if it has none yet: most are never
// looked at, so that they cost nothing until somebody does. Who asks while it is
// being made waits for that one. store.ErrNotFound says that there is no video.
func (d *Dispatch) Thumbnail(ctx context.Context, id string) error {
	ctx, done := context.WithTimeout(ctx, thumbnailTime)
	defer done()

	for {
		if _, err := d.Store.Artifact(ctx, id, task.Thumbnail); !errors.Is(err, store.ErrNotFound) {
			return err
		}

		made, mine := d.drawing(id)
		if !mine {
			select {
			case <-made:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}

		err := d.drawInTurn(ctx, id)
		d.mu.Lock()
		delete(d.drawings, id)
		d.mu.Unlock()
		close(made)

		return err
	}
}

// drawing says who makes a task's thumbnail: the caller, or one who closes made.
func (d *Dispatch) drawing(id string) (made chan struct{}, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if made, busy := d.drawings[id]; busy {
		return made, false
	}

	made = make(chan struct{})
	d.drawings[id] = made

	return made, true
}

func (d *Dispatch) drawInTurn(ctx context.Context, id string) error {
	select {
	case d.drawers <- struct{}{}:
		defer func() { <-d.drawers }()
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

	a, err := d.draw(ctx, t, video)
	if err != nil {
		return fmt.Errorf("thumbnail of %s: %w", id, err)
	}

	return d.write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Artifact(ctx, id, task.Video); err != nil {
			return err // swept meanwhile; the blob is stray
		}

		return tx.InsertArtifact(ctx, a)
	})
}

// draw takes a picture out of the video, from a third of its length.
func (d *Dispatch) draw(ctx context.Context, t task.Task, video task.Artifact) (task.Artifact, error) {
	folder, err := os.MkdirTemp(d.Scratch, "thumbnail-*")
	if err != nil {
		return task.Artifact{}, fmt.Errorf("scratch: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()

	film := filepath.Join(folder, "video.mp4")
	picture := filepath.Join(folder, "thumbnail.jpg")

	if err := d.copyBlob(ctx, video.Blob, film); err != nil {
		return task.Artifact{}, err
	}

	if err := d.Fetch.Thumbnail(ctx, film, picture, time.Duration(video.Millis/3)*time.Millisecond); err != nil {
		return task.Artifact{}, err
	}

	media, err := d.Fetch.Probe(ctx, picture)
	if err != nil {
		return task.Artifact{}, err
	}

	a := task.Artifact{Task: t.ID, Kind: task.Thumbnail, Type: media.Type, Width: media.Width, Height: media.Height}

	return a, d.keep(ctx, t, picture, ".jpg", &a)
}

func (d *Dispatch) copyBlob(ctx context.Context, key, path string) error {
	from, err := d.Blobs.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()

	to, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	_, err = io.Copy(to, from)

	return errors.Join(err, to.Close())
}
