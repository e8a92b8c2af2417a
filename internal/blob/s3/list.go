package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/unireel/unireel/internal/blob"
)

// leftAge is how old an upload in parts must be to be a crash's: no Put is as
// slow, since its sender's own time is over long before.
const leftAge = 24 * time.Hour

// List visits every blob, page by page; see blob.Store. It is what a sweep
// walks, so it gives up the uploads that a crash left, too.
func (s *Store) List(ctx context.Context, visit func(blob.Info) bool) error {
	if err := s.giveUp(ctx); err != nil {
		return fmt.Errorf("list blobs: %w", explain(ctx, err))
	}

	walk, cancel := context.WithCancel(ctx)
	defer cancel() // the iterator ends with it

	for object := range s.core.ListObjectsIter(walk, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list blobs: %w", explain(ctx, object.Err))
		}

		key := strings.TrimPrefix(object.Key, s.prefix)
		if !blob.IsKey(key) {
			continue // what others put there
		}

		if !visit(blob.Info{Key: key, Bytes: object.Size, ModTime: object.LastModified}) {
			return nil
		}
	}

	if ctx.Err() != nil {
		return fmt.Errorf("list blobs: %w", context.Cause(ctx))
	}

	return nil
}

// giveUp aborts uploads in parts that nobody will end. A server that keeps no
// list of them has its own way to clear them up.
func (s *Store) giveUp(ctx context.Context) error {
	key := ""

	id := ""
	for {
		page, err := s.uploads(ctx, key, id)
		if code(err) == "NotImplemented" || status(err) == http.StatusNotImplemented {
			return nil
		}

		if err != nil {
			return err
		}

		for _, left := range page.Uploads {
			if s.now().Sub(left.Initiated) < leftAge || !strings.HasPrefix(left.Key, s.prefix) || !blob.IsKey(strings.TrimPrefix(left.Key, s.prefix)) {
				continue
			}

			if err := s.abortLeft(ctx, left); err != nil {
				return err
			}
		}

		if !page.IsTruncated {
			return nil
		}

		if page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return errors.New("the list of uploads does not go on")
		}

		key = page.NextKeyMarker
		id = page.NextUploadIDMarker
	}
}

func (s *Store) uploads(ctx context.Context, key, id string) (minio.ListMultipartUploadsResult, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	return s.core.ListMultipartUploads(ctx, s.bucket, s.prefix, key, id, "", 1000)
}

func (s *Store) abortLeft(ctx context.Context, left minio.ObjectMultipartInfo) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	err := s.core.AbortMultipartUpload(ctx, s.bucket, left.Key, left.UploadID)
	if code(err) == minio.NoSuchUpload {
		return nil // another replica was faster
	}

	return err
}
