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
	// A reader asks for a window at a time, each four times as large as the last
	// up to the largest: a look at a film's head moves little, a download needs
	// few requests, and no connection waits for a slow customer for long.
	firstWindow = 1 << 20
	lastWindow  = 16 << 20
	// skipped is how far ahead a seek reads instead of asking anew.
	skipped = 128 << 10
	// attempts is how often a read asks again where it broke off.
	attempts = 3
)

// Open reads a blob; see blob.Store. Its bytes are asked for when they are read.
func (s *Store) Open(ctx context.Context, key string) (blob.Reader, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}

	object, err := s.stat(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", key, explain(ctx, err))
	}

	return &reader{s: s, ctx: ctx, key: key, etag: object.ETag, size: object.Size, window: firstWindow}, nil
}

// reader reads one version of one object.
type reader struct {
	s      *Store
	ctx    context.Context // of Open
	key    string
	etag   string
	size   int64
	at     int64 // of the next byte
	body   io.ReadCloser
	left   int64 // of the body
	window int64 // of the next request
	closed bool
}

// Size is the blob's length in bytes.
func (r *reader) Size() int64 { return r.size }

func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.closed:
		return 0, fmt.Errorf("read blob %s: %w", r.key, os.ErrClosed)
	case r.at >= r.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}

	var broke error

	for range attempts {
		if r.body == nil {
			if err := r.ask(); err != nil {
				return 0, fmt.Errorf("read blob %s: %w", r.key, err)
			}
		}

		n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
		r.at = r.at + int64(n)

		r.left = r.left - int64(n)
		if r.left == 0 {
			// Its end is read as well, so that the connection serves the next.
			_, _ = io.CopyN(io.Discard, r.body, 1)
			r.drop()
			r.window = min(4*r.window, lastWindow)
		} else if err != nil {
			r.drop()
		}

		if n > 0 {
			return n, nil
		}

		if r.ctx.Err() != nil {
			return 0, fmt.Errorf("read blob %s: %w", r.key, context.Cause(r.ctx))
		}

		broke = err
	}

	return 0, fmt.Errorf("read blob %s: %w: %w", r.key, blob.ErrUnavailable, broke)
}

// ask opens the next window, of the same object as before or of none.
func (r *reader) ask() error {
	end := min(r.at+r.window, r.size)

	var o minio.GetObjectOptions
	if err := errors.Join(o.SetRange(r.at, end-1), o.SetMatchETag(r.etag)); err != nil {
		return err
	}

	body, answer, _, err := r.s.core.GetObject(r.ctx, r.s.bucket, r.s.object(r.key), o)
	if code(err) == minio.PreconditionFailed || status(err) == http.StatusPreconditionFailed {
		return blob.ErrNotFound // and something else has its key
	}

	if err != nil {
		return explain(r.ctx, err)
	}

	if answer.Size != end-r.at {
		body.Close()
		return fmt.Errorf("%w: it answered %d bytes where %d were asked for", blob.ErrUnavailable, answer.Size, end-r.at)
	}

	r.body = body
	r.left = end - r.at

	return nil
}

func (r *reader) drop() {
	if r.body != nil {
		_ = r.body.Close()
	}

	r.body = nil
	r.left = 0
}

// Seek only notes where to read on: whoever seeks for the size moves no byte.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek blob %s: whence %d", r.key, whence)
	}

	if offset < 0 {
		return 0, fmt.Errorf("seek blob %s: before its start", r.key)
	}

	ahead := offset - r.at
	if r.body != nil && ahead != 0 {
		if ahead < 0 || ahead >= r.left || ahead > skipped || !r.skip(ahead) {
			r.drop()
			r.window = firstWindow
		}
	}

	r.at = offset

	return offset, nil
}

// skip reads over what lies between.
func (r *reader) skip(n int64) bool {
	_, err := io.CopyN(io.Discard, r.body, n)
	r.left -= n

	return err == nil
}

func (r *reader) Close() error {
	r.drop()
	r.closed = true

	return nil
}
