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

// Download writes a completed task's video to path. After an interruption it continues
// where it stopped, also in a later call: the bytes received so far are kept next to
// path in a .part file. The file at path appears only when it is complete.
func (c *Client) Download(ctx context.Context, id, path string, progress func(done, total int64)) error {
	partPath := path + "." + id + ".part" // a task's video never changes, so the id identifies the bytes

	f, err := os.OpenFile(partPath, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	err = c.downloadAll(ctx, id, f, progress)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("download %s: %w", id, closeErr)
	}

	if err != nil {
		if info, statErr := os.Stat(partPath); statErr == nil && info.Size() == 0 {
			_ = os.Remove(partPath) // an empty file is of no use to a later call
		}

		return err
	}

	if err := os.Rename(partPath, path); err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	return nil
}

// downloadAll downloads until the file is complete. An attempt that received bytes
// resets the count of failures.
func (c *Client) downloadAll(ctx context.Context, id string, f *os.File, progress func(done, total int64)) error {
	failures := 0

	for {
		offset, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}

		err = c.downloadFrom(ctx, id, f, offset, progress)
		if err == nil {
			return nil
		}

		var interrupted *interruptedError
		if !errors.As(err, &interrupted) {
			return err
		}

		if interrupted.received > 0 {
			failures = 0
		}

		if failures++; failures >= c.maxAttempts {
			return err
		}

		if sleep(ctx, backoff(failures)) != nil {
			return err
		}
	}
}

// interruptedError reports that a download ended too early.
type interruptedError struct {
	received int64
	err      error
}

// Error returns the message, with the cause.
func (e *interruptedError) Error() string { return "the download was interrupted: " + e.err.Error() }

// Unwrap returns the cause.
func (e *interruptedError) Unwrap() error { return e.err }

// downloadFrom requests the bytes from offset on, and checks that all of them arrived.
func (c *Client) downloadFrom(ctx context.Context, id string, f *os.File, offset int64, progress func(done, total int64)) error {
	req := apiRequest{method: http.MethodGet, path: pathVideos + "/" + url.PathEscape(id) + "/content", header: http.Header{}, idempotent: true}
	if offset > 0 {
		req.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}

	resp, err := c.send(ctx, req)
	if err != nil {
		var apiErr *Error
		if errors.As(err, &apiErr) && apiErr.Status == http.StatusRequestedRangeNotSatisfiable {
			// The file is already complete, or longer than the video. Starting again is
			// right in both cases.
			if err := f.Truncate(0); err != nil {
				return fmt.Errorf("download %s: %w", id, err)
			}

			return &interruptedError{err: err}
		}

		return err
	}
	defer resp.Body.Close()

	total := resp.ContentLength
	if resp.StatusCode == http.StatusPartialContent {
		if total, err = rangeTotal(resp.Header.Get("Content-Range"), offset); err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}
	} else {
		offset = 0

		if err := f.Truncate(0); err != nil {
			return fmt.Errorf("download %s: %w", id, err)
		}
	}

	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}

	source := &sourceReader{r: &progressReader{r: resp.Body, done: offset, total: total, onProgress: progress}}

	received, err := io.Copy(f, source)
	switch {
	case source.err != nil:
		return &interruptedError{received: received, err: source.err}
	case err != nil:
		return fmt.Errorf("download %s: %w", id, err) // writing to the local disk failed: a retry does not help
	case total >= 0 && offset+received != total:
		return &interruptedError{received: received, err: fmt.Errorf("received %d of %d bytes", offset+received, total)}
	}

	return nil
}

// sourceReader records the error of the reader, so that it can be told from an error of
// the writer.
type sourceReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (r *sourceReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}

	return n, err
}

// rangeTotal parses a Content-Range such as "bytes 100-199/200", checks that it begins
// at from, and returns the total size.
func rangeTotal(text string, from int64) (int64, error) {
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)

	size, sizeErr := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil || sizeErr != nil || start != from || size < from {
		return 0, fmt.Errorf("the server responded to a range request from byte %d with Content-Range %q", from, text)
	}

	return size, nil
}
