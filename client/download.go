package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Download writes a completed task's video to path. It goes on where it broke
// off, also in a later call: the bytes so far stand beside path in a .part file.
// The file appears under path only when it is whole.
func (c *Client) Download(ctx context.Context, id, path string, progress func(done, total int64)) error {
	part := path + "." + id + ".part" // a task's bytes never change, so its id is enough to go on

	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	err = c.fill(ctx, id, f, progress)
	if closed := f.Close(); err == nil && closed != nil {
		err = fmt.Errorf("download %s: %w", id, closed)
	}

	if err != nil {
		if info, statErr := os.Stat(part); statErr == nil && info.Size() == 0 {
			_ = os.Remove(part) // nothing in it to go on from
		}

		return err
	}

	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	return nil
}

// fill reads until the file is whole. Every try that brought bytes gives the
// next ones a fresh count.
func (c *Client) fill(ctx context.Context, id string, f *os.File, progress func(done, total int64)) error {
	failures := 0

	for {
		before, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}

		err = c.fetch(ctx, id, f, before, progress)
		if err == nil {
			return nil
		}

		var broken *brokenOff
		if !errors.As(err, &broken) {
			return err
		}

		if broken.got > 0 {
			failures = 0
		}

		if failures++; failures >= c.tries {
			return err
		}

		if wait(ctx, backoff(failures)) != nil {
			return err
		}
	}
}

// brokenOff says that a download ended before its end.
type brokenOff struct {
	got int64
	err error
}

// Error names the cause.
func (b *brokenOff) Error() string { return "the download broke off: " + b.err.Error() }

// Unwrap gives the cause.
func (b *brokenOff) Unwrap() error { return b.err }

// fetch asks for the bytes from have on, and checks that all came.
func (c *Client) fetch(ctx context.Context, id string, f *os.File, have int64, progress func(done, total int64)) error {
	call := call{method: http.MethodGet, path: pathVideos + "/" + url.PathEscape(id) + "/content", header: http.Header{}, safe: true}
	if have > 0 {
		call.header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}

	answer, err := c.send(ctx, call)
	if err != nil {
		var no *Error
		if errors.As(err, &no) && no.Status == http.StatusRequestedRangeNotSatisfiable {
			// Whole already, or longer than it may be: reading it anew is sure.
			if err := f.Truncate(0); err != nil {
				return fmt.Errorf("download %s: %w", id, err)
			}

			return &brokenOff{err: err}
		}

		return err
	}
	defer answer.Body.Close()

	total := answer.ContentLength
	if answer.StatusCode == http.StatusPartialContent {
		if total, err = rangeTotal(answer.Header.Get("Content-Range"), have); err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}
	} else {
		have = 0

		if err := f.Truncate(0); err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}
	}

	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	read := &reader{r: &counter{r: answer.Body, done: have, total: total, tell: progress}}

	got, err := io.Copy(f, read)
	switch {
	case read.err != nil:
		return &brokenOff{got: got, err: read.err}
	case err != nil:
		return fmt.Errorf("download %s: %w", id, err) // our own disk: asking again does not help
	case total >= 0 && have+got != total:
		return &brokenOff{got: got, err: fmt.Errorf("%d of %d bytes came", have+got, total)}
	}

	return nil
}

// reader remembers its own error, to tell it from the writer's.
type reader struct {
	r   io.Reader
	err error
}

// Read reads on.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}

	return n, err
}

// rangeTotal reads "bytes 100-199/200" and checks that it begins at from.
func rangeTotal(text string, from int64) (int64, error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	at, err := strconv.ParseInt(first, 10, 64)

	size, sizeErr := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil || sizeErr != nil || at != from || size < from {
		return 0, fmt.Errorf("the server answered the range from %d with %q", from, text)
	}

	return size, nil
}
