package wavespeed

import (
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// Upload brings a file to the supplier ("upload-files-api") and returns the
// address by which its models read it. size is in bytes; the file is never held.
func (w *wavespeed) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, w.uploadTimeout)
	defer cancel()

	form := &provider.Form{}
	form.File("file", name, provider.TypeOf(name), size, io.NopCloser(file)) // whose Close is the caller's

	body, length, kind, err := form.Body()
	if err != nil {
		return "", w.unsent(err)
	}

	r, err := w.talk.Request(ctx, http.MethodPost, "/api/v3/media/upload/binary", body)
	if err != nil {
		return "", w.unsent(err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", kind)

	a, f := w.talk.Ask(r)
	if f == nil {
		f = w.within(a)
	}

	if f != nil {
		return "", f
	}

	address, err := readUpload(a.Body)
	if err != nil {
		return "", w.talk.Broken(a, err)
	}

	return address, nil
}
