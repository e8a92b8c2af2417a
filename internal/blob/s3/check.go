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

// check asks for what the store will need, by requests whose answers say what is
// wrong: HEAD has none to read.
func (s *Store) check(ctx context.Context) error {
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	for object := range s.core.ListObjectsIter(timed, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true, MaxKeys: 1}) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}

		if object.Err != nil {
			return diagnose(object.Err)
		}

		break
	}

	return s.probe(timed)
}

// probe writes an object that is no blob, tries to replace it, and removes it.
// By that it learns whether the server honours If-None-Match, which some know
// nothing of.
func (s *Store) probe(ctx context.Context) (err error) {
	key := ".probe-" + rand.Text()

	err = s.writeProbe(ctx, key, true)
	if code(err) == "NotImplemented" {
		err = s.writeProbe(ctx, key, false)
	}

	if err != nil {
		return fmt.Errorf("write to the bucket: %w", diagnose(err))
	}
	defer func() {
		if gone := s.remove(context.WithoutCancel(ctx), key); gone != nil {
			err = errors.Join(err, fmt.Errorf("delete from the bucket: %w", diagnose(gone)))
		}
	}()

	s.atomic = code(s.writeProbe(ctx, key, true)) == minio.PreconditionFailed

	return nil
}

func (s *Store) writeProbe(ctx context.Context, key string, once bool) error {
	o := minio.PutObjectOptions{DisableContentSha256: true}
	if once {
		o.SetMatchETagExcept("*")
	}

	data := []byte("unireel")
	sum := sha256.Sum256(data)
	_, err := s.core.PutObject(ctx, s.bucket, s.object(key), bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(sum[:]), o)

	return err
}
