package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"
)

// checkAccess tries everything that the store needs. It uses requests whose error
// responses have a body: a response to HEAD has none, so it cannot say what is wrong.
func (s *Store) checkAccess(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	for object := range s.core.ListObjectsIter(timed, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true, MaxKeys: 1}) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}

		if object.Err != nil {
			return openError(object.Err)
		}

		break
	}

	return s.probeWrites(timed)
}

// probeWrites writes an object that is not a blob, tries to replace it, and removes it.
// The attempt to replace it shows whether the server supports If-None-Match; not all do.
func (s *Store) probeWrites(ctx context.Context) (err error) {
	key := ".probe-" + rand.Text()

	err = s.writeProbe(ctx, key, true)
	if errorCode(err) == "NotImplemented" {
		err = s.writeProbe(ctx, key, false)
	}

	if err != nil {
		return fmt.Errorf("write to the bucket: %w", openError(err))
	}

	defer func() {
		if removeErr := s.removeObject(context.WithoutCancel(ctx), key); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("delete from the bucket: %w", openError(removeErr)))
		}
	}()

	s.conditionalWrites = errorCode(s.writeProbe(ctx, key, true)) == minio.PreconditionFailed

	return nil
}

func (s *Store) writeProbe(ctx context.Context, key string, ifAbsent bool) error {
	o := minio.PutObjectOptions{DisableContentSha256: true}
	if ifAbsent {
		o.SetMatchETagExcept("*")
	}

	data := []byte("unireel")
	sum := sha256.Sum256(data)
	_, err := s.core.PutObject(ctx, s.bucket, s.objectName(key), bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(sum[:]), o)

	return err
}
