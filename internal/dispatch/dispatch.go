// Package dispatch carries a task from its creation to its end: it fetches and measures
// the references (prepare), claims the next task of a queue in fair order when a supplier
// has room (claim), submits it (submit), polls it until it is rendered (poll), stores the
// video (collect), and finds out after a crash or a lost answer what the supplier
// accepted (recovery). Package checkout comes before it; the API's reads and the webhooks
// come after it. Dispatch changes a task only through task.Advance and the store's claim.
// It never decides a price or who may do what.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Limits are the limits of an account at a supplier.
type Limits struct {
	SubmitsPerSecond float64 // for each model
	InProgress       int     // for each model
	QueriesPerSecond float64 // all models together
}

// Upstream is one configured account at a supplier, ready to use. Each upstream has one
// key, so that its name stands for the supplier account too.
type Upstream struct {
	Name     string
	Driver   provider.Driver
	Provider provider.Provider
	Models   []string // the supplier's models that it may serve; empty: all
	Limits   Limits
	Order    int     // 0 and 1 come first; a later one serves what the earlier ones have no room for
	Weight   int     // share among upstreams of the same order; 0 counts as 1
	Routes   []Route // what it serves of our models; empty: everything that their files list for its provider
}

// Route is what an operator configured for some of our models at one upstream.
type Route struct {
	Models     []string           // ids and family names; empty: all
	Capability catalog.Capability // SupplierModel "": the name in the model's file
	Order      int                // 0: the upstream's
	Weight     int                // 0: the upstream's
}

// SampleSource reads the sample references, which need no network.
type SampleSource interface {
	// Sample returns the name of a reference that is part of the program and how to open
	// it, or false.
	Sample(id string) (name string, open func() (blob.Reader, error), ok bool)
}

// Options are what dispatch needs from outside.
type Options struct {
	Store     *store.Store
	Blobs     blob.Store
	Fetch     *fetch.Fetcher
	Catalog   *catalog.Catalog
	Samples   SampleSource
	Upstreams []Upstream
	// BuildUpstream builds an upstream from the setup with which an operator added it; nil:
	// none can be added.
	BuildUpstream func(setup string) (Upstream, error)
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
	Now            func() time.Time
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
	prepareWorkers      = 8
	collectWorkers      = 8
	maxThumbnailRenders = 2
	maxConcurrentPolls  = 64
)

// Dispatch is the engine.
type Dispatch struct {
	Options
	owner        string // the owner of this process's leases: random for each start
	registry     *upstreamRegistry
	coordinator  *coordinator
	metrics      *metrics
	durations    *durationHistory
	live         *liveState
	queues       *queueSet
	peerTaskList atomic.Pointer[[]task.Task] // in progress at upstreams that other replicas serve
	nextPeerRead time.Time                   // only the snapshots use it
	prepareQueue *workQueue
	collectQueue *workQueue

	mu sync.Mutex
	// thumbnailRuns are the thumbnails that are being made, by task; each takes one of the
	// thumbnailSlots.
	thumbnailRuns  map[string]chan struct{}
	thumbnailSlots chan struct{}
	goroutines     sync.WaitGroup
}

// New returns an engine with the upstreams in the options and those that operators added
// to an earlier one: QueueFor knows all of them at once. Run starts it.
func New(ctx context.Context, o Options) (*Dispatch, error) {
	if len(o.Upstreams) == 0 {
		return nil, errors.New("dispatch: no upstream is configured")
	}

	if o.FailPoint == nil {
		o.FailPoint = func(string) {}
	}

	d := &Dispatch{
		Options:        o,
		owner:          o.NewID("owner"),
		live:           newLiveState(),
		queues:         newQueueSet(),
		thumbnailRuns:  map[string]chan struct{}{},
		thumbnailSlots: make(chan struct{}, maxThumbnailRenders),
	}
	d.coordinator = newCoordinator(d)
	d.durations = newDurationHistory(o.Store, !o.SingleInstance)
	d.metrics = newMetrics(o.Registry)
	d.prepareQueue = newWorkQueue()
	d.collectQueue = newWorkQueue()
	d.registry = &upstreamRegistry{unusable: map[string]string{}}

	for _, u := range o.Upstreams {
		if err := d.register(u, ""); err != nil {
			return nil, err
		}
	}

	return d, d.registerAdded(ctx)
}

// Run runs the engine until ctx ends. Then it claims and prepares nothing new, hands its
// upstreams over, each as soon as its submissions in flight are answered, and returns.
func (d *Dispatch) Run(ctx context.Context) error {
	changes, stopWatching := d.Store.WatchAll(4096)
	defer stopWatching()

	// Serving goes on after ctx ended: the answers of submissions in flight must be handled.
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()

	if err := d.loadState(serveCtx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop: no failure
		}

		return err
	}

	var coordinating sync.WaitGroup
	coordinating.Go(func() { d.coordinator.run(serveCtx) })
	d.spawn(serveCtx, func(ctx context.Context) { d.watchChanges(ctx, changes) })
	d.spawn(serveCtx, d.runSnapshots)
	d.spawn(serveCtx, d.runResync)
	d.spawn(serveCtx, d.runRefresh)

	for range prepareWorkers {
		d.spawn(ctx, func(ctx context.Context) { d.prepareQueue.run(ctx, d.prepare) })
	}

	for range collectWorkers {
		d.spawn(serveCtx, func(ctx context.Context) { d.collectQueue.run(ctx, d.collect) })
	}

	<-ctx.Done()
	d.coordinator.shutdown(serveCtx)
	stopServing()
	d.goroutines.Wait()
	coordinating.Wait()

	return nil
}

