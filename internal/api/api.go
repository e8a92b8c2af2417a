// Package api serves HTTP. routes.go lists every endpoint in one line each, and there
// is a file per resource. uniall.go, openai.go and dashscope.go decode the request
// bodies of the three dialects; error.go is the only place that knows HTTP status codes.
//
// The package decodes a request into a catalog.RawRequest, passes every change to
// checkout, reads directly from store and blob, and uses Engine for what only dispatch
// knows. It never changes a row itself, never calls a supplier and never exposes
// internals in an error.
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

// Options is what New needs.
type Options struct {
	Store    *store.Store
	Catalog  *catalog.Catalog
	Checkout *checkout.Checkout
	Blobs    blob.Store
	Engine   Engine

	PublicURL  string // no trailing slash; "" means the Host of each request
	LinkSecret []byte // signs links; at least 32 bytes that stay the same across restarts
	Now        func() time.Time
	NewID      func(prefix string) string
	Log        *slog.Logger
	Registry   *prometheus.Registry // nil: no metrics, no /metrics
	CORS       []string             // web origins that may call with a key; "*" means all
	ServeAdmin bool                 // the customers' listener also serves the operator's endpoints, to keys with the scope admin
	MaxUpload  int64                // bytes of one uploaded file; 0 means 512 MiB
	RateCreate account.Rate         // limits requests that create videos, for each key without its own rate
	RateRead   account.Rate         // limits all other requests, likewise
	Version    string
	Ready      func(context.Context) error // nil means the store's Ping
	// PreviewNote returns a sentence for people when this installation only makes
	// previews, "" when it makes real videos.
	PreviewNote func() string
}

// Engine provides what only dispatch knows.
type Engine interface {
	// Live returns the current status of a task; false when nothing is known beyond its
	// row.
	Live(task string) (LiveStatus, bool)
	UpstreamAdmin
	// Thumbnail creates a completed task's thumbnail if it has none yet. It returns
	// store.ErrNotFound when there is no video to take it from.
	Thumbnail(ctx context.Context, task string) error
	// Gauges returns dispatch's values for /metrics.
	Gauges() []Gauge
}

// UpstreamAdmin is what an operator can see and change of upstreams.
type UpstreamAdmin interface {
	// Upstreams returns the status of every configured upstream.
	Upstreams(ctx context.Context) ([]UpstreamStatus, error)
	// TestUpstream asks an upstream whether it would serve; the error is for the operator.
	// ErrNoUpstream means that there is none with this name.
	TestUpstream(ctx context.Context, name string) error
	// AddUpstream adds an upstream that a JSON object describes with the configuration's
	// keys. A *fault.Fault says what is wrong with it.
	AddUpstream(ctx context.Context, setup []byte) (UpstreamStatus, error)
	// SetDesiredState records what the operator wants of an upstream: "pause", "resume",
	// "drain" or "remove". It returns ErrNoUpstream, or a *fault.Fault that says why the
	// change is impossible.
	SetDesiredState(ctx context.Context, name, action string) error
	// Routes lists each model's routes to upstreams, in order of preference. A
	// *fault.Fault means that the routes are not known.
	Routes(ctx context.Context) ([]ModelRoutes, error)
}

// LiveStatus is what is known of an unfinished task beyond its row.
type LiveStatus struct {
	Progress int64 // 0-99
	Position int64 // in its queue, from 1; 0 means unknown
	ETA      int64 // unix seconds of the likely end; 0 means unknown
}

// UpstreamStatus is the status of one upstream, for the operator.
type UpstreamStatus struct {
	Name           string         `json:"name"`
	Provider       string         `json:"provider"`
	Models         []string       `json:"models"`
	InProgress     int64          `json:"in_progress"`
	Waiting        int64          `json:"waiting"`
	Limits         UpstreamLimits `json:"limits"`
	Order          int            `json:"order"`
	Weight         int            `json:"weight"`
	DesiredState   string         `json:"desired_state"`   // "", "paused", "draining", "removed"
	Added          bool           `json:"added"`           // at run time: it is in no configuration file
	SuspendedUntil int64          `json:"suspended_until"` // unix seconds; 0 means not suspended
	Submissions    string         `json:"submissions"`     // "open", or why nothing is submitted
	LastError      string         `json:"last_error"`
}

// UpstreamLimits are the limits of an upstream for one model.
type UpstreamLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second"`
	InProgress       int     `json:"in_progress"`
	QueriesPerSecond float64 `json:"queries_per_second"`
}

// Gauge is one value that dispatch measures. Name has no prefix and uses underscores.
type Gauge struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// API serves HTTP. It is safe for concurrent use.
type API struct {
	Options
	keys           *keyCache
	rateLimits     *limit.Buckets
	tasks          *taskCache
	tail           *tailer
	requestMetrics *requestMetrics
	spec           func() ([]byte, error) // openapi.yaml as JSON
	manual         func() (*manual.Manual, error)
	page           homePage
	draining       chan struct{}
	drain          sync.Once
	streams        sync.WaitGroup // event streams on hijacked connections
}

const defaultMaxUpload = 512 << 20

// New returns an API. An error says what is wrong with the options.
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

	a := &API{Options: o, spec: sync.OnceValues(func() ([]byte, error) { return manual.SpecJSON(openapi) }), draining: make(chan struct{})}
	a.manual = sync.OnceValues(a.newManual)
	a.keys = newKeyCache(o.Store, o.Now)
	a.rateLimits = newRateLimits()
	a.tasks = newTaskCache(o.Store, taskCacheSize)
	a.tail = newTailer(o.Store, o.Log)

	var err error
	if a.requestMetrics, err = newRequestMetrics(a); err != nil {
		return nil, err
	}

	if a.page, err = newHomePage(); err != nil {
		return nil, err
	}

	return a, nil
}

// Handler serves customers, and operators who have a key with the scope admin if
// ServeAdmin is set.
func (a *API) Handler() http.Handler {
	endpoints := a.routes()
	if a.ServeAdmin {
		endpoints = append(endpoints, withActor(a.adminRoutes())...)
	}

	return a.cors(a.newMux(endpoints))
}

// Admin serves the operator's endpoints and requires no key. Serve it only on the data
// folder's socket, where nobody else can connect.
func (a *API) Admin() http.Handler {
	endpoints := withActor(a.adminRoutes())
	for i := range endpoints {
		endpoints[i].access = accessPublic
	}

	return a.newMux(endpoints)
}

// Drain makes every waiting poll respond with what is known now. Call it before the
// server's Shutdown, which would otherwise wait for the polls.
func (a *API) Drain() { a.drain.Do(func() { close(a.draining) }) }

// WaitStreams waits, after Drain, until the event streams have ended or ctx is done. Their
// connections were hijacked from the server, so Shutdown does not wait for them.
func (a *API) WaitStreams(ctx context.Context) {
	done := make(chan struct{})

	go func() { a.streams.Wait(); close(done) }()

	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Close stops what the API watches in the store.
func (a *API) Close() {
	a.Drain()
	a.tail.close()
	a.tasks.close()
}
