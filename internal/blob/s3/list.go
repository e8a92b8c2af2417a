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

// staleUploadAge is the age from which a multipart upload must be left over from a crash.
// No Put takes as long, because the timeouts of its callers are much shorter.
const staleUploadAge = 24 * time.Hour

// List visits every blob, page by page; see blob.Store. Cleanup calls it regularly, so it
// also aborts the multipart uploads that a crash left over.
func (s *Store) List(ctx context.Context, visit func(blob.Info) bool) error {
	if err := s.abortStaleUploads(ctx); err != nil {
		return fmt.Errorf("list blobs: %w", blobError(ctx, err))
	}

	walk, cancel := context.WithCancel(ctx)
	defer cancel() // ends the iterator

	for object := range s.core.ListObjectsIter(walk, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list blobs: %w", blobError(ctx, object.Err))
		}

		key := strings.TrimPrefix(object.Key, s.prefix)
		if !blob.IsKey(key) {
			continue // an object that others put there
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

// abortStaleUploads aborts old multipart uploads, which nobody will complete. A server that
// cannot list uploads has its own way to remove them.
func (s *Store) abortStaleUploads(ctx context.Context) error {
	key := ""
	id := ""

	for {
		page, err := s.listUploads(ctx, key, id)
		if errorCode(err) == "NotImplemented" || errorStatus(err) == http.StatusNotImplemented {
			return nil
		}

		if err != nil {
			return err
		}

		for _, stale := range page.Uploads {
			ours := strings.HasPrefix(stale.Key, s.prefix) && blob.IsKey(strings.TrimPrefix(stale.Key, s.prefix))
			if !ours || s.now().Sub(stale.Initiated) < staleUploadAge {
				continue
			}

			if err := s.abortUpload(ctx, stale); err != nil {
				return err
			}
		}

		if !page.IsTruncated {
			return nil
		}

		if page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			return errors.New("the server repeats the same page of the list of uploads")
		}

		key = page.NextKeyMarker
		id = page.NextUploadIDMarker
	}
}

func (s *Store) listUploads(ctx context.Context, key, id string) (minio.ListMultipartUploadsResult, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	return s.core.ListMultipartUploads(ctx, s.bucket, s.prefix, key, id, "", 1000)
}

func (s *Store) abortUpload(ctx context.Context, stale minio.ObjectMultipartInfo) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	err := s.core.AbortMultipartUpload(ctx, s.bucket, stale.Key, stale.UploadID)
	if errorCode(err) == minio.NoSuchUpload {
		return nil // another replica aborted it first
	}

	return err
}
