// Package dispatch carries a task from its creation to its end. It is an engine over
// collaborators, each with one part of the way: reference prepares a task, worker claims,
// submits and polls it at an upstream, result stores the video, lease decides which replica
// serves an upstream, upstream knows the suppliers, eta says how long it takes, cleanup
// deletes what is past its time, record writes down every step. The engine builds them,
// passes every committed change to the one that it concerns, and shuts them down in order.
//
// Package checkout comes before it; the API's reads and the webhooks come after it. It
// never decides a price or who may do what.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/cleanup"
	"github.com/unireel/unireel/internal/dispatch/eta"
	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/reference"
	"github.com/unireel/unireel/internal/dispatch/result"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/dispatch/worker"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
)

// Options are what the engine needs from outside.
type Options struct {
	Store     *store.Store
	Blobs     blob.Store
	Fetch     *fetch.Fetcher
	Catalog   *catalog.Catalog
	Samples   reference.SampleSource
	Upstreams []upstream.Config
	// BuildUpstream builds an upstream from the setup with which an operator added it; nil:
	// none can be added.
	BuildUpstream func(setup string) (upstream.Config, error)
	// OnUpstreamRemoved is called when an upstream that an operator added was removed; may be nil.
	OnUpstreamRemoved func(name string)
	// PreviewFallback says that previews may serve requests for real videos: true only while
	// no real upstream was ever configured. It ends with the first upstream that is added;
	// see PreviewFallbackActive.
	PreviewFallback bool
	// SingleInstance says that no other process can serve these upstreams: leases that a
	// dead process left are revoked at once.
	SingleInstance bool
	ReplicaName    string // by which operators know this process
	ScratchDir     string // for temporary files; its owner empties it at the start
	Clock          clock.Clock
	NewID          func(prefix string) string
	Log            *slog.Logger
	Registry       prometheus.Registerer
	Retention      time.Duration // of videos
	History        time.Duration // of events, attempts and requests, after the end of a task; 0: for ever
	TaskTimeout    time.Duration // for rendering, from the first accepted submission; for preparing and failed submissions, from the creation
	// FailPoint is called with its name at each line of the table of crashes; tests make it
	// end the process. nil does nothing.
	FailPoint func(name string)
	// RecoverySpeedup divides the times of a recovery, so that a test need not wait for
	// minutes; 0 and 1 leave them as they are.
	RecoverySpeedup int64
}

// How much runs at the same time.
const (
	prepareWorkers = 8
	collectWorkers = 8
	changeBacklog  = 4096 // committed changes that wait for the engine; more are missed, and found again
)

// Engine is the engine.
type Engine struct {
	Options
	owner      string // the owner of this process's leases: random for each start
	tasks      *record.Tasks
	upstreams  *upstream.Registry
	queues     *upstream.Queues
	leases     *lease.Coordinator
	workers    *worker.Factory
	references *reference.Preparer
	results    *result.Collector
	history    *eta.History
	board      *eta.Board
	snapshots  *eta.Snapshots
	cleanup    *cleanup.Sweeper
	goroutines sync.WaitGroup
}

// New returns an engine with the upstreams in the options and those that operators added
// to an earlier one: QueueFor knows all of them at once. Run starts it.
func New(ctx context.Context, o Options) (*Engine, error) {
	if len(o.Upstreams) == 0 {
		return nil, errors.New("dispatch: no upstream is configured")
	}

	if o.FailPoint == nil {
		o.FailPoint = func(string) {}
	}

	e := &Engine{Options: o, owner: o.NewID("owner"), queues: upstream.NewQueues(), board: eta.NewBoard()}
	e.wire()

	for _, c := range o.Upstreams {
		if err := e.upstreams.Register(c); err != nil {
			return nil, fmt.Errorf("dispatch: %w", err)
		}
	}

	return e, e.upstreams.LoadAdded(ctx)
}

