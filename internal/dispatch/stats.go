package dispatch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// stats are the engine's metrics.
type stats struct {
	claims, submits, polls, rescues, orphans, parked, completed *prometheus.CounterVec
	shut, queued, unusable                                      *prometheus.GaugeVec
	submitSeconds                                               *prometheus.HistogramVec
	excess                                                      prometheus.Counter
	mismatches, lost                                            *prometheus.CounterVec
}

func newStats(r prometheus.Registerer) *stats {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "unireel", Name: name, Help: help}, labels)
	}

	s := &stats{
		claims:        counter("claims_total", "Tasks claimed for submission.", "route"),
		submits:       counter("submissions_total", "Submissions by what became of them.", "route", "outcome"),
		polls:         counter("polls_total", "Questions to suppliers by answer.", "upstream", "answer"),
		rescues:       counter("rescues_total", "Lost submissions by how they were resolved.", "result"),
		orphans:       counter("orphans_total", "Supplier tasks of our key that nobody ordered.", "upstream"),
		parked:        counter("parked_total", "Times an upstream was parked for key or money trouble.", "upstream"),
		completed:     counter("completed_total", "Tasks completed.", "upstream"),
		shut:          gauge("gate_shut", "1 while it is unknown whether a submission was taken.", "route"),
		queued:        gauge("lane_queued", "Tasks queued in a lane.", "lane"),
		unusable:      gauge("upstream_unusable", "1 while an upstream that was added cannot be made here.", "upstream"),
		submitSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "unireel", Name: "submit_seconds", Help: "Time of a submission."}, []string{"upstream"}),
		mismatches:    counter("result_mismatches_total", "Videos that differ from what was bought, by what differs.", "upstream", "what"),
		lost:          counter("results_lost_total", "Rendered videos that could not be collected before their links died.", "upstream"),
		excess:        prometheus.NewCounter(prometheus.CounterOpts{Namespace: "unireel", Name: "excess_micro_units_total", Help: "What suppliers billed above holds: never charged to customers."}),
	}
	if r != nil {
		r.MustRegister(s.claims, s.submits, s.polls, s.rescues, s.orphans, s.parked, s.completed, s.shut, s.queued, s.unusable, s.submitSeconds, s.excess)
		r.MustRegister(s.mismatches, s.lost)
	}

	return s
}

// Status is how an upstream stands, for the operator.
type Status struct {
	Name        string
	Provider    string
	Models      []string // the supplier's models that it has gates for
	InProgress  int
	Waiting     int64 // queued in lanes that it serves
	Limits      Limits
	Wish        store.Wish
	Order       int
	Weight      int
	Added       bool   // while a server ran; not in the configuration
	ParkedUntil int64  // unix milliseconds; 0 is not parked
	ParkedWhy   string // for the operator
	Shut        bool   // a submission is unsure: a gate waits for its rescue
	LastError   string
}

// Upstreams says how each upstream stands.
func (d *Dispatch) Upstreams(ctx context.Context) ([]Status, error) {
	lanes, err := d.Store.Lanes(ctx)
	if err != nil {
		return nil, err
	}

	unsure, err := d.unsureElsewhere(ctx)
	if err != nil {
		return nil, err
	}

	var list []Status
	for _, up := range d.roster.list() {
		s := Status{
			Name: up.Name, Provider: up.Kind.Name, Limits: up.Limits, Shut: unsure[up.Name], Wish: up.wished(),
			Order: max(1, up.Order), Weight: max(1, up.Weight), Added: up.setup != "",
		}
		for _, t := range d.seenElsewhere() {
			if plainName(t.Upstream) == up.Name && t.State == task.Running {
				s.InProgress++
			}
		}

		for _, route := range d.lanes.routes() {
			if name, model, _ := strings.Cut(route, "/"); name == up.Name && up.serves(model) {
				s.Models = append(s.Models, model)
			}
		}

		if t := d.keeper.tenure(up.lease); t != nil {
			s.InProgress += t.polls.size()

			s.Shut = s.Shut || t.shut()
			for _, g := range t.list() {
				if !slices.Contains(s.Models, g.model) {
					s.Models = append(s.Models, g.model)
				}
			}
		}

		for _, lane := range lanes {
			if slices.ContainsFunc(strings.Split(lane.ID, "|"), func(route string) bool { return strings.HasPrefix(route, up.Name+"/") }) {
				s.Waiting += lane.Queued
			}
		}

		up.mu.Lock()

		s.LastError = up.lastErr
		if up.parked.After(d.Now()) {
			s.ParkedUntil = up.parked.UnixMilli()
			s.ParkedWhy = up.parkedWhy
		}
		up.mu.Unlock()

		list = append(list, s)
	}

	return list, nil
}

// unsureElsewhere names the upstreams served by others at which it is being found
// out whether a submission was taken.
func (d *Dispatch) unsureElsewhere(ctx context.Context) (map[string]bool, error) {
	if d.Alone {
		return nil, nil
	}

	unsure := map[string]bool{}

	list, err := d.Store.Unfinished(ctx, task.Submitting, "", sweepAtOnce)
	if err != nil {
		return nil, err
	}

	for _, t := range list {
		if d.keeper.tenure(t.Upstream) != nil {
			continue
		}

		if a, err := d.Store.Attempt(ctx, t.ID, t.Attempt); err == nil && a.LostAt > 0 {
			unsure[plainName(t.Upstream)] = true
		}
	}

	return unsure, nil
}

// TestUpstream asks an upstream about a ticket that does not exist: an answer
// proves address and key. It opens a parked upstream again, and is told in the audit
// log for that.
func (d *Dispatch) TestUpstream(ctx context.Context, name string) error {
	up := d.upstream(name)
	if up == nil {
		return store.ErrNotFound
	}

	ctx, done := context.WithTimeout(ctx, pollTime)
	defer done()

	if _, err := up.Provider.Poll(ctx, "00000000-0000-0000-0000-000000000000"); err != nil {
		return errors.Join(errors.New("the supplier did not answer as it should"), err)
	}

	line := d.audited("test", name, nil)

	err := d.write(ctx, func(tx *store.Tx) error {
		if err := tx.Park(ctx, up.lease, 0, ""); err != nil {
			return err
		}

		return tx.NoteAudit(ctx, line)
	})
	if err != nil {
		return err
	}

	up.worked()
	d.roster.tell(func() {
		up.mu.Lock()
		defer up.mu.Unlock()

		up.parked = time.Time{}
		up.parkedWhy = "" // whoever else serves it sees it at its next look
	})

	return nil
}
