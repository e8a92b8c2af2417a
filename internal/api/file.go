package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// fileBody is an uploaded file in a response. Times are unix seconds.
type fileBody struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt *int64 `json:"expires_at"`
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	Status    string `json:"status"`
	Kind      string `json:"kind"`
	Type      string `json:"type"`
}

func fileBodyOf(f store.File) fileBody {
	return fileBody{
		ID:        f.ID,
		Object:    "file",
		Bytes:     f.Bytes,
		CreatedAt: f.CreatedAt / 1000,
		ExpiresAt: unixSeconds(f.ExpiresAt),
		Filename:  f.Name,
		Purpose:   "user_data",
		Status:    "processed",
		Kind:      f.Kind,
		Type:      f.Type,
	}
}

const maxFormOverhead = 1 << 20 // bytes of a form besides its file

// uploadFile is POST /v1/files: multipart/form-data with the file in `file`. The parts may
// come in any order; the file is streamed.
func (a *API) uploadFile(c *requestContext) error {
	if !c.isForm() {
		return fault.New(fault.CodeUnsupportedContentType, "Content-Type", "This path accepts multipart/form-data with the file in the field `file`: curl -F file=@clip.mp4.")
	}

	in := c.limitedBody(a.MaxUpload+maxFormOverhead, fmt.Sprintf("The upload is larger than the limit of %d MiB.", a.MaxUpload>>20))
	defer in.clearDeadline()

	form, err := in.form()
	if err != nil {
		return err
	}

	f, err := a.saveFilePart(c, form)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, fileBodyOf(f))
}

func (c *requestContext) isForm() bool {
	mediaType, _, err := mime.ParseMediaType(c.req.Header.Get("Content-Type"))
	return err == nil && mediaType == "multipart/form-data"
}

// form starts to read the body as the multipart form that its Content-Type announces.
func (a *bodyReader) form() (*formParts, error) {
	if err := a.c.rejectEncoding(); err != nil {
		return nil, err
	}

	_, params, err := mime.ParseMediaType(a.c.req.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, fault.New(fault.CodeMalformedBody, "Content-Type", "The Content-Type names no boundary; let your HTTP library write it.")
	}

	if a.c.req.ContentLength > a.limit {
		return nil, a.tooLarge()
	}

	return newFormParts(a, params["boundary"]), nil
}

func newFormParts(r io.Reader, boundary string) *formParts {
	in := &boundaryWatcher{r: r, boundary: []byte("--" + boundary + "--")}
	return &formParts{parts: multipart.NewReader(in, boundary), in: in}
}

// formParts reads a form part by part.
type formParts struct {
	parts *multipart.Reader
	in    *boundaryWatcher
}

// next returns the next part, or io.EOF after the last. Package multipart accepts a form
// that was cut within the head of a part as complete; here it is a fault, unless the
// closing boundary was seen.
func (f *formParts) next() (*multipart.Part, error) {
	p, err := f.parts.NextPart()
	switch {
	case err == nil || errors.Is(err, io.EOF) && (f.in.seen || f.in.n == 0):
		return p, err
	case errors.Is(err, io.EOF):
		return nil, badForm(io.ErrUnexpectedEOF)
	}

	return nil, badForm(err)
}

// boundaryWatcher records whether a form's closing boundary was read.
type boundaryWatcher struct {
	r        io.Reader
	boundary []byte
	tail     []byte // the last bytes read, in which the boundary may have begun
	n        int64  // bytes read so far
	seen     bool
}

// Read reads from r and looks for the boundary.
func (e *boundaryWatcher) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)

	e.n += int64(n)
	if !e.seen {
		e.tail = append(e.tail, p[:n]...)
		e.seen = bytes.Contains(e.tail, e.boundary)
		e.tail = append(e.tail[:0], e.tail[max(0, len(e.tail)-len(e.boundary)):]...)
	}

	return n, err
}

// saveFilePart saves the form's one file. If a later part turns out to be broken, the file
// is deleted again.
func (a *API) saveFilePart(c *requestContext, form *formParts) (saved store.File, err error) {
	defer func() {
		if err != nil && saved.ID != "" {
			if deleteErr := a.Checkout.DeleteFile(c.ctx(), saved.Account, saved.ID); deleteErr != nil {
				a.Log.Warn("delete the file of a broken form", "file", saved.ID, "error", deleteErr)
			}
		}
	}()

	for {
		p, err := form.next()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return saved, err
		}

		if p.FormName() != "file" {
			if _, err := io.Copy(io.Discard, p); err != nil { // bounded, because the whole body is
				return saved, badForm(err)
			}

			continue
		}

		if saved.ID != "" {
			return saved, fault.New(fault.CodeConflictingFields, "file", "The form has two files; send one at a time.")
		}

		f, err := a.Checkout.SaveFile(c.ctx(), c.caller(), p.FileName(), formPart{p}, a.MaxUpload)
		if err != nil {
			return saved, err
		}

		saved = f
	}

	if saved.ID == "" {
		return saved, fault.New(fault.CodeMissingField, "file", "The form has no field `file`: curl -F file=@clip.mp4.")
	}

	return saved, nil
}

// formPart reads a part; its errors are faults.
type formPart struct{ p *multipart.Part }

// Read reads from the part.
func (f formPart) Read(b []byte) (int, error) {
	n, err := f.p.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = badForm(err)
	}

	return n, err
}

func badForm(err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}

	return fault.New(fault.CodeMalformedBody, "", "The form is broken: it is not well-formed multipart/form-data, or ended early.").WithCause(err)
}

// file returns the caller's file that the path names, or a sample.
func (a *API) file(c *requestContext) (store.File, error) {
	f, err := a.Checkout.File(c.ctx(), c.key.Account, c.req.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return f, checkout.FileNotFound()
	}

	if err != nil {
		return f, fmt.Errorf("read file: %w", err)
	}

	return f, nil
}

// getFile is GET /v1/files/{id}.
func (a *API) getFile(c *requestContext) error {
	f, err := a.file(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, fileBodyOf(f))
}

// listFiles is GET /v1/files: the account's own files, newest first.
func (a *API) listFiles(c *requestContext) error {
	query := c.req.URL.Query()

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		return limitFault
	}

	list, more, err := a.Store.Files(c.ctx(), c.key.Account, query.Get("after"), limit)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}

	files := make([]fileBody, 0, len(list))
	for _, f := range list {
		files = append(files, fileBodyOf(f))
	}

	return c.json(http.StatusOK, newPage(files, more, func(f fileBody) string { return f.ID }))
}

// deleteFile is DELETE /v1/files/{id}.
func (a *API) deleteFile(c *requestContext) error {
	id := c.req.PathValue("id")
	if err := a.Checkout.DeleteFile(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deletedBody{ID: id, Object: "file", Deleted: true})
}
