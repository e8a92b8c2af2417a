package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/unireel/unireel/internal/blob"
)

// maxCommitAttempts is how often a commit is tried when the server answers that another
// request conflicts with it (409), or that the key exists (412) although it then does not.
const maxCommitAttempts = 10

// Metadata of an object.
const (
	metaSHA256 = "Unireel-Sha256"
	// metaPutID is unique to one Put. A Put that lost the response finds out with it
	// whether the object under its key is its own.
	metaPutID = "Unireel-Put"
)

func metadata(object minio.ObjectInfo, name string) string {
	for key, value := range object.UserMetadata {
		if strings.EqualFold(key, name) {
			return value
		}
	}

	return ""
}

// upload is one Put in progress.
type upload struct {
	s         *Store
	key       string
	putID     string
	r         io.Reader
	digest    hash.Hash // of all bytes read
	bytesRead int64
}

// Put writes a blob; see blob.Store. It checks ctx between two reads, but cannot
// interrupt one: a reader that blocks must end with ctx itself.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	// Check before reading anything, so that the sender of a large file learns at once that the key exists.
	switch _, err := s.statObject(ctx, key); {
	case err == nil:
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blob.ErrExists)
	case !errors.Is(blobError(ctx, err), blob.ErrNotFound):
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blobError(ctx, err))
	}

	u := &upload{s: s, key: key, putID: rand.Text(), r: r, digest: sha256.New()}
	if err := u.run(ctx); err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, err)
	}

	return blob.Info{Key: key, Bytes: u.bytesRead, SHA256: hex.EncodeToString(u.digest.Sum(nil)), ModTime: s.now()}, nil
}

func (u *upload) run(ctx context.Context) error {
	part := u.s.partBuffers.Get().(*[]byte)
	defer u.s.partBuffers.Put(part)

	n, end, err := u.readPart(ctx, *part)
	if err != nil {
		return err
	}

	if end {
		return u.putSingle(ctx, (*part)[:n])
	}

	return u.putMultipart(ctx, *part)
}

// readPart reads until the part is full or the reader ends.
func (u *upload) readPart(ctx context.Context, part []byte) (n int, end bool, err error) {
	for n < len(part) && !end {
		if ctx.Err() != nil {
			return n, false, context.Cause(ctx)
		}

		more, err := u.r.Read(part[n:])

		n += more
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return n, false, err
		}
	}

	u.digest.Write(part[:n])
	u.bytesRead += int64(n)

	return n, end, nil
}

// putSingle puts a small blob with one request. The signature covers the SHA-256 of the
// bytes, so the server stores exactly these bytes or none.
func (u *upload) putSingle(ctx context.Context, data []byte) error {
	sum := hex.EncodeToString(u.digest.Sum(nil))
	o := u.putOptions(map[string]string{metaSHA256: sum}, data)

	return u.commit(ctx, func(ctx context.Context, ifAbsent bool) error {
		if ifAbsent {
			o.SetMatchETagExcept("*")
		}

		_, err := u.s.core.PutObject(ctx, u.s.bucket, u.s.objectName(u.key), bytes.NewReader(data), int64(len(data)), "", sum, o)

		return err
	})
}

// putMultipart sends one part while it reads the next. Until its last request nothing is
// visible under the key. If it fails before that, the upload is aborted.
func (u *upload) putMultipart(ctx context.Context, first []byte) (err error) {
	id, err := u.startMultipart(ctx, first)
	if err != nil {
		return blobError(ctx, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.abort(ctx, id))
		}
	}()

	second := u.s.partBuffers.Get().(*[]byte)
	defer u.s.partBuffers.Put(second)

	parts, err := u.sendParts(ctx, id, first, *second)
	if err != nil {
		return err
	}

	return u.commit(ctx, func(ctx context.Context, ifAbsent bool) error {
		var o minio.PutObjectOptions
		if ifAbsent {
			o.SetMatchETagExcept("*")
		}

		_, err := u.s.core.CompleteMultipartUpload(ctx, u.s.bucket, u.s.objectName(u.key), id, parts, o)

		return err
	})
}

func (u *upload) startMultipart(ctx context.Context, data []byte) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	return u.s.core.NewMultipartUpload(ctx, u.s.bucket, u.s.objectName(u.key), u.putOptions(nil, data))
}

