package uniall

import (
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Upload stores a file at the gateway (Unireel's POST /v1/files) and returns its
// ID, which a submission accepts in place of a URL. size is in bytes.
func (u *uniall) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, u.uploadTimeout)
	defer cancel()

	form := &provider.Form{}
	form.AddField("purpose", "user_data")
	form.AddFile("file", name, "", size, io.NopCloser(file)) // the caller closes the file

	body, length, contentType, err := form.Body()
	if err != nil {
		return "", u.notSent(err)
	}

	r, err := u.client.NewRequest(ctx, http.MethodPost, u.filesPath, body)
	if err != nil {
		return "", u.notSent(err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)

	resp, f := u.client.Do(r)
	if f != nil {
		return "", uploadFailure(resp, f)
	}

	id, err := readUpload(resp.Body)
	if err != nil {
		return "", u.client.TransientFailure(resp, err)
	}

	return id, nil
}

// uploadFailure handles the statuses that mean something else for an upload than
// for a submission: a gateway without uploads accepts public URLs only.
func uploadFailure(resp provider.Response, f *provider.Failure) *provider.Failure {
	switch resp.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		failure := provider.NewInvalidRequest(fault.CodeReferenceUnreachable, "", f.Err)
		failure.Code = f.Code
		failure.RequestID = f.RequestID

		return failure
	case http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		failure := provider.NewInvalidRequest(fault.CodeReferenceInvalid, "", f.Err)
		failure.Code = f.Code
		failure.RequestID = f.RequestID

		return failure
	}

	f.Fault.Param = ""

	return f
}
