// Package checkout is where customers' and the operator's changes are decided
// and written; dispatch does the rest. api hands it an Ask; it lets catalog
// validate and price it, keeps what came inside the request as files, and writes
// hold, task and event in one transaction. From there the task is dispatch's.
// Cancelling, deleting, uploads, accounts, keys and grants are decided here too.
// It never speaks HTTP, never fetches and never talks to a supplier.
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

// Options is what checkout is made of.
type Options struct {
	Store   *store.Store
	Catalog *catalog.Catalog
	Blobs   blob.Store
	Fetch   *fetch.Fetcher // for Check alone: nothing is fetched here
	Samples []Sample

	// Route says which lane a request takes, or why nobody can serve it.
	Route func(catalog.Request) (lane string, err *fault.Fault)
	// StandIn says whether what serves the request only makes previews of it,
	// whether or not one was asked for; nil is never.
	StandIn func(catalog.Request) bool

	Now    func() time.Time
	NewID  func(prefix string) string // "task" gives "task_01..."
	Random io.Reader                  // for secrets; nil is the system's

	// Point is called at the crash table's lines about creating; tests make it
	// kill the process. nil does nothing.
	Point func(name string)

	FileRetention time.Duration // how long an uploaded file is kept; 0 is 30 days
	Log           *slog.Logger
}

// Caller is who asks: an account, through one of its keys.
type Caller struct {
	Account string
	Key     string   // the API key's id
	Models  []string // that the key may ask for; none is all
}

// Checkout decides and writes. It is safe for use at the same time.
type Checkout struct {
	Options
	samples map[string]Sample
	mu      sync.Mutex
	flights map[flight]chan struct{} // idempotency keys that are being worked on
}

const defaultFileRetention = 30 * 24 * time.Hour

// New makes a Checkout.
func New(o Options) *Checkout {
	if o.FileRetention <= 0 {
		o.FileRetention = defaultFileRetention
	}

	if o.Random == nil {
		o.Random = rand.Reader
	}

	if o.Point == nil {
		o.Point = func(string) {}
	}

	if o.StandIn == nil {
		o.StandIn = func(catalog.Request) bool { return false }
	}

	c := &Checkout{Options: o, samples: map[string]Sample{}, flights: map[flight]chan struct{}{}}
	for _, s := range o.Samples {
		c.samples[s.ID] = s
	}

	return c
}

func (c *Checkout) millis() int64 { return c.Now().UnixMilli() }

// explain makes a fault of what the store or the blobs could not do. A fault
// passes as it is.
func explain(err error) error {
	var f *fault.Fault
	switch {
	case err == nil, errors.As(err, &f), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, store.ErrFull), errors.Is(err, blob.ErrFull):
		return fault.New(fault.CodeDiskFull, "", "The server has no room left. Nothing was accepted or charged; repeat it later.").Because(err)
	case errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrUnavailable), errors.Is(err, blob.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return unavailable(err)
	}

	return err
}

func unavailable(err error) *fault.Fault {
	f := fault.New(fault.CodeUnavailable, "", "The server cannot take this at the moment. Nothing was accepted or charged; repeat it later.").Because(err)
	f.After = 2 * time.Second

	return f
}

// wrong makes a fault about a field's value.
func wrong(param, format string, args ...any) *fault.Fault {
	return fault.New(fault.CodeInvalidValue, param, fmt.Sprintf(format, args...))
}
