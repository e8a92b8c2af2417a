package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/minio/minio-go/v7"

	"github.com/unireel/unireel/internal/blob"
)

const (
	// A reader requests one window at a time. Each is four times as large as the last,
	// up to maxWindow. So reading the head of a video moves few bytes, a download needs
	// few requests, and no connection to the store waits long for a slow customer.
	minWindow = 1 << 20
	maxWindow = 16 << 20
	// maxSkip is how far a seek reads ahead instead of making a new request.
	maxSkip = 128 << 10
	// maxReadAttempts is how often a read is tried before it fails.
	maxReadAttempts = 3
)

// Open opens a blob; see blob.Store. Its bytes are requested when they are read.
func (s *Store) Open(ctx context.Context, key string) (blob.Reader, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}

	object, err := s.statObject(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", key, blobError(ctx, err))
	}

	return &reader{
		s:      s,
		ctx:    ctx,
		key:    key,
		etag:   object.ETag,
		size:   object.Size,
		window: minWindow,
	}, nil
}

// reader reads one version of one object.
type reader struct {
	s         *Store
	ctx       context.Context // from Open
	key       string
	etag      string
	size      int64
	pos       int64 // of the next byte
	body      io.ReadCloser
	remaining int64 // bytes left in body
	window    int64 // size of the next request
	closed    bool
}

// Size is the blob's length in bytes.
func (r *reader) Size() int64 { return r.size }

func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("read blob %s: %w", r.key, os.ErrClosed)
	case r.pos >= r.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}

	var lastErr error

	for range maxReadAttempts {
		if r.body == nil {
			if err := r.openWindow(); err != nil {
				return 0, fmt.Errorf("read blob %s: %w", r.key, err)
			}
		}

		n, err := r.body.Read(p[:min(int64(len(p)), r.remaining)])
		r.pos += int64(n)

		r.remaining -= int64(n)
		if r.remaining == 0 {
			// Read the end of the body too, so that the connection can be reused.
			_, _ = io.CopyN(io.Discard, r.body, 1)
			r.closeBody()
			r.window = min(4*r.window, maxWindow)
		} else if err != nil {
			r.closeBody()
		}

		if n > 0 {
			return n, nil
		}

		if r.ctx.Err() != nil {
			return 0, fmt.Errorf("read blob %s: %w", r.key, context.Cause(r.ctx))
		}

		lastErr = err
	}

	return 0, fmt.Errorf("read blob %s: %w: %w", r.key, blob.ErrUnavailable, lastErr)
}

// openWindow opens the next window. It fails if the object is no longer the same.
func (r *reader) openWindow() error {
	end := min(r.pos+r.window, r.size)

	var o minio.GetObjectOptions
	if err := errors.Join(o.SetRange(r.pos, end-1), o.SetMatchETag(r.etag)); err != nil {
		return err
	}

	body, info, _, err := r.s.core.GetObject(r.ctx, r.s.bucket, r.s.objectName(r.key), o)
	if errorCode(err) == minio.PreconditionFailed || errorStatus(err) == http.StatusPreconditionFailed {
		return blob.ErrNotFound // the key now has another object
	}

	if err != nil {
		return blobError(r.ctx, err)
	}

	if info.Size != end-r.pos {
		body.Close()
		return fmt.Errorf("%w: it answered with %d bytes instead of %d", blob.ErrUnavailable, info.Size, end-r.pos)
	}

	r.body = body
	r.remaining = end - r.pos

	return nil
}

func (r *reader) closeBody() {
	if r.body != nil {
		_ = r.body.Close()
	}

	r.body = nil
	r.remaining = 0
}

// Seek only sets the position. A seek to the end to learn the size transfers nothing.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek blob %s: whence %d", r.key, whence)
	}

	if offset < 0 {
		return 0, fmt.Errorf("seek blob %s: before its start", r.key)
	}

	ahead := offset - r.pos
	if r.body != nil && ahead != 0 {
		if ahead < 0 || ahead >= r.remaining || ahead > maxSkip || !r.skip(ahead) {
			r.closeBody()
			r.window = minWindow
		}
	}

	r.pos = offset

	return offset, nil
}

// skip reads and discards n bytes.
func (r *reader) skip(n int64) bool {
	_, err := io.CopyN(io.Discard, r.body, n)
	r.remaining -= n

	return err == nil
}

func (r *reader) Close() error {
	r.closeBody()
	r.closed = true

	return nil
}
