package api

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// videoContent is GET and HEAD /v1/videos/{id}/content. Who may see the video may
// see its thumbnail there too, by ?variant as OpenAI has it.
func (a *API) videoContent(c *call) error {
	kind := task.Video

	if query := c.r.URL.Query(); query.Has("variant") {
		switch query.Get("variant") {
		case "video":
		case "thumbnail":
			kind = task.Thumbnail
		default:
			return fault.New(fault.CodeInvalidValue, "variant", "The variant is video or thumbnail; there are no others here (no spritesheet).")
		}
	}

	return a.artifact(c, contentPart, kind)
}

// videoThumbnail is GET and HEAD /v1/videos/{id}/thumbnail.
func (a *API) videoThumbnail(c *call) error { return a.artifact(c, thumbnailPart, task.Thumbnail) }

// artifact gives one of a task's files to who has a key of its account or a
// signed link.
func (a *API) artifact(c *call, part string, kind task.ArtifactKind) error {
	id := c.r.PathValue("id")

	signed, err := a.signed(c.r.URL.Query(), id, part)
	if err != nil {
		return err
	}

	if !signed {
		if err := a.admit(c, read); err != nil {
			return err
		}
	}

	t, err := a.Store.Task(c.ctx(), id)
	if err == nil && (t.HiddenAt != 0 || !signed && t.Account != c.key.Account) {
		err = store.ErrNotFound
	}

	if err != nil {
		return noTask(err)
	}

	switch {
	case t.State == task.Completed && !kept(t, a.Now().UnixMilli()):
		return expired()
	case t.State != task.Completed && t.State.Final():
		return fault.New(fault.CodeNotReady, "id", fmt.Sprintf("There is no video: its task is %s.", t.State.Status()))
	case t.State != task.Completed:
		return fault.New(fault.CodeNotReady, "id", fmt.Sprintf("The video is not finished yet: its task is %s. Poll the task, or get it with ?wait=60.", t.State.Status()))
	}

	file, err := a.Store.Artifact(c.ctx(), id, kind)
	if errors.Is(err, store.ErrNotFound) && kind == task.Thumbnail {
		if err = a.Engine.Thumbnail(c.ctx(), id); err == nil {
			file, err = a.Store.Artifact(c.ctx(), id, kind)
		}
	}

	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.CodeNotReady, "id", fmt.Sprintf("This task has no %s.", kind))
	}

	if errors.Is(err, blob.ErrUnavailable) { // the video that its thumbnail is of
		return noBlob(err)
	}

	if err != nil {
		return fmt.Errorf("read artifact of %s: %w", id, err)
	}

	return a.blob(c, bytesOf{blob: file.Blob, mediaType: file.Type, sum: file.SHA256, name: id + ending(file.Type), made: t.CompletedAt})
}

func expired() *fault.Fault {
	return fault.New(fault.CodeVideoExpired, "id", "The video's retention time is over and its file was deleted. Create it again.")
}

func ending(mediaType string) string {
	switch mediaType {
	case "video/mp4":
		return ".mp4"
	case "video/quicktime":
		return ".mov"
	case "image/jpeg":
		return ".jpg"
	case "image/png":
		return ".png"
	case "image/webp":
		return ".webp"
	}

	return ""
}

// bytesOf is a blob with what its receiver is told of it.
type bytesOf struct {
	blob, mediaType, sum, name string
	made                       int64 // unix milliseconds
}

// mediaPolicy keeps a customer's file from doing anything in a browser but play.
const mediaPolicy = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; sandbox"

const (
	// storeLink is how long a link to the store itself opens: long enough for a
	// slow player to begin, and what has begun goes on.
	storeLink = 15 * time.Minute
	// storeLinkKept is how long a browser may keep such a link, so that it opens for a
	// while whenever it is used.
	storeLinkKept = 10 * time.Minute
)

// blob serves bytes, or sends the caller to the store for them: ranges and
// conditions are then the store's.
func (a *API) blob(c *call, b bytesOf) error {
	// A link is signed for GET alone, and HEAD moves no bytes.
	if c.r.Method == http.MethodGet {
		link, err := a.atStore(c, b)
		if err != nil {
			return noBlob(err)
		}

		if link != "" {
			c.Header().Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(storeLinkKept.Seconds())))
			http.Redirect(&c.answered, c.r, link, http.StatusTemporaryRedirect)

			return nil
		}
	}

	r, err := a.Blobs.Open(c.ctx(), b.blob)
	if err != nil {
		return noBlob(err)
	}
	defer func() { _ = r.Close() }()

	h := c.Header()
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("Content-Type", b.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", mediaPolicy)

	if disposition := mime.FormatMediaType("inline", map[string]string{"filename": b.name}); disposition != "" {
		h.Set("Content-Disposition", disposition)
	}

	if b.sum != "" {
		h.Set("ETag", `"`+b.sum+`"`)
	}

	http.ServeContent(&c.answered, c.r, "", time.UnixMilli(b.made), r)

	return nil
}

// atStore is where the store itself gives the bytes, "" when it does not. What is
// not there is told here: the store would answer with a page of its own.
func (a *API) atStore(c *call, b bytesOf) (string, error) {
	link, err := a.Blobs.URL(c.ctx(), b.blob, storeLink)
	if err != nil || link == "" {
		return "", err
	}

	_, err = a.Blobs.Stat(c.ctx(), b.blob)

	return link, err
}

// noBlob says why there are no bytes.
func noBlob(err error) error {
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return expired().Because(err)
	case errors.Is(err, blob.ErrUnavailable):
		return fault.New(fault.CodeUnavailable, "", "The file is kept, but cannot be read at this moment. Repeat it later.").Because(err)
	}

	return fmt.Errorf("read blob: %w", err)
}

// fileContent is GET and HEAD /v1/files/{id}/content.
func (a *API) fileContent(c *call) error {
	f, err := a.file(c)
	if err != nil {
		return err
	}

	if s, ok := a.Checkout.Sample(f.ID); ok {
		return serveSample(c, s)
	}

	return a.blob(c, bytesOf{blob: f.Blob, mediaType: f.Type, sum: f.SHA256, name: f.Name, made: f.CreatedAt})
}

func serveSample(c *call, s checkout.Sample) error {
	r, err := s.Open()
	if err != nil {
		return fmt.Errorf("open sample %s: %w", s.ID, err)
	}
	defer func() { _ = r.Close() }()

	c.Header().Set("Content-Type", s.Type)
	c.Header().Set("ETag", `"`+strings.TrimPrefix(s.ID, checkout.SamplePrefix)+`"`)
	http.ServeContent(&c.answered, c.r, "", time.Time{}, r)

	return nil
}
