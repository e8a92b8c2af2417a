// Package blob is the socket for bytes: artifacts, uploaded files and fetched
// references. dispatch and checkout put, api reads, the sweep deletes. A blob is
// written whole or not at all, is never changed, and is named by whoever puts
// it; keys look like "<owner>/<name>".
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// Store keeps blobs. Its methods are safe for use at the same time.
type Store interface {
	// Put writes what r gives until its end, and returns how many bytes that were
	// and their SHA-256 (hex). When it returns without an error the bytes are
	// durable; with one, nothing is left under the key. A key that exists is
	// ErrExists. A full disk is ErrFull.
	Put(ctx context.Context, key string, r io.Reader) (Info, error)
	// Open reads a blob; the caller closes it. Seeking is for HTTP ranges. ctx is
	// for reading, too: it must last as long as the reader is used.
	Open(ctx context.Context, key string) (Reader, error)
	// Stat says how large and how old it is, or ErrNotFound. SHA256 may be "".
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes it; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// List calls visit for every blob, in no order, until it returns false.
	List(ctx context.Context, visit func(Info) bool) error
	// URL is a link that the holder can read the blob from directly, or "" when
	// the store has none to give and the server must pass the bytes on.
	URL(ctx context.Context, key string, valid time.Duration) (string, error)
}

// Reader reads one blob.
type Reader interface {
	io.ReadSeekCloser
	Size() int64 // bytes
}

// Info describes a blob.
type Info struct {
	Key     string
	Bytes   int64
	SHA256  string // hex; "" where the store would have to read the blob for it
	ModTime time.Time
}

// What can go wrong with a blob.
var (
	ErrNotFound = errors.New("no such blob")
	ErrExists   = errors.New("blob exists")
	ErrFull     = errors.New("no space left for blobs")
	ErrBadKey   = errors.New("not a blob key")
	// ErrUnavailable says that the store cannot be asked now, or will not answer:
	// the same call may go well later.
	ErrUnavailable = errors.New("the blob store is unavailable")
)