// wire builds the collaborators. Each gets only what it needs; what it has to ask of the
// others goes through an interface of its own, which the engine implements (fleet.go).
func (e *Engine) wire() {
	writer := record.Writer{Store: e.Store, FailPoint: e.FailPoint}
	e.tasks = &record.Tasks{Writer: writer, Clock: e.Clock, NewID: e.NewID, Log: e.Log, TaskTimeout: e.TaskTimeout}
	e.history = eta.NewHistory(e.Store, !e.SingleInstance)

	// The name of this process, where others could do the same work.
	process := e.owner
	if e.SingleInstance {
		process = ""
	}

	e.upstreams = upstream.NewRegistry(upstream.Options{
		Writer:          writer,
		Catalog:         e.Catalog,
		Build:           e.BuildUpstream,
		OnRemoved:       e.OnUpstreamRemoved,
		StopServing:     func(leaseID string) { e.leases.Revoke(leaseID, errUpstreamRemoved) },
		PreviewFallback: e.PreviewFallback,
		Process:         process,
		Clock:           e.Clock,
		NewID:           e.NewID,
		Log:             e.Log,
		Registry:        e.Registry,
	})
	e.leases = lease.NewCoordinator(lease.Options{
		Writer:         writer,
		Engine:         leaseEngine{e},
		Owner:          e.owner,
		ReplicaName:    e.ReplicaName,
		SingleInstance: e.SingleInstance,
		Clock:          e.Clock,
		Log:            e.Log,
	})
	e.references = reference.New(reference.Options{
		Tasks:      e.tasks,
		Blobs:      e.Blobs,
		Fetch:      e.Fetch,
		Catalog:    e.Catalog,
		Samples:    e.Samples,
		QueueFor:   e.QueueFor,
		Replica:    process,
		ScratchDir: e.ScratchDir,
		NewID:      e.NewID,
		Clock:      e.Clock,
		Log:        e.Log,
		FailPoint:  e.FailPoint,
	})
	e.results = result.NewCollector(result.Options{
		Tasks:                e.tasks,
		Blobs:                e.Blobs,
		Fetch:                e.Fetch,
		Catalog:              e.Catalog,
		Upstreams:            fleet{e},
		ScratchDir:           e.ScratchDir,
		Retention:            e.Retention,
		NotFoundConfirmation: record.NotFoundConfirmation / time.Duration(max(1, e.RecoverySpeedup)),
		DeleteReferences:     e.references.Delete,
		LeaseLost:            e.leases.Wake,
		Registry:             e.Registry,
	})
	e.workers = worker.NewFactory(worker.Options{
		Tasks:           e.tasks,
		Blobs:           e.Blobs,
		Registry:        e.upstreams,
		Queues:          e.queues,
		History:         e.history,
		Board:           e.board,
		Collector:       e.results,
		Owner:           e.owner,
		BestRoute:       fleet{e}.bestRoute,
		LeaseLost:       e.leases.Wake,
		RecoverySpeedup: e.RecoverySpeedup,
		Metrics:         e.Registry,
	})
	e.snapshots = eta.NewSnapshots(eta.Options{
		Store:    e.Store,
		History:  e.history,
		Board:    e.board,
		Fleet:    fleet{e},
		Clock:    e.Clock,
		Log:      e.Log,
		Registry: e.Registry,
		SawQueue: e.queues.Add,
	})
	e.cleanup = cleanup.New(cleanup.Options{
		Tasks:     e.tasks,
		Blobs:     e.Blobs,
		Clock:     e.Clock,
		Log:       e.Log,
		History:   e.History,
		FailPoint: e.FailPoint,
		Further:   []cleanup.Sweep{{Name: "closed routes", Run: e.rerouteClosed}},
	})
}

// Run runs the engine until ctx ends. Then it claims and prepares nothing new, hands its
// upstreams over, each as soon as its submissions in flight are answered, and returns.
func (e *Engine) Run(ctx context.Context) error {
	changes, stopWatching := e.Store.WatchAll(changeBacklog)
	defer stopWatching()

	// Serving goes on after ctx ended: the answers of submissions in flight must be handled.
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	if err := e.loadState(serveCtx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop: no failure
		}

		return err
	}

	e.spawn(serveCtx, e.leases.Run)
	e.spawn(serveCtx, func(ctx context.Context) { e.watchChanges(ctx, changes) })
	e.spawn(serveCtx, func(ctx context.Context) { e.snapshots.Run(ctx, e.startSubmitters) })
	e.spawn(serveCtx, e.runResync)
	e.spawn(serveCtx, e.runRefresh)

	for range prepareWorkers {
		e.spawn(ctx, e.references.Run)
	}

	for range collectWorkers {
		e.spawn(serveCtx, e.results.Run)
	}

	<-ctx.Done()
	e.leases.Shutdown(serveCtx)
	stopServing()
	e.goroutines.Wait()
	e.leases.Wait()

	return nil
}

// loadState reads which queues exist and, where no other process can serve, revokes the
// leases of a dead one.
func (e *Engine) loadState(ctx context.Context) error {
	for _, up := range e.upstreams.List() {
		if !up.Added() && up.State().Desired == store.DesiredRemoved { // an operator removed an upstream of this name before it was configured
			if err := e.SetDesiredState(ctx, up.Name, store.DesiredServing); err != nil {
				return fmt.Errorf("resume the upstream %s: %w", up.Name, err)
			}
		}
	}

	if e.SingleInstance {
		err := e.Store.Write(ctx, func(tx *store.Tx) error {
			for _, up := range e.upstreams.List() {
				if err := tx.RevokeLease(ctx, up.LeaseID); err != nil {
					return err
				}
			}

			return tx.RevokeLease(ctx, store.BackgroundLease)
		})
		if err != nil {
			return fmt.Errorf("revoke the leases of an earlier process: %w", err)
		}
	}

	queues, err := e.Store.Queues(ctx)
	if err != nil {
		return fmt.Errorf("read the queues: %w", err)
	}

	for _, queue := range queues {
		e.queues.Add(queue.ID)
	}

	return nil
}

func (e *Engine) spawn(ctx context.Context, f func(context.Context)) {
	e.goroutines.Go(func() { f(ctx) })
}

// QueueFor returns the queue in which the task of a request waits: that of exactly those
// routes that can serve it. A fault says that no route can, and which part of the request
// is the reason.
func (e *Engine) QueueFor(r catalog.Request) (string, *fault.Fault) {
	routes, f := e.upstreams.RoutesFor(r)
	if f != nil {
		return "", f
	}

	queue := routes.String()
	e.queues.Add(queue)

	return queue, nil
}

// Live returns what is known of an unfinished task beyond its row: its progress, 0 to 95;
// its position in its queue, from 1 (0: not queued, or beyond the first thousand); and when
// it is expected to end, in unix seconds (0: unknown). ok is false when nothing is known.
func (e *Engine) Live(id string) (progress, position, end int64, ok bool) { return e.board.Get(id) }

// Thumbnail makes a completed task's thumbnail if it has none yet. store.ErrNotFound says
// that there is no video.
func (e *Engine) Thumbnail(ctx context.Context, id string) error { return e.results.Thumbnail(ctx, id) }
