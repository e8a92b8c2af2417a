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

// conflicts is how often a blob is named again when the server says that others
// are in the way (409), or that the key is taken (412) and then nobody has it.
const conflicts = 10

// What is noted beside an object's bytes.
const (
	noteSum = "Unireel-Sha256"
	// notePut is a word of one Put: by it a Put whose answer was lost finds out
	// whether the object under its key is its own.
	notePut = "Unireel-Put"
)

func noted(object minio.ObjectInfo, name string) string {
	for key, value := range object.UserMetadata {
		if strings.EqualFold(key, name) {
			return value
		}
	}

	return ""
}

// upload is one Put under way.
type upload struct {
	s    *Store
	key  string
	word string
	r    io.Reader
	sum  hash.Hash // of all bytes read
	n    int64
}

// Put writes a blob; see blob.Store. A reader that waits must itself end with
// ctx: between two reads Put looks, within one it cannot.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	// Before anything is read: the sender of a large file is told at once.
	switch _, err := s.stat(ctx, key); {
	case err == nil:
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blob.ErrExists)
	case !errors.Is(explain(ctx, err), blob.ErrNotFound):
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, explain(ctx, err))
	}

	u := &upload{s: s, key: key, word: rand.Text(), r: r, sum: sha256.New()}
	if err := u.run(ctx); err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, err)
	}

	return blob.Info{Key: key, Bytes: u.n, SHA256: hex.EncodeToString(u.sum.Sum(nil)), ModTime: s.now()}, nil
}

func (u *upload) run(ctx context.Context) error {
	part := u.s.parts.Get().(*[]byte)
	defer u.s.parts.Put(part)

	n, end, err := u.fill(ctx, *part)
	if err != nil {
		return err
	}

	if end {
		return u.whole(ctx, (*part)[:n])
	}

	return u.inParts(ctx, *part)
}

// fill reads until the part is full or the reader ends.
func (u *upload) fill(ctx context.Context, part []byte) (n int, end bool, err error) {
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

	u.sum.Write(part[:n])
	u.n += int64(n)

	return n, end, nil
}

// whole puts a small blob by one request. The signature covers the bytes'
// SHA-256, so the server takes these bytes or none.
func (u *upload) whole(ctx context.Context, data []byte) error {
	sum := hex.EncodeToString(u.sum.Sum(nil))
	o := u.options(map[string]string{noteSum: sum}, data)

	return u.name(ctx, func(ctx context.Context, once bool) error {
		if once {
			o.SetMatchETagExcept("*")
		}

		_, err := u.s.core.PutObject(ctx, u.s.bucket, u.s.object(u.key), bytes.NewReader(data), int64(len(data)), "", sum, o)

		return err
	})
}

// inParts sends one part while it reads the next. Nothing of it can be seen
// under the key before its last request, and when that is not reached all of it
// is given up.
func (u *upload) inParts(ctx context.Context, first []byte) (err error) {
	id, err := u.begin(ctx, first)
	if err != nil {
		return explain(ctx, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, u.abort(ctx, id))
		}
	}()

	second := u.s.parts.Get().(*[]byte)
	defer u.s.parts.Put(second)

	parts, err := u.send(ctx, id, first, *second)
	if err != nil {
		return err
	}

	return u.name(ctx, func(ctx context.Context, once bool) error {
		var o minio.PutObjectOptions
		if once {
			o.SetMatchETagExcept("*")
		}

		_, err := u.s.core.CompleteMultipartUpload(ctx, u.s.bucket, u.s.object(u.key), id, parts, o)

		return err
	})
}

func (u *upload) begin(ctx context.Context, data []byte) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	return u.s.core.NewMultipartUpload(ctx, u.s.bucket, u.s.object(u.key), u.options(nil, data))
}

// send sends the first part, which is full, and all that follow.
func (u *upload) send(ctx context.Context, id string, now, next []byte) ([]minio.CompletePart, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	var parts []minio.CompletePart
	for n, end := len(now), false; n > 0; {
		if len(parts) == maxParts {
			return nil, fmt.Errorf("it has more than the %d GiB that the store takes", int64(maxParts)*partSize>>30)
		}

		var (
			part   minio.ObjectPart
			failed error
		)

		sent := make(chan struct{})
		number := len(parts) + 1
		data := now[:n]

		go func() {
			defer close(sent)

			if part, failed = u.part(ctx, id, number, data); failed != nil {
				stop(failed) // so that no more is read for nothing
			}
		}()

		var unread error
		if n = 0; !end {
			if n, end, unread = u.fill(ctx, next); unread != nil {
				stop(unread)
			}
		}

		<-sent // its bytes are in use until then

		if failed != nil || unread != nil {
			return nil, context.Cause(ctx) // whichever was first
		}

		parts = append(parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
		now, next = next, now
	}

	return parts, nil
}

func (u *upload) part(ctx context.Context, id string, number int, data []byte) (minio.ObjectPart, error) {
	timed, cancel := context.WithTimeout(ctx, moving)
	defer cancel()

	sum := sha256.Sum256(data)
	part, err := u.s.core.PutObjectPart(timed, u.s.bucket, u.s.object(u.key), id, number, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})

	return part, explain(ctx, err)
}

// abort takes back what was sent, though the caller may be gone.
func (u *upload) abort(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()

	err := u.s.core.AbortMultipartUpload(ctx, u.s.bucket, u.s.object(u.key), id)
	if err == nil || code(err) == minio.NoSuchUpload {
		return nil
	}

	return fmt.Errorf("give up its parts, which go by themselves after a day: %w", err)
}

// name does the request that gives the blob its key, once for all who want it,
// and finds out what became of it when its answer does not say.
func (u *upload) name(ctx context.Context, request func(ctx context.Context, once bool) error) error {
	release, err := u.s.naming.hold(ctx, u.key)
	if err != nil {
		return err
	}
	defer release()

	if !u.s.atomic {
		if _, err := u.s.stat(ctx, u.key); err == nil {
			return blob.ErrExists
		}
	}

	for range conflicts {
		err = u.ask(ctx, request)
		if refused := status(err); refused != http.StatusConflict && refused != http.StatusPreconditionFailed {
			break
		}
	}

	return err
}

// ask does the request once. An answer that is lost is asked for again, and then
// a success looks like a key that is taken, or an upload that is unknown: so
// what did not go well is looked at.
func (u *upload) ask(ctx context.Context, request func(ctx context.Context, once bool) error) error {
	timed, cancel := context.WithTimeout(ctx, moving)
	defer cancel()

	err := request(timed, u.s.atomic)
	if err == nil {
		return nil
	}
	// A caller that went away meanwhile must still leave nothing, or a whole blob.
	object, missed := u.s.stat(context.WithoutCancel(ctx), u.key)
	switch {
	case missed == nil && noted(object, notePut) == u.word:
		return nil
	case missed == nil:
		return blob.ErrExists
	}

	return explain(ctx, err)
}

func (u *upload) options(notes map[string]string, data []byte) minio.PutObjectOptions {
	o := minio.PutObjectOptions{ContentType: mediaType(data), UserMetadata: map[string]string{notePut: u.word}, DisableContentSha256: true}
	for name, value := range notes {
		o.UserMetadata[name] = value
	}

	return o
}

// mediaType is what a link to the object says that it is. Whatever a browser
// could run is only bytes.
func mediaType(data []byte) string {
	kind := http.DetectContentType(data)
	for _, media := range []string{"video/", "image/", "audio/"} {
		if strings.HasPrefix(kind, media) {
			return kind
		}
	}

	return "application/octet-stream"
}