// loadState reads which queues exist and, where no other process can serve, revokes the
// leases of a dead one.
func (d *Dispatch) loadState(ctx context.Context) error {
	for _, up := range d.registry.list() {
		if up.setup == "" && up.desiredState() == store.DesiredRemoved { // an operator removed an upstream of this name before it was configured
			if err := d.SetDesiredState(ctx, up.Name, store.DesiredServing); err != nil {
				return fmt.Errorf("resume the upstream %s: %w", up.Name, err)
			}
		}
	}

	if d.SingleInstance {
		err := d.Store.Write(ctx, func(tx *store.Tx) error {
			for _, up := range d.registry.list() {
				if err := tx.RevokeLease(ctx, up.leaseID); err != nil {
					return err
				}
			}

			return tx.RevokeLease(ctx, store.BackgroundLease)
		})
		if err != nil {
			return fmt.Errorf("revoke the leases of an earlier process: %w", err)
		}
	}

	queues, err := d.Store.Queues(ctx)
	if err != nil {
		return fmt.Errorf("read the queues: %w", err)
	}

	for _, queue := range queues {
		d.queues.add(queue.ID)
	}

	return nil
}

func (d *Dispatch) spawn(ctx context.Context, f func(context.Context)) {
	d.goroutines.Go(func() { f(ctx) })
}

// watchChanges passes every committed change to onChange until ctx ends.
func (d *Dispatch) watchChanges(ctx context.Context, changes <-chan store.Change) {
	for {
		select {
		case <-ctx.Done():
			return
		case change := <-changes:
			d.onChange(ctx, change)
		}
	}
}

func (d *Dispatch) onChange(ctx context.Context, change store.Change) {
	switch {
	case change.Released != "":
		d.coordinator.wake()
	case change.Task == "": // some changes were missed
		d.coordinator.wake()
		d.startSubmitters()
	case change.State == task.Preparing:
		d.prepareQueue.add(change.Task)
	case change.State == task.Queued:
		d.startSubmitters() // its queue may be new
	case change.State == task.Submitting:
		d.wakeSubmitters((*submitter).hasDeferred)
	case change.State == task.Running:
		d.forwardCancel(ctx, change.Task)

		for _, w := range d.coordinator.workers() {
			w.wakeUncertain(change.Task)
		}
	case change.State.Final():
		d.live.forget(change.Task)
		d.wakeSubmitters(func(*submitter) bool { return true })
	}
}

// startSubmitters starts and wakes the submitters of all known queues' routes.
func (d *Dispatch) startSubmitters() {
	routes := d.queues.routes()
	for _, w := range d.coordinator.workers() {
		w.startSubmitters(routes)
	}
}

func (d *Dispatch) wakeSubmitters(match func(*submitter) bool) {
	for _, w := range d.coordinator.workers() {
		for _, s := range w.submitterList() {
			if match(s) {
				s.wake()
			}
		}
	}
}

// upstream returns the upstream with this name or lease id, or nil.
func (d *Dispatch) upstream(id string) *upstream {
	for _, up := range d.registry.list() {
		if up.Name == configuredName(id) {
			return up
		}
	}

	return nil
}

// upstreamByLease returns the upstream that this process can serve under a lease of this
// id, or nil.
func (d *Dispatch) upstreamByLease(id string) *upstream {
	for _, up := range d.registry.list() {
		if up.leaseID == id {
			return up
		}
	}

	return nil
}

// configuredName returns the name of an upstream in the configuration: its lease id
// without the process of an embedded renderer.
func configuredName(id string) string {
	return task.ParseUpstreamID(id).Name
}

func (u *upstream) allowsModel(model string) bool {
	return len(u.Models) == 0 || slices.Contains(u.Models, model)
}

// write is for writes that no customer waits for.
func (d *Dispatch) write(ctx context.Context, f func(*store.Tx) error) error {
	d.FailPoint("writing")
	return d.Store.WriteBackground(ctx, f)
}

// writeNow is for leases, which must not wait behind the background's writes.
func (d *Dispatch) writeNow(ctx context.Context, f func(*store.Tx) error) error {
	d.FailPoint("writing")
	return d.Store.Write(ctx, f)
}

func (d *Dispatch) nowMillis() int64 { return d.Now().UnixMilli() }

// sleep waits for the delay, and returns false if ctx ended first.
func sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()

	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
