// Package checkout implements the changes that customers and the operator make. Before
// it on a task's path, api passes it a catalog.RawRequest; checkout has catalog validate
// and price it, stores data URIs as files, and writes the hold, the task and its first
// event in one transaction. After that dispatch takes over the task. Cancelling,
// deleting, uploads, webhook endpoints, accounts, keys and grants are implemented here
// too. It never speaks HTTP, never fetches a URL and never talks to a supplier.
package checkout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
)

// Options are the dependencies and settings of a Checkout.
type Options struct {
	Store   *store.Store
	Catalog *catalog.Catalog
	Blobs   blob.Store
	Fetch   *fetch.Fetcher // only its Check is used: nothing is fetched here
	Samples []Sample

	// QueueFor returns the queue of a request, or a fault if no route can serve it.
	QueueFor func(catalog.Request) (queue string, err *fault.Fault)
	// PreviewFallback reports whether the request's route can only make previews, whether or
	// not the request asks for one; nil means never.
	PreviewFallback func(catalog.Request) bool

	Now    func() time.Time
	NewID  func(prefix string) string // "task" gives "task_01..."
	Random io.Reader                  // for secrets; nil: crypto/rand

	// Failpoint is called before and after the commit of a new task; crash tests use it to
	// kill the process. nil does nothing.
	Failpoint func(name string)

	FileRetention time.Duration // how long an uploaded file is kept; 0: 30 days
	Log           *slog.Logger
}

// Caller is the account that makes a request, and the API key that it uses.
type Caller struct {
	Account string
	Key     string   // the API key's id
	Models  []string // models that the key may use; empty: all
}

// Checkout implements the changes of customers and of the operator. It is safe for
// concurrent use.
type Checkout struct {
	Options
	samples  map[string]Sample
	mu       sync.Mutex
	keyLocks map[accountKey]chan struct{} // idempotency keys in use by a request; the channel is closed when it is done
}

const defaultFileRetention = 30 * 24 * time.Hour

// New returns a Checkout.
func New(o Options) *Checkout {
	if o.FileRetention <= 0 {
		o.FileRetention = defaultFileRetention
	}

	if o.Random == nil {
		o.Random = rand.Reader
	}

	if o.Failpoint == nil {
		o.Failpoint = func(string) {}
	}

	if o.PreviewFallback == nil {
		o.PreviewFallback = func(catalog.Request) bool { return false }
	}

	c := &Checkout{Options: o, samples: map[string]Sample{}, keyLocks: map[accountKey]chan struct{}{}}
	for _, s := range o.Samples {
		c.samples[s.ID] = s
	}

	return c
}

func (c *Checkout) millis() int64 { return c.Now().UnixMilli() }

// toFault converts errors of the store and of the blob store to faults: full storage, and
// unavailable. Faults, a cancelled context and all other errors are returned as they are.
func toFault(err error) error {
	var f *fault.Fault
	switch {
	case err == nil, errors.As(err, &f), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, store.ErrFull), errors.Is(err, blob.ErrFull):
		return fault.New(fault.CodeStorageFull, "", "The server's storage is full. Nothing was accepted or charged; repeat the request later.").WithCause(err)
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrUnavailable), errors.Is(err, blob.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return unavailable(err)
	}

	return err
}

func unavailable(err error) *fault.Fault {
	f := fault.New(fault.CodeUnavailable, "", "The server cannot accept this request at the moment. Nothing was accepted or charged; repeat it later.").WithCause(err)
	f.RetryAfter = 2 * time.Second

	return f
}

// invalid returns a fault about a field's value.
func invalid(param, format string, args ...any) *fault.Fault {
	return fault.New(fault.CodeInvalidValue, param, fmt.Sprintf(format, args...))
}
