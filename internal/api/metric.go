package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

// requestMetrics counts requests and serves /metrics.
type requestMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	handler  http.Handler
}

func newRequestMetrics(a *API) (*requestMetrics, error) {
	m := &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "unireel_http_requests_total", Help: "HTTP requests served."}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "unireel_http_request_seconds", Help: "Time to respond; long polls wait on purpose.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method", "route"}),
	}
	if a.Registry == nil {
		return m, nil
	}

	for _, c := range []prometheus.Collector{m.requests, m.seconds, gaugeCollector{a}} {
		if err := a.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}

	m.handler = promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})

	return m, nil
}

// forRoute returns a function that counts the requests of one endpoint.
func (m *requestMetrics) forRoute(method, path string) func(status int, took time.Duration) {
	if method == "" {
		method = "other"
	}

	seconds := m.seconds.WithLabelValues(method, path)
	requests := m.requests.MustCurryWith(prometheus.Labels{"method": method, "route": path})

	return func(status int, took time.Duration) {
		requests.WithLabelValues(strconv.Itoa(status)).Inc()
		seconds.Observe(took.Seconds())
	}
}

// metrics is GET /metrics.
func (a *API) metrics(c *requestContext) error {
	if a.requestMetrics.handler == nil {
		return fault.New(fault.CodeUnknownPath, "", "This server exposes no metrics.")
	}

	a.requestMetrics.handler.ServeHTTP(&c.responseRecorder, c.req)

	return nil
}

const collectTimeout = 5 * time.Second

// gaugeCollector collects the values that are read only when /metrics is requested.
type gaugeCollector struct{ a *API }

// Describe sends no descriptions: only dispatch knows which gauges it has.
func (f gaugeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the values. A value that cannot be read is left out and logged.
func (f gaugeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()

	send := func(name, help string, labels prometheus.Labels, value float64) {
		m, err := prometheus.NewConstMetric(prometheus.NewDesc("unireel_"+name, help, nil, labels), prometheus.GaugeValue, value)
		if err != nil {
			f.a.Log.Error("metric", "name", name, "error", err)
			return
		}

		out <- m
	}

	counts, err := f.a.Store.CountStates(ctx)
	if err != nil {
		f.a.Log.Warn("count tasks for metrics", "error", err)
	}

	for _, s := range task.States() {
		if !s.Final() && err == nil {
			send("tasks", "Unfinished tasks by state.", prometheus.Labels{"state": string(s)}, float64(counts[s]))
		}
	}

	queues, err := f.a.Store.Queues(ctx)
	if err != nil {
		f.a.Log.Warn("read queues for metrics", "error", err)
	}

	for _, q := range queues {
		send("queue_depth", "Tasks that wait in a queue.", prometheus.Labels{"queue": q.ID}, float64(q.Queued))
	}

	total, err := f.a.Store.Totals(ctx)
	if err != nil {
		f.a.Log.Warn("read ledger totals for metrics", "error", err)
	} else {
		for kind, amount := range map[string]money.Amount{"granted": total.Granted, "spent": total.Spent, "held": total.Held} {
			send("ledger_micro_units", "The ledger over all accounts, in millionths of the currency.",
				prometheus.Labels{"kind": kind, "currency": f.a.Catalog.Currency()}, float64(amount))
		}
	}

	for _, g := range f.a.Engine.Gauges() {
		send(g.Name, "A value measured by dispatch.", g.Labels, g.Value)
	}
}
