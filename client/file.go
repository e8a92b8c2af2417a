package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime/multipart"
	"net/http"
	"net/url"
	"sync"
)

// File is an uploaded reference. Times are unix seconds.
type File struct {
	ID        string          `json:"id"` // "file_..."; accepted wherever a URL is
	Filename  string          `json:"filename"`
	Kind      string          `json:"kind"` // image, video, audio
	Type      string          `json:"type"` // media type, detected from the bytes
	Bytes     int64           `json:"bytes"`
	CreatedAt int64           `json:"created_at"`
	ExpiresAt int64           `json:"expires_at"`
	Raw       json.RawMessage `json:"-"`
}

// Upload is a file to upload.
type Upload struct {
	Name     string        // with its extension
	Body     io.ReadSeeker // each attempt reads it from the start
	Progress func(sent, size int64)
}

// Upload uploads an image, video or audio file. The file is streamed and never held in
// memory.
func (c *Client) Upload(ctx context.Context, u Upload) (File, error) {
	size, err := u.Body.Seek(0, io.SeekEnd)
	if err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	var buf bytes.Buffer

	form := multipart.NewWriter(&buf)
	if _, err := form.CreateFormFile("file", u.Name); err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	head := bytes.Clone(buf.Bytes())

	if err := form.Close(); err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	tail := bytes.Clone(buf.Bytes()[len(head):])

	source := &uploadSource{r: u.Body, size: size, onProgress: u.Progress}
	defer source.close()

	req := apiRequest{
		method:     http.MethodPost,
		path:       "/v1/files",
		size:       int64(len(head)+len(tail)) + size,
		idempotent: true,
		header:     http.Header{"Content-Type": {form.FormDataContentType()}},
		body: func() (io.Reader, error) {
			content, err := source.open()
			if err != nil {
				return nil, fmt.Errorf("upload %s: %w", u.Name, err)
			}
			// The limit keeps the Content-Length right if the file grows meanwhile.
			return io.MultiReader(bytes.NewReader(head), io.LimitReader(content, size), bytes.NewReader(tail)), nil
		},
	}

	var f File

	raw, _, err := c.doJSON(ctx, req, &f)
	f.Raw = raw

	return f, err
}

// uploadSource lets only the latest attempt read from r. When a server responds before it
// has read the whole body, net/http may still read that body while the next attempt
// already reads the file from its start.
type uploadSource struct {
	mu         sync.Mutex
	r          io.ReadSeeker
	size       int64
	onProgress func(done, total int64)
	current    int
}

// open returns a reader from the start of the file and invalidates the previous reader.
func (s *uploadSource) open() (io.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.current++
	_, err := s.r.Seek(0, io.SeekStart)

	return &uploadReader{s, s.current, progressReader{r: s.r, total: s.size, onProgress: s.onProgress}}, err
}

// close invalidates the last reader, so that the caller may use r again.
func (s *uploadSource) close() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.current++
}

// uploadReader reads the file for one attempt.
type uploadReader struct {
	source     *uploadSource
	generation int
	progress   progressReader
}

// Read reads and reports progress. It fails once a later attempt has started.
func (r *uploadReader) Read(p []byte) (int, error) {
	r.source.mu.Lock()
	defer r.source.mu.Unlock()

	if r.generation != r.source.current {
		return 0, errors.New("a later upload attempt has started")
	}

	return r.progress.Read(p)
}

// progressReader reports how much was read.
type progressReader struct {
	r           io.Reader
	done, total int64
	onProgress  func(done, total int64)
}

// Read implements io.Reader and reports progress.
func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)

	r.done += int64(n)
	if r.onProgress != nil && n > 0 {
		r.onProgress(r.done, r.total)
	}

	return n, err
}

// Files yields the account's files, newest first. It fetches them page by page.
func (c *Client) Files(ctx context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		query := url.Values{}

		for {
			var page struct {
				Data    []File `json:"data"`
				LastID  string `json:"last_id"`
				HasMore bool   `json:"has_more"`
			}
			if err := c.getJSON(ctx, "/v1/files", query, &page); err != nil {
				yield(File{}, err)
				return
			}

			for _, f := range page.Data {
				if !yield(f, nil) {
					return
				}
			}

			if !page.HasMore || page.LastID == "" || page.LastID == query.Get("after") {
				return
			}

			query.Set("after", page.LastID)
		}
	}
}

// DeleteFile deletes an uploaded file.
func (c *Client) DeleteFile(ctx context.Context, id string) error {
	_, _, err := c.doJSON(ctx, apiRequest{method: http.MethodDelete, path: "/v1/files/" + url.PathEscape(id), idempotent: true}, nil)
	return err
}
