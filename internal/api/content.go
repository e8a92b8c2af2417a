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

// videoContent is GET and HEAD /v1/videos/{id}/content. With ?variant=thumbnail, as in
// OpenAI's API, it serves the thumbnail: whoever may see the video may see it too.
func (a *API) videoContent(c *requestContext) error {
	kind := task.Video

	if query := c.req.URL.Query(); query.Has("variant") {
		switch query.Get("variant") {
		case "video":
		case "thumbnail":
			kind = task.Thumbnail
		default:
			return fault.New(fault.CodeInvalidValue, "variant", "The variant must be video or thumbnail; others, such as spritesheet, are not available here.")
		}
	}

	return a.artifact(c, linkTargetContent, kind)
}

// videoThumbnail is GET and HEAD /v1/videos/{id}/thumbnail.
func (a *API) videoThumbnail(c *requestContext) error {
	return a.artifact(c, linkTargetThumbnail, task.Thumbnail)
}

// artifact serves one of a task's files to a caller with a key of its account or a signed
// link.
func (a *API) artifact(c *requestContext, target string, kind task.ArtifactKind) error {
	id := c.req.PathValue("id")

	signed, err := a.verifyLink(c.req.URL.Query(), id, target)
	if err != nil {
		return err
	}

	if !signed {
		if err := a.admit(c, accessRead); err != nil {
			return err
		}
	}

	t, err := a.Store.Task(c.ctx(), id)
	if err == nil && (t.HiddenAt != 0 || !signed && t.Account != c.key.Account) {
		err = store.ErrNotFound
	}

	if err != nil {
		return taskError(err)
	}

	switch {
	case t.State == task.Completed && !filesAvailable(t, a.Now().UnixMilli()):
		return videoExpired()
	case t.State != task.Completed && t.State.Final():
		return fault.New(fault.CodeVideoNotReady, "id", fmt.Sprintf("There is no video: its task is %s.", t.State.Status()))
	case t.State != task.Completed:
		return fault.New(fault.CodeVideoNotReady, "id", fmt.Sprintf("The video is not finished yet: its task is %s. Poll the task, or get it with ?wait=60.", t.State.Status()))
	}

	file, err := a.Store.Artifact(c.ctx(), id, kind)
	if errors.Is(err, store.ErrNotFound) && kind == task.Thumbnail {
		if err = a.Engine.Thumbnail(c.ctx(), id); err == nil {
			file, err = a.Store.Artifact(c.ctx(), id, kind)
		}
	}

	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.CodeVideoNotReady, "id", fmt.Sprintf("This task has no %s.", kind))
	}

	if errors.Is(err, blob.ErrUnavailable) { // the video is needed to make its thumbnail
		return blobError(err)
	}

	if err != nil {
		return fmt.Errorf("read artifact of %s: %w", id, err)
	}

	return a.blob(c, blobContent{blob: file.Blob, mediaType: file.Type, checksum: file.SHA256, name: id + extension(file.Type), modified: t.CompletedAt})
}

func videoExpired() *fault.Fault {
	return fault.New(fault.CodeVideoExpired, "id", "The video's retention time is over and its file was deleted. Create it again.")
}

func extension(mediaType string) string {
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

// blobContent is a blob with the properties that go into the response's headers.
type blobContent struct {
	blob, mediaType, checksum, name string
	modified                        int64 // unix milliseconds
}

// mediaPolicy is a Content-Security-Policy that lets a customer's file play in a browser
// and do nothing else.
const mediaPolicy = "default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'; sandbox"

const (
	// storeURLLifetime is how long a link to the blob store is valid: long enough for a
	// slow player to start. A download that has started continues.
	storeURLLifetime = 15 * time.Minute
	// storeURLCacheTime is how long a browser may cache such a link. It is shorter than
	// storeURLLifetime, so that a cached link is valid whenever it is used.
	storeURLCacheTime = 10 * time.Minute
)

// blob serves a blob, or redirects the caller to the blob store, which then handles ranges
// and conditions.
func (a *API) blob(c *requestContext, b blobContent) error {
	// A link is signed for GET only, and HEAD transfers no bytes.
	if c.req.Method == http.MethodGet {
		link, err := a.storeURL(c, b)
		if err != nil {
			return blobError(err)
		}

		if link != "" {
			c.Header().Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(storeURLCacheTime.Seconds())))
			http.Redirect(&c.responseRecorder, c.req, link, http.StatusTemporaryRedirect)

			return nil
		}
	}

	r, err := a.Blobs.Open(c.ctx(), b.blob)
	if err != nil {
		return blobError(err)
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

	if b.checksum != "" {
		h.Set("ETag", `"`+b.checksum+`"`)
	}

	http.ServeContent(&c.responseRecorder, c.req, "", time.UnixMilli(b.modified), r)

	return nil
}

// storeURL returns the blob store's own URL for a blob, "" when the store has none. It
// checks that the blob exists, since the store would respond with an error page of its
// own.
func (a *API) storeURL(c *requestContext, b blobContent) (string, error) {
	link, err := a.Blobs.URL(c.ctx(), b.blob, storeURLLifetime)
	if err != nil || link == "" {
		return "", err
	}

	_, err = a.Blobs.Stat(c.ctx(), b.blob)

	return link, err
}

// blobError turns an error of the blob store into a fault.
func blobError(err error) error {
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return videoExpired().WithCause(err)
	case errors.Is(err, blob.ErrUnavailable):
		return fault.New(fault.CodeUnavailable, "", "The file is stored but cannot be read at the moment. Repeat the request later.").WithCause(err)
	}

	return fmt.Errorf("read blob: %w", err)
}

// fileContent is GET and HEAD /v1/files/{id}/content.
func (a *API) fileContent(c *requestContext) error {
	f, err := a.file(c)
	if err != nil {
		return err
	}

	if s, ok := a.Checkout.Sample(f.ID); ok {
		return serveSample(c, s)
	}

	return a.blob(c, blobContent{blob: f.Blob, mediaType: f.Type, checksum: f.SHA256, name: f.Name, modified: f.CreatedAt})
}

func serveSample(c *requestContext, s checkout.Sample) error {
	r, err := s.Open()
	if err != nil {
		return fmt.Errorf("open sample %s: %w", s.ID, err)
	}
	defer func() { _ = r.Close() }()

	c.Header().Set("Content-Type", s.Type)
	c.Header().Set("ETag", `"`+strings.TrimPrefix(s.ID, checkout.SamplePrefix)+`"`)
	http.ServeContent(&c.responseRecorder, c.req, "", time.Time{}, r)

	return nil
}
