package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// errUpstreamRemoved is why a worker ends whose upstream an operator removed.
var errUpstreamRemoved = errors.New("the upstream was removed")

// Status is the state of an upstream, for the operator.
type Status struct {
	Name           string
	Provider       string
	Models         []string // the supplier's models that it has submitters or queued tasks for
	InProgress     int
	Queued         int64 // in queues that it serves
	Limits         upstream.Limits
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
func (e *Engine) Upstreams(ctx context.Context) ([]Status, error) {
	queues, err := e.Store.Queues(ctx)
	if err != nil {
		return nil, err
	}

	uncertain, err := e.uncertainAtPeers(ctx)
	if err != nil {
		return nil, err
	}

	var list []Status

	for _, up := range e.upstreams.List() {
		state := up.State()
		status := Status{
			Name:         up.Name,
			Provider:     up.Driver.Name,
			Limits:       up.Limits,
			Blocked:      uncertain[up.Name],
			DesiredState: state.Desired,
			Order:        max(1, up.Order),
			Weight:       max(1, up.Weight),
			Added:        up.Added(),
			LastError:    state.LastError,
		}

		if state.SuspendedUntil.After(e.Clock.Now()) {
			status.SuspendedUntil = state.SuspendedUntil.UnixMilli()
			status.SuspendReason = state.SuspendReason
		}

		for _, t := range e.snapshots.PeerTasks() {
			if task.ParseUpstreamID(t.Upstream).Name == up.Name && t.State == task.Running {
				status.InProgress++
			}
		}

		for _, route := range e.queues.Routes() {
			if route.Upstream == up.Name && up.AllowsModel(route.Model) {
				status.Models = append(status.Models, route.Model)
			}
		}

		if w := (fleet{e}).worker(up.LeaseID); w != nil {
			status.InProgress += w.Tracked()
			status.Blocked = status.Blocked || w.Blocked()

			for _, model := range w.Models() {
				if !slices.Contains(status.Models, model) {
					status.Models = append(status.Models, model)
				}
			}
		}

		for _, queue := range queues {
			if task.ParseRouteSet(queue.ID).Includes(up.Name) {
				status.Queued += queue.Queued
			}
		}

		list = append(list, status)
	}

	return list, nil
}

// uncertainAtPeers returns the names of the upstreams, served by other replicas, at which
// a submission has an unknown outcome.
func (e *Engine) uncertainAtPeers(ctx context.Context) (map[string]bool, error) {
	if e.SingleInstance {
		return nil, nil
	}

	uncertain := map[string]bool{}

	list, err := e.Store.Unfinished(ctx, task.Submitting, "", resyncBatch)
	if err != nil {
		return nil, err
	}

	for _, t := range list {
		if (fleet{e}).worker(t.Upstream) != nil {
			continue
		}

		if a, err := e.Store.Attempt(ctx, t.ID, t.Attempt); err == nil && a.UncertainAt > 0 {
			uncertain[task.ParseUpstreamID(t.Upstream).Name] = true
		}
	}

	return uncertain, nil
}

// Routes lists every route for real videos, and for previews while the preview fallback is
// active, whether or not its upstream accepts tasks at the moment: by model and mode, and
// then by order.
func (e *Engine) Routes() []upstream.RouteInfo { return e.upstreams.Routes() }

// PreviewFallbackActive reports whether previews serve requests for real videos.
func (e *Engine) PreviewFallbackActive() bool { return e.upstreams.PreviewFallbackActive() }

// AddUpstream adds an upstream at run time, on every replica.
func (e *Engine) AddUpstream(ctx context.Context, setup string) (name string, err error) {
	name, err = e.upstreams.Add(ctx, setup)
	e.serveChanged(err)

	return name, err
}

// SetDesiredState records what the operator wants of an upstream.
func (e *Engine) SetDesiredState(ctx context.Context, name string, state store.DesiredState) error {
	err := e.upstreams.SetDesiredState(ctx, name, state)
	e.serveChanged(err)

	return err
}

// serveChanged serves an upstream that was changed without an error, or stops to.
func (e *Engine) serveChanged(err error) {
	if err == nil {
		e.leases.Wake()
		e.startSubmitters()
	}
}

// TestUpstream asks a supplier about a task that does not exist, and ends a suspension of
// the upstream if the answer proves that its address and key are right.
func (e *Engine) TestUpstream(ctx context.Context, name string) error {
	return e.upstreams.Test(ctx, name)
}
