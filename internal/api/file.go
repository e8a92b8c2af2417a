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

// uploaded is a file as it is answered. Times are unix seconds.
type uploaded struct {
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

func uploadedOf(f store.File) uploaded {
	return uploaded{
		ID: f.ID, Object: "file", Bytes: f.Bytes, CreatedAt: f.CreatedAt / 1000, ExpiresAt: stamp(f.ExpiresAt),
		Filename: f.Name, Purpose: "user_data", Status: "processed", Kind: f.Kind, Type: f.Type,
	}
}

const formRoom = 1 << 20 // bytes of a form beside its file

// uploadFile is POST /v1/files: multipart/form-data with the file in `file`, its
// parts in any order, streamed.
func (a *API) uploadFile(c *call) error {
	if !c.isForm() {
		return fault.New(fault.CodeContentType, "Content-Type", "This path takes multipart/form-data with the file in the field `file`: curl -F file=@clip.mp4.")
	}

	in := c.arriving(a.MaxUpload+formRoom, fmt.Sprintf("The upload is larger than the %d MiB that are taken.", a.MaxUpload>>20))
	defer in.end()

	form, err := in.form()
	if err != nil {
		return err
	}

	f, err := a.keepPart(c, form)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, uploadedOf(f))
}

func (c *call) isForm() bool {
	mediaType, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	return err == nil && mediaType == "multipart/form-data"
}

// form begins to read the body as the form that its header says it is.
func (a *arrival) form() (*formParts, error) {
	if err := a.c.plain(); err != nil {
		return nil, err
	}

	_, params, err := mime.ParseMediaType(a.c.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, fault.New(fault.CodeMalformedBody, "Content-Type", "The Content-Type names no boundary; let your HTTP library write it.")
	}

	if a.c.r.ContentLength > a.limit {
		return nil, a.tooLarge()
	}

	return newFormParts(a, params["boundary"]), nil
}

func newFormParts(r io.Reader, boundary string) *formParts {
	in := &closing{r: r, mark: []byte("--" + boundary + "--")}
	return &formParts{parts: multipart.NewReader(in, boundary), in: in}
}

// formParts reads a form part by part.
type formParts struct {
	parts *multipart.Reader
	in    *closing
}

// next is the next part, or io.EOF behind the last. multipart takes a form that was
// cut within the head of a part for one that ended; here it is a fault.
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

// closing sees whether a form's closing mark came by.
type closing struct {
	r    io.Reader
	mark []byte
	tail []byte // of what came, as much as the mark may have begun in
	n    int64  // bytes that came
	seen bool
}

// Read reads on.
func (e *closing) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)

	e.n += int64(n)
	if !e.seen {
		e.tail = append(e.tail, p[:n]...)
		e.seen = bytes.Contains(e.tail, e.mark)
		e.tail = append(e.tail[:0], e.tail[max(0, len(e.tail)-len(e.mark)):]...)
	}

	return n, err
}

// keepPart keeps the form's one file. A form that turns out broken behind it
// leaves nothing.
func (a *API) keepPart(c *call, form *formParts) (kept store.File, err error) {
	defer func() {
		if err != nil && kept.ID != "" {
			if gone := a.Checkout.DeleteFile(c.ctx(), kept.Account, kept.ID); gone != nil {
				a.Log.Warn("drop file of a broken form", "file", kept.ID, "error", gone)
			}
		}
	}()

	for {
		p, err := form.next()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return kept, err
		}

		if p.FormName() != "file" {
			if _, err := io.Copy(io.Discard, p); err != nil { // bounded: the whole body is
				return kept, badForm(err)
			}

			continue
		}

		if kept.ID != "" {
			return kept, fault.New(fault.CodeConflict, "file", "The form has two files; send one at a time.")
		}

		f, err := a.Checkout.KeepFile(c.ctx(), c.who(), p.FileName(), formPart{p}, a.MaxUpload)
		if err != nil {
			return kept, err
		}

		kept = f
	}

	if kept.ID == "" {
		return kept, fault.New(fault.CodeMissingField, "file", "The form has no field `file`: curl -F file=@clip.mp4.")
	}

	return kept, nil
}

// formPart reads a part; what breaks in it is a fault.
type formPart struct{ p *multipart.Part }

// Read reads on.
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

	return fault.New(fault.CodeMalformedBody, "", "The form is broken: it is not well-formed multipart/form-data, or ended early.").Because(err)
}

// file is the caller's file of the path, or a sample.
func (a *API) file(c *call) (store.File, error) {
	f, err := a.Checkout.File(c.ctx(), c.key.Account, c.r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		return f, checkout.NoFile()
	}

	if err != nil {
		return f, fmt.Errorf("read file: %w", err)
	}

	return f, nil
}

// getFile is GET /v1/files/{id}.
func (a *API) getFile(c *call) error {
	f, err := a.file(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, uploadedOf(f))
}

// listFiles is GET /v1/files: the caller's own, newest first.
func (a *API) listFiles(c *call) error {
	query := c.r.URL.Query()

	limit, wrong := limitOf(query)
	if wrong != nil {
		return wrong
	}

	list, more, err := a.Store.Files(c.ctx(), c.key.Account, query.Get("after"), limit)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}

	files := make([]uploaded, 0, len(list))
	for _, f := range list {
		files = append(files, uploadedOf(f))
	}

	return c.json(http.StatusOK, newPage(files, more, func(f uploaded) string { return f.ID }))
}

// deleteFile is DELETE /v1/files/{id}.
func (a *API) deleteFile(c *call) error {
	id := c.r.PathValue("id")
	if err := a.Checkout.DeleteFile(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deleted{ID: id, Object: "file", Deleted: true})
}
