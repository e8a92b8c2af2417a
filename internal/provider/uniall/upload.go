package uniall

import (
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Upload keeps a file at the gateway (Unireel's POST /v1/files) and returns its
// id, which an order takes for an address. size is in bytes.
func (u *uniall) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, u.uploadTimeout)
	defer cancel()

	form := &provider.Form{}
	form.Field("purpose", "user_data")
	form.File("file", name, "", size, io.NopCloser(file)) // whose Close is the caller's

	body, length, kind, err := form.Body()
	if err != nil {
		return "", u.unsent(err)
	}

	r, err := u.talk.Request(ctx, http.MethodPost, u.filesPath, body)
	if err != nil {
		return "", u.unsent(err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", kind)

	a, f := u.talk.Ask(r)
	if f != nil {
		return "", uploadFailure(a, f)
	}

	id, err := readUpload(a.Body)
	if err != nil {
		return "", u.talk.Broken(a, err)
	}

	return id, nil
}

// uploadFailure knows the statuses that mean something else here than to an
// order: a gateway without uploads takes public addresses only.
func uploadFailure(a provider.Answer, f *provider.Failure) *provider.Failure {
	switch a.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		g := provider.Unsent(fault.CodeUnreachable, "", f.Err)
		g.Code = f.Code
		g.RequestID = f.RequestID

		return g
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		g := provider.Unsent(fault.CodeBadReference, "", f.Err)
		g.Code = f.Code
		g.RequestID = f.RequestID

		return g
	}

	f.Fault.Param = ""

	return f
}
