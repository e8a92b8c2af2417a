// Package blob defines the interface of the stores for bytes: artifacts, uploaded files
// and fetched references. dispatch and checkout put blobs, api reads them, cleanup
// deletes them. A blob is written whole or not at all and never changes. The caller of
// Put chooses the key; keys look like "<owner>/<name>".
package blob

import (
	"context"
	"errors"
	"io"
	"time"
)

// Store keeps blobs. Its methods are safe for concurrent use.
type Store interface {
	// Put writes everything that r returns, and returns the number of bytes and their
	// SHA-256 (hex). When it returns without an error the bytes are durable; with an
	// error, nothing is left under the key. ErrExists means that the key exists,
	// ErrFull that the disk is full.
	Put(ctx context.Context, key string, r io.Reader) (Info, error)
	// Open opens a blob; the caller closes it. Seeking is for HTTP ranges. Reading uses
	// ctx too: it must last as long as the reader is used.
	Open(ctx context.Context, key string) (Reader, error)
	// Stat returns a blob's size and age, or ErrNotFound. SHA256 may be "".
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes a blob. It is no error if there is none.
	Delete(ctx context.Context, key string) error
	// List calls visit for every blob, in no particular order, until visit returns false.
	List(ctx context.Context, visit func(Info) bool) error
	// URL returns a link from which its holder can read the blob directly, or "" if the
	// store has no such links and the server must pass the bytes on.
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

// Errors of a blob store.
var (
	ErrNotFound = errors.New("no such blob")
	ErrExists   = errors.New("blob exists")
	ErrFull     = errors.New("no space left for blobs")
	ErrBadKey   = errors.New("not a blob key")
	// ErrUnavailable means that the store cannot be reached or does not answer now: the
	// same call may succeed later.
	ErrUnavailable = errors.New("the blob store is unavailable")
)
