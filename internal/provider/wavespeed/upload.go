package wavespeed

import (
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// Upload copies a file to the supplier ("upload-files-api") and returns the URL by
// which its models read it. size is in bytes; the file is not held in memory.
func (w *wavespeed) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.uploadTimeout)
	defer cancel()

	form := &provider.Form{}
	form.AddFile("file", name, provider.MediaTypeByName(name), size, io.NopCloser(file)) // the caller closes the file

	body, length, contentType, err := form.Body()
	if err != nil {
		return "", w.notSent(err)
	}

	r, err := w.client.NewRequest(ctx, http.MethodPost, "/api/v3/media/upload/binary", body)
	if err != nil {
		return "", w.notSent(err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)

	resp, f := w.client.Do(r)
	if f == nil {
		f = w.embeddedFailure(resp)
	}

	if f != nil {
		return "", f
	}

	address, err := readUpload(resp.Body)
	if err != nil {
		return "", w.client.TransientFailure(resp, err)
	}

	return address, nil
}
