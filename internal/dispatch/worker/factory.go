package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/dispatch/eta"
	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Collector stores what was rendered.
type Collector interface {
	Add(id string)    // collects a task
	Resume(id string) // the same, unless its next try is scheduled
}

// Options are what every worker needs.
type Options struct {
	Tasks     *record.Tasks
	Blobs     blob.Store
	Registry  *upstream.Registry
	Queues    *upstream.Queues
	History   *eta.History
	Board     *eta.Board
	Collector Collector
	Owner     string // of this process's leases
	// BestRoute returns the route that the first task of a queue should take. The caller
	// has room for it on its own route.
	BestRoute func(queue, id string, own task.Route) task.Route
	// LeaseLost is called when the database may say that another replica holds the lease.
	LeaseLost func()
	// RecoverySpeedup divides the times of a recovery, so that a test need not wait for
	// minutes; 0 and 1 leave them as they are.
	RecoverySpeedup int64
	Metrics         prometheus.Registerer
}

// Factory makes the workers of a process.
type Factory struct{ env *environment }

// environment is what the parts of all workers share: the options, and the metrics.
type environment struct {
	Options
	store   *store.Store
	metrics *metrics
}

// NewFactory returns a factory and registers its metrics.
func NewFactory(o Options) *Factory {
	return &Factory{env: &environment{Options: o, store: o.Tasks.Store, metrics: newMetrics(o.Metrics)}}
}

// New returns the worker that serves an upstream under its lease; Run runs it.
func (f *Factory) New(l *lease.Lease, up *upstream.Upstream) *Worker { return newWorker(f.env, l, up) }

// now returns the time of day.
func (e *environment) now() time.Time { return e.Tasks.Clock.Now() }

// scaled divides a time of the recovery by RecoverySpeedup: it is shorter only in test builds.
func (e *environment) scaled(t time.Duration) time.Duration {
	return t / time.Duration(max(1, e.RecoverySpeedup))
}

// metrics are the metrics of the workers.
type metrics struct {
	claims        *prometheus.CounterVec
	submissions   *prometheus.CounterVec
	submitSeconds *prometheus.HistogramVec
	polls         *prometheus.CounterVec
	recoveries    *prometheus.CounterVec
	orphans       *prometheus.CounterVec
	blocked       *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}

	m := &metrics{
		claims:      counter("claims_total", "Tasks claimed for submission.", "route"),
		submissions: counter("submissions_total", "Submissions to suppliers, by outcome.", "route", "outcome"),
		polls:       counter("polls_total", "Polls of supplier tasks, by result: a phase, or error when there was no valid answer.", "upstream", "result"),
		recoveries:  counter("recoveries_total", "Submissions with an unknown outcome, by how they were resolved.", "result"),
		orphans:     counter("orphans_total", "Tasks that the supplier lists for our key and that no submission attempt accounts for.", "upstream"),
		blocked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "unireel",
			Name:      "submissions_blocked",
			Help:      "1 while submissions to the route are blocked because the outcome of one is unknown.",
		}, []string{"route"}),
		submitSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "unireel",
			Name:      "submit_seconds",
			Help:      "Seconds from the start of a submission to its answer, by upstream.",
		}, []string{"upstream"}),
	}
	if r != nil {
		r.MustRegister(m.claims, m.submissions, m.submitSeconds, m.polls, m.recoveries, m.orphans, m.blocked)
	}

	return m
}
