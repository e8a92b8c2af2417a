// Package api is HTTP in and out: routes.go has every endpoint in one line each,
// a file per resource what they do, uniall.go, openai.go and dashscope.go the wire
// shapes that customers write, problem.go the only knowledge of HTTP status codes. It decodes a request
// into catalog's Ask, hands every change to checkout, reads straight from store
// and blob, and asks the Engine for what only dispatch knows. It never changes a
// row itself, never speaks to a supplier and never lets the inside out in an
// error.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/manual"
	"github.com/unireel/unireel/internal/store"
)

// Options is what the API is made of.
type Options struct {
	Store    *store.Store
	Catalog  *catalog.Catalog
	Checkout *checkout.Checkout
	Blobs    blob.Store
	Engine   Engine

	PublicURL  string // no trailing slash; "" takes each request's Host
	LinkSecret []byte // signs links; at least 32 bytes that outlive a restart
	Now        func() time.Time
	NewID      func(prefix string) string
	Log        *slog.Logger
	Registry   *prometheus.Registry // nil: no metrics, no /metrics
	CORS       []string             // web origins that may call with a key; "*" is all
	ServeAdmin bool                 // customers' listener serves the operator's endpoints too, to keys of the scope admin
	MaxUpload  int64                // bytes of one uploaded file; 0 is 512 MiB
	RateCreate account.Rate         // of each key that has no rate of its own: orders for videos
	RateRead   account.Rate         // and all other requests
	Version    string
	Ready      func(context.Context) error // nil: the store's Ping
	// PreviewNote is a sentence for people when this installation only makes
	// previews; "" when it makes the real thing.
	PreviewNote func() string
}

// Engine is what only dispatch knows.
type Engine interface {
	// Live is how a task stands by now; false when nothing is known beyond its row.
	Live(task string) (Live, bool)
	Suppliers
	// Thumbnail makes a completed task's thumbnail if it has none yet;
	// store.ErrNotFound says that there is no video to take it from.
	Thumbnail(ctx context.Context, task string) error
	// Gauges are figures for /metrics.
	Gauges() []Gauge
}

// Suppliers is what an operator sees and wishes of upstreams.
type Suppliers interface {
	// Upstreams says how every configured upstream is.
	Upstreams(ctx context.Context) ([]UpstreamStatus, error)
	// TestUpstream asks an upstream whether it would serve; the error is for the
	// operator. ErrNoUpstream says that there is none of this name.
	TestUpstream(ctx context.Context, name string) error
	// AddUpstream adds one, set up by a JSON object with the keys that the
	// configuration has; a *fault.Fault says what is wrong with it.
	AddUpstream(ctx context.Context, setup []byte) (UpstreamStatus, error)
	// WishUpstream notes what the operator wants of an upstream: "pause",
	// "resume", "drain" or "remove". ErrNoUpstream, or a *fault.Fault that says
	// why not.
	WishUpstream(ctx context.Context, name, wish string) error
	// Routes lists each model's ways to upstreams, the first first. A *fault.Fault
	// says that nobody knows.
	Routes(ctx context.Context) ([]ModelRoutes, error)
}

// Live is how an unfinished task stands beyond its row.
type Live struct {
	Progress int64 // 0-99
	Position int64 // in its lane, from 1; 0 is unknown
	ETA      int64 // unix seconds of the likely end; 0 is unknown
}

// UpstreamStatus is how one upstream is, for the operator.
type UpstreamStatus struct {
	Name        string         `json:"name"`
	Provider    string         `json:"provider"`
	Models      []string       `json:"models"`
	InProgress  int64          `json:"in_progress"`
	Waiting     int64          `json:"waiting"`
	Limits      UpstreamLimits `json:"limits"`
	Order       int            `json:"order"`
	Weight      int            `json:"weight"`
	Wish        string         `json:"wish"`         // "", "paused", "draining", "removed"
	Added       bool           `json:"added"`        // while a server ran: it is in no file
	ParkedUntil int64          `json:"parked_until"` // unix seconds; 0 is not parked
	Gate        string         `json:"gate"`         // "open", or why nothing is submitted
	LastError   string         `json:"last_error"`
}

// UpstreamLimits are what an upstream takes for one model.
type UpstreamLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second"`
	InProgress       int     `json:"in_progress"`
	QueriesPerSecond float64 `json:"queries_per_second"`
}

// Gauge is one figure of dispatch's. Name has no prefix and uses underscores.
type Gauge struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// API answers HTTP. It is safe for use at the same time.
type API struct {
	Options
	keys     *keyring
	paces    *limit.Buckets
	hot      *hotTasks
	tail     *tailer
	meter    *meter
	spec     func() ([]byte, error) // openapi.yaml as JSON
	manual   func() (*manual.Manual, error)
	page     homePage
	draining chan struct{}
	drain    sync.Once
	streams  sync.WaitGroup // of events, on connections of their own
}

const defaultMaxUpload = 512 << 20

// New makes an API. An error says what is wrong with the options.
func New(o Options) (*API, error) {
	if o.MaxUpload <= 0 {
		o.MaxUpload = defaultMaxUpload
	}

	if o.PreviewNote == nil {
		o.PreviewNote = func() string { return "" }
	}

	if o.Ready == nil {
		o.Ready = o.Store.Ping
	}

	a := &API{Options: o, spec: sync.OnceValues(func() ([]byte, error) { return manual.JSON(openapi) }), draining: make(chan struct{})}
	a.manual = sync.OnceValues(a.newManual)
	a.keys = newKeyring(o.Store, o.Now)
	a.paces = newPaces()
	a.hot = newHotTasks(o.Store, hotMost)
	a.tail = newTailer(o.Store, o.Log)

	var err error
	if a.meter, err = newMeter(a); err != nil {
		return nil, err
	}

	if a.page, err = newHomePage(); err != nil {
		return nil, err
	}

	return a, nil
}

// Handler serves customers, and operators who have a key for it.
func (a *API) Handler() http.Handler {
	list := a.routes()
	if a.ServeAdmin {
		list = append(list, audited(a.adminRoutes())...)
	}

	return a.cors(a.serve(list))
}

// Admin serves the operator. It asks for no key: serve it only where nobody else
// comes, on the data folder's socket.
func (a *API) Admin() http.Handler {
	list := audited(a.adminRoutes())
	for i := range list {
		list[i].needs = open
	}

	return a.serve(list)
}

// Drain ends every waiting poll with what is known now. Call it before the
// server's Shutdown, which would otherwise wait for them.
func (a *API) Drain() { a.drain.Do(func() { close(a.draining) }) }

// Ended waits, after Drain, until the streams of events have ended, or ctx does: their
// connections are not the server's any more, and its Shutdown does not wait for them.
func (a *API) Ended(ctx context.Context) {
	over := make(chan struct{})

	go func() { a.streams.Wait(); close(over) }()

	select {
	case <-over:
	case <-ctx.Done():
	}
}

// Close ends what the API watches in the store.
func (a *API) Close() {
	a.Drain()
	a.tail.close()
	a.hot.close()
}
