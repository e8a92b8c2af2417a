package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// metrics are the metrics of the dispatch engine.
type metrics struct {
	claims        *prometheus.CounterVec
	submissions   *prometheus.CounterVec
	submitSeconds *prometheus.HistogramVec
	polls         *prometheus.CounterVec
	recoveries    *prometheus.CounterVec
	orphans       *prometheus.CounterVec
	completed     *prometheus.CounterVec
	mismatches    *prometheus.CounterVec
	resultsLost   *prometheus.CounterVec
	overbilled    prometheus.Counter
	suspensions   *prometheus.CounterVec
	unusable      *prometheus.GaugeVec
	blocked       *prometheus.GaugeVec
	queued        *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}

	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}

	m := &metrics{
		claims:      counter("claims_total", "Tasks claimed for submission.", "route"),
		submissions: counter("submissions_total", "Submissions to suppliers, by outcome.", "route", "outcome"),
		polls:       counter("polls_total", "Polls of supplier tasks, by result: a phase, or error when there was no valid answer.", "upstream", "result"),
		recoveries:  counter("recoveries_total", "Submissions with an unknown outcome, by how they were resolved.", "result"),
		orphans:     counter("orphans_total", "Tasks that the supplier lists for our key and that no submission attempt accounts for.", "upstream"),
		suspensions: counter("suspensions_total", "Times an upstream was suspended, because of its key, account, balance or repeated failures.", "upstream"),
		completed:   counter("completed_total", "Tasks completed.", "upstream"),
		blocked:     gauge("submissions_blocked", "1 while submissions to the route are blocked because the outcome of one is unknown.", "route"),
		queued:      gauge("queue_tasks", "Tasks waiting in a queue.", "queue"),
		unusable:    gauge("upstream_invalid", "1 while an upstream that was added at run time cannot be used by this server.", "upstream"),
		submitSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "unireel",
			Name:      "submit_seconds",
			Help:      "Seconds from the start of a submission to its answer, by upstream.",
		}, []string{"upstream"}),
		mismatches:  counter("result_mismatches_total", "Videos that differ from the request, by the property that differs.", "upstream", "property"),
		resultsLost: counter("results_lost_total", "Rendered videos that could not be downloaded before their links expired.", "upstream"),
		overbilled: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "unireel",
			Name:      "overbilled_micro_units_total",
			Help:      "Micro-units that suppliers billed above the holds; customers are not charged for them.",
		}),
	}
	if r != nil {
		r.MustRegister(
			m.claims, m.submissions, m.submitSeconds, m.polls, m.recoveries, m.orphans, m.completed, m.mismatches, m.resultsLost,
			m.overbilled, m.suspensions, m.unusable, m.blocked, m.queued,
		)
	}

	return m
}

// Status is the state of an upstream, for the operator.
type Status struct {
	Name           string
	Provider       string
	Models         []string // the supplier's models that it has submitters or queued tasks for
	InProgress     int
	Queued         int64 // in queues that it serves
	Limits         Limits
	DesiredState   store.DesiredState
	Order          int
	Weight         int
	Added          bool   // at run time; it is not in the configuration
	SuspendedUntil int64  // unix milliseconds; 0: not suspended
	SuspendReason  string // for the operator
	Blocked        bool   // a submission has an unknown outcome: its route submits nothing until it is recovered
	LastError      string
}

// Upstreams returns the state of each upstream.
func (d *Dispatch) Upstreams(ctx context.Context) ([]Status, error) {
	queues, err := d.Store.Queues(ctx)
	if err != nil {
		return nil, err
	}

	uncertain, err := d.uncertainAtPeers(ctx)
	if err != nil {
		return nil, err
	}

	var list []Status
	for _, up := range d.registry.list() {
		status := Status{
			Name:         up.Name,
			Provider:     up.Driver.Name,
			Limits:       up.Limits,
			Blocked:      uncertain[up.Name],
			DesiredState: up.desiredState(),
			Order:        max(1, up.Order),
			Weight:       max(1, up.Weight),
			Added:        up.setup != "",
		}

		for _, t := range d.peerTasks() {
			if configuredName(t.Upstream) == up.Name && t.State == task.Running {
				status.InProgress++
			}
		}

		for _, route := range d.queues.routes() {
			if route.Upstream == up.Name && up.allowsModel(route.Model) {
				status.Models = append(status.Models, route.Model)
			}
		}

		if w := d.coordinator.worker(up.leaseID); w != nil {
			status.InProgress += w.poller.count()
			status.Blocked = status.Blocked || w.hasUncertain()

			for _, s := range w.submitterList() {
				if !slices.Contains(status.Models, s.model) {
					status.Models = append(status.Models, s.model)
				}
			}
		}

		for _, queue := range queues {
			if task.ParseRouteSet(queue.ID).Includes(up.Name) {
				status.Queued += queue.Queued
			}
		}

		up.mu.Lock()
		status.LastError = up.lastErr

		if up.suspended.After(d.Now()) {
			status.SuspendedUntil = up.suspended.UnixMilli()
			status.SuspendReason = up.suspendReason
		}
		up.mu.Unlock()

		list = append(list, status)
	}

	return list, nil
}

// uncertainAtPeers returns the names of the upstreams, served by other replicas, at which
// a submission has an unknown outcome.
func (d *Dispatch) uncertainAtPeers(ctx context.Context) (map[string]bool, error) {
	if d.SingleInstance {
		return nil, nil
	}

	uncertain := map[string]bool{}

	list, err := d.Store.Unfinished(ctx, task.Submitting, "", sweepBatch)
	if err != nil {
		return nil, err
	}

	for _, t := range list {
		if d.coordinator.worker(t.Upstream) != nil {
			continue
		}

		if a, err := d.Store.Attempt(ctx, t.ID, t.Attempt); err == nil && a.UncertainAt > 0 {
			uncertain[configuredName(t.Upstream)] = true
		}
	}

	return uncertain, nil
}

// TestUpstream polls a task that does not exist: a valid answer proves that the address
// and the key are right. It ends a suspension of the upstream, which is why it leaves a
// line in the audit log.
func (d *Dispatch) TestUpstream(ctx context.Context, name string) error {
	up := d.upstream(name)
	if up == nil {
		return store.ErrNotFound
	}

	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()

	if _, err := up.Provider.Poll(ctx, "00000000-0000-0000-0000-000000000000"); err != nil {
		return errors.Join(errors.New("the supplier's answer was not the expected one"), err)
	}

	auditLine := d.newAuditLine("test", name, nil)

	err := d.write(ctx, func(tx *store.Tx) error {
		if err := tx.SuspendUpstream(ctx, up.leaseID, 0, ""); err != nil {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	if err != nil {
		return err
	}

	up.resetBreaker()
	d.registry.applyLocal(func() {
		up.mu.Lock()
		defer up.mu.Unlock()

		up.suspended = time.Time{}
		up.suspendReason = "" // if another replica serves the upstream, it reads this when it next renews its leases
	})

	return nil
}
