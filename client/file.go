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

// File is a reference that was uploaded. Times are unix seconds.
type File struct {
	ID        string          `json:"id"` // "file_...": stands wherever a URL may
	Filename  string          `json:"filename"`
	Kind      string          `json:"kind"` // image, video, audio
	Type      string          `json:"type"` // media type, by its bytes
	Bytes     int64           `json:"bytes"`
	CreatedAt int64           `json:"created_at"`
	ExpiresAt int64           `json:"expires_at"`
	Raw       json.RawMessage `json:"-"`
}

// Upload is a file on its way.
type Upload struct {
	Name     string        // with its ending
	Body     io.ReadSeeker // read from its start, again for each try
	Progress func(sent, size int64)
}

// Upload sends a picture, video or sound. It is streamed, never held in memory.
func (c *Client) Upload(ctx context.Context, u Upload) (File, error) {
	size, err := u.Body.Seek(0, io.SeekEnd)
	if err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	var frame bytes.Buffer

	form := multipart.NewWriter(&frame)
	if _, err := form.CreateFormFile("file", u.Name); err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	head := bytes.Clone(frame.Bytes())

	if err := form.Close(); err != nil {
		return File{}, fmt.Errorf("upload %s: %w", u.Name, err)
	}

	tail := bytes.Clone(frame.Bytes()[len(head):])

	turns := &turns{r: u.Body, size: size, tell: u.Progress}
	defer turns.end()

	call := call{
		method: http.MethodPost, path: "/v1/files", size: int64(len(head)+len(tail)) + size, safe: true,
		header: http.Header{"Content-Type": {form.FormDataContentType()}},
		body: func() (io.Reader, error) {
			content, err := turns.start()
			if err != nil {
				return nil, fmt.Errorf("upload %s: %w", u.Name, err)
			}
			// A file that grows meanwhile must not break the frame.
			return io.MultiReader(bytes.NewReader(head), io.LimitReader(content, size), bytes.NewReader(tail)), nil
		},
	}

	var f File

	raw, _, err := c.ask(ctx, call, &f)
	f.Raw = raw

	return f, err
}

// turns lets one try at a time read from r. net/http may go on sending the body
// of a try that was answered early, while the next try already reads it anew.
type turns struct {
	mu   sync.Mutex
	r    io.ReadSeeker
	size int64
	tell func(done, total int64)
	now  int
}

// start goes back to the beginning and ends the turn before.
func (t *turns) start() (io.Reader, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.now++
	_, err := t.r.Seek(0, io.SeekStart)

	return &turn{t, t.now, counter{r: t.r, total: t.size, tell: t.tell}}, err
}

// end ends the last turn: from here on r is the caller's again.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.now++
}

// turn reads for one try.
type turn struct {
	of      *turns
	number  int
	counted counter
}

// Read reads on, and tells, while it is its turn.
func (t *turn) Read(p []byte) (int, error) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()

	if t.number != t.of.now {
		return 0, errors.New("this try is over")
	}

	return t.counted.Read(p)
}

// counter tells how much was read.
type counter struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

// Read reads on and tells.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)

	c.done += int64(n)
	if c.tell != nil && n > 0 {
		c.tell(c.done, c.total)
	}

	return n, err
}

// Files goes through the account's files, page by page, newest first.
func (c *Client) Files(ctx context.Context) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		query := url.Values{}

		for {
			var page struct {
				Data    []File `json:"data"`
				LastID  string `json:"last_id"`
				HasMore bool   `json:"has_more"`
			}
			if err := c.get(ctx, "/v1/files", query, &page); err != nil {
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

// DeleteFile removes an uploaded file.
func (c *Client) DeleteFile(ctx context.Context, id string) error {
	_, _, err := c.ask(ctx, call{method: http.MethodDelete, path: "/v1/files/" + url.PathEscape(id), safe: true}, nil)
	return err
}
