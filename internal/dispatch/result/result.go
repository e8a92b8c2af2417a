// Package result makes rendered videos ours: it downloads them before the supplier's link
// dies, checks what they are, moves their index to the front, stores them, and completes
// their tasks. It also makes thumbnails, when somebody asks for one. The worker of the
// task's upstream comes before it; the API's reads and the webhooks come after it.
package result

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/workqueue"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
)

// Upstream is a configured upstream, as far as its results depend on it.
type Upstream struct {
	Provider     provider.Provider
	Capabilities provider.Capabilities
}

// Worker serves an upstream in this process, while its lease is held.
type Worker interface {
	record.Lease
	// Hold keeps the lease from being released until release is called; ctx ends with the
	// lease. ok is false when the lease has ended.
	Hold() (ctx context.Context, release func(), ok bool)
	// Poll asks the supplier about a task, outside the schedule of polls. An error says
	// nothing about the task; it comes with how long to wait before the next try.
	Poll(ctx context.Context, id provider.RemoteID) (report provider.Report, wait time.Duration, err error)
}

// Upstreams finds the upstreams of tasks.
type Upstreams interface {
	// ResultUpstream returns the upstream with this id, and false when it is not configured.
	ResultUpstream(id string) (Upstream, bool)
	// ResultWorker returns the worker that serves the upstream here, and false if none does.
	ResultWorker(id string) (Worker, bool)
}

// Options are what a Collector needs.
type Options struct {
	Tasks      *record.Tasks
	Blobs      blob.Store
	Fetch      *fetch.Fetcher
	Catalog    *catalog.Catalog
	Upstreams  Upstreams
	ScratchDir string        // for temporary files
	Retention  time.Duration // of videos
	// NotFoundConfirmation is the time between two answers by which a supplier says that it
	// does not know a task: record.NotFoundConfirmation, and less in tests.
	NotFoundConfirmation time.Duration
	// DeleteReferences deletes the references of a task that no longer needs them.
	DeleteReferences func(ctx context.Context, id string)
	// LeaseLost is called when the database says that another replica holds the lease.
	LeaseLost func()
	Registry  prometheus.Registerer
}

// Collector collects rendered videos.
type Collector struct {
	Options
	store   *store.Store
	metrics *metrics
	queue   *workqueue.Queue

	thumbnails     singleflight.Group // by task
	thumbnailSlots chan struct{}

	mu    sync.Mutex
	tries map[string]*try // by task
}

// try is what is known of a task that could not be collected yet. It does no harm that it
// is lost with the process.
type try struct {
	failures      int
	notFoundSince time.Time // when the supplier first said that it no longer has the rendered video
}

// NewCollector returns a collector; Run runs one of its workers.
func NewCollector(o Options) *Collector {
	return &Collector{
		Options: o,
		store:   o.Tasks.Store,
		metrics: newMetrics(o.Registry),
		queue:   workqueue.New("collect", o.Tasks.Clock),
		tries:   map[string]*try{},

		thumbnailSlots: make(chan struct{}, maxThumbnailRenders),
	}
}

// Add makes a worker collect a task.
func (c *Collector) Add(id string) { c.queue.Add(id) }

// Resume is Add, unless the task's next try is scheduled.
func (c *Collector) Resume(id string) {
	c.mu.Lock()
	scheduled := c.tries[id] != nil && c.tries[id].failures > 0
	c.mu.Unlock()

	if !scheduled {
		c.Add(id)
	}
}

// Run is one worker. It collects tasks until ctx ends.
func (c *Collector) Run(ctx context.Context) { c.queue.Run(ctx, c.collect) }

// Forget forgets the tries of a task that has ended.
func (c *Collector) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	delete(c.tries, id)
}

// addAfter is Add after a delay.
func (c *Collector) addAfter(id string, delay time.Duration) {
	c.Tasks.Clock.Actor("collect "+id).AfterFunc(delay, func() { c.Add(id) })
}

// tryOf returns what is known of a task's tries. The caller holds mu.
func (c *Collector) tryOf(id string) *try {
	t := c.tries[id]
	if t == nil {
		t = &try{}
		c.tries[id] = t
	}

	return t
}

// countFailure counts a failed try and returns the number of tries that failed.
func (c *Collector) countFailure(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()

	t := c.tryOf(id)
	t.failures++

	return t.failures
}

// notFoundSince records that the supplier does not know a rendered task, and returns since
// when it has said so; the zero time clears the record.
func (c *Collector) notFoundSince(id string, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	t := c.tryOf(id)
	if t.notFoundSince.IsZero() || now.IsZero() {
		t.notFoundSince = now
	}

	return t.notFoundSince
}

// metrics are the metrics of results.
type metrics struct {
	completed  *prometheus.CounterVec
	mismatches *prometheus.CounterVec
	lost       *prometheus.CounterVec
	overbilled prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}

	m := &metrics{
		completed:  counter("completed_total", "Tasks completed.", "upstream"),
		mismatches: counter("result_mismatches_total", "Videos that differ from the request, by the property that differs.", "upstream", "property"),
		lost:       counter("results_lost_total", "Rendered videos that could not be downloaded before their links expired.", "upstream"),
		overbilled: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "unireel",
			Name:      "overbilled_micro_units_total",
			Help:      "Micro-units that suppliers billed above the holds; customers are not charged for them.",
		}),
	}
	if r != nil {
		r.MustRegister(m.completed, m.mismatches, m.lost, m.overbilled)
	}

	return m
}
