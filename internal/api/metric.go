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

// meter counts requests, and gathers the figures of store and dispatch when they
// are asked for.
type meter struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	handler  http.Handler
}

func newMeter(a *API) (*meter, error) {
	m := &meter{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "unireel_http_requests_total", Help: "Requests answered."}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "unireel_http_request_seconds", Help: "How long an answer took; long polls wait on purpose.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method", "route"}),
	}
	if a.Registry == nil {
		return m, nil
	}

	for _, c := range []prometheus.Collector{m.requests, m.seconds, figures{a}} {
		if err := a.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}

	m.handler = promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})

	return m, nil
}

// route prepares the counting of one endpoint.
func (m *meter) route(method, path string) func(status int, took time.Duration) {
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
func (a *API) metrics(c *call) error {
	if a.meter.handler == nil {
		return fault.New(fault.CodeNoPage, "", "This server gives no metrics.")
	}

	a.meter.handler.ServeHTTP(&c.answered, c.r)

	return nil
}

const figuresWait = 5 * time.Second

// figures is everything that is counted only when somebody looks.
type figures struct{ a *API }

// Describe says nothing: which figures there are is dispatch's to know.
func (f figures) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures. What cannot be read is left out and logged.
func (f figures) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), figuresWait)
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

	lanes, err := f.a.Store.Lanes(ctx)
	if err != nil {
		f.a.Log.Warn("read lanes for metrics", "error", err)
	}

	for _, l := range lanes {
		send("queue_depth", "Tasks that wait in a lane.", prometheus.Labels{"lane": l.ID}, float64(l.Queued))
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
		send(g.Name, "Of dispatch.", g.Labels, g.Value)
	}
}