// sendParts sends the first part, which is full, and all that follow.
func (u *upload) sendParts(ctx context.Context, id string, current, next []byte) ([]minio.CompletePart, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var parts []minio.CompletePart
	for n, end := len(current), false; n > 0; {
		if len(parts) == maxParts {
			return nil, fmt.Errorf("the blob is larger than the store's limit of %d GiB", int64(maxParts)*partSize>>30)
		}

		var (
			part    minio.ObjectPart
			sendErr error
		)

		sent := make(chan struct{})
		number := len(parts) + 1
		data := current[:n]

		go func() {
			defer close(sent)

			if part, sendErr = u.sendPart(ctx, id, number, data); sendErr != nil {
				cancel(sendErr) // stop reading: the upload has failed
			}
		}()

		var readErr error
		if n = 0; !end {
			if n, end, readErr = u.readPart(ctx, next); readErr != nil {
				cancel(readErr)
			}
		}

		<-sent // until then the goroutine uses the part's bytes

		if sendErr != nil || readErr != nil {
			return nil, context.Cause(ctx) // the first of the two errors
		}

		parts = append(parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
		current, next = next, current
	}

	return parts, nil
}

func (u *upload) sendPart(ctx context.Context, id string, number int, data []byte) (minio.ObjectPart, error) {
	timed, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()

	sum := sha256.Sum256(data)
	part, err := u.s.core.PutObjectPart(timed, u.s.bucket, u.s.objectName(u.key), id, number, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})

	return part, blobError(ctx, err)
}

// abort removes the parts that were sent, even if the caller's context has ended.
func (u *upload) abort(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()

	err := u.s.core.AbortMultipartUpload(ctx, u.s.bucket, u.s.objectName(u.key), id)
	if err == nil || errorCode(err) == minio.NoSuchUpload {
		return nil
	}

	return fmt.Errorf("abort the upload, whose parts are removed after a day: %w", err)
}

// commit makes the request that gives the blob its key.
//
// Two blobs never get the same key. On a server with conditional writes the request
// itself fails if the key exists, also when another replica took it. On other servers
// keyLocks orders the Puts of this process, and the key is looked up under the lock;
// there, replicas must not choose the same key.
func (u *upload) commit(ctx context.Context, request func(ctx context.Context, ifAbsent bool) error) error {
	release, err := u.s.keyLocks.lock(ctx, u.key)
	if err != nil {
		return err
	}
	defer release()

	if !u.s.conditionalWrites {
		if _, err := u.s.statObject(ctx, u.key); err == nil {
			return blob.ErrExists
		}
	}

	for range maxCommitAttempts {
		err = u.tryCommit(ctx, request)
		if httpStatus := errorStatus(err); httpStatus != http.StatusConflict && httpStatus != http.StatusPreconditionFailed {
			break
		}
	}

	return err
}

// tryCommit makes the request once. When a response is lost, the client library repeats the
// request. If the first request had succeeded, the repeated one then fails with "the key
// exists" or "no such upload". So after any error the object under the key is inspected:
// its put ID says whether it is this Put's own.
func (u *upload) tryCommit(ctx context.Context, request func(ctx context.Context, ifAbsent bool) error) error {
	timed, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()

	err := request(timed, u.s.conditionalWrites)
	if err == nil {
		return nil
	}
	// Even if the caller's context ended meanwhile, Put must leave nothing or a complete blob.
	object, statErr := u.s.statObject(context.WithoutCancel(ctx), u.key)
	switch {
	case statErr == nil && metadata(object, metaPutID) == u.putID:
		return nil
	case statErr == nil:
		return blob.ErrExists
	}

	return blobError(ctx, err)
}

func (u *upload) putOptions(userMetadata map[string]string, data []byte) minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType:          mediaType(data),
		UserMetadata:         map[string]string{metaPutID: u.putID},
		DisableContentSha256: true,
	}
	for name, value := range userMetadata {
		o.UserMetadata[name] = value
	}

	return o
}

// mediaType returns the content type that links to the object declare. It is
// application/octet-stream for everything that a browser could execute.
func mediaType(data []byte) string {
	kind := http.DetectContentType(data)
	for _, media := range []string{"video/", "image/", "audio/"} {
		if strings.HasPrefix(kind, media) {
			return kind
		}
	}

	return "application/octet-stream"
}
