// Package dispatch carries a task from its creation to its end: it fetches and
// measures references (prepare), takes the next task of a lane in fair order
// when a supplier has room (claim), orders the video (submit), asks until it is
// rendered (poll), makes the bytes ours (collect), and finds out after a crash
// or a lost answer what the supplier took (rescue). checkout comes before it,
// the api's reads and the webhooks after it. It changes a task only through
// task.Advance and the store's claim, and never decides a price or a right.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// Limits are what a supplier account takes.
type Limits struct {
	SubmitsPerSecond float64 // for each model
	InProgress       int     // for each model
	QueriesPerSecond float64 // all models together
}

// Upstream is one configured account at a supplier, ready to use. Its name
// stands for the supplier account too: one key for each.
type Upstream struct {
	Name     string
	Kind     provider.Kind
	Provider provider.Provider
	Models   []string // the supplier's models that it may serve; none is all
	Limits   Limits
	Order    int     // 0 and 1 come first; a later one serves what the earlier ones cannot take
	Weight   int     // its share among those of the same order; 0 is 1
	Routes   []Route // what it serves of our models; none: all that their files say of its kind
}

// Route is what an operator said of some of our models at one upstream.
type Route struct {
	Models []string       // ids and family names; none is all
	Supply catalog.Supply // its Model "": the name in the model's file
	Order  int            // 0: the upstream's
	Weight int            // 0: the upstream's
}

// Source is how references that no network brings are read.
type Source interface {
	// Sample opens a reference that ships with the program, or returns false.
	Sample(id string) (name string, open func() (blob.Reader, error), ok bool)
}

// Options is what dispatch gets of the world.
type Options struct {
	Store     *store.Store
	Blobs     blob.Store
	Fetch     *fetch.Fetcher
	Catalog   *catalog.Catalog
	Samples   Source
	Upstreams []Upstream
	// Make makes an upstream of the set-up that it was added with; nil: none can be.
	Make func(setup string) (Upstream, error)
	// Dismissed is told of an added upstream that was removed; may be nil.
	Dismissed func(name string)
	// StandIn says that previews may serve requests for real videos: true only
	// while no real upstream was ever configured. It ends with the first that is
	// added; see StandsIn.
	StandIn bool
	// Alone says that no other process can serve these upstreams: leases that a
	// dead one left are void at once.
	Alone       bool
	Replica     string // what operators call this process, among others
	Scratch     string // a folder for files on their way; emptied at start by its owner
	Now         func() time.Time
	NewID       func(prefix string) string
	Log         *slog.Logger
	Registry    prometheus.Registerer
	Retention   time.Duration // of videos
	History     time.Duration // of events, attempts and requests, after a task's end; 0 is for ever
	TaskTimeout time.Duration // from the first ticket
	// Point is called at each line of the crash table; tests make it kill the
	// process. nil does nothing.
	Point func(name string)
	// Haste divides the times of a rescue, so that a test need not wait for
	// minutes; 0 and 1 are the real ones.
	Haste int64
}

// How much is done at the same time.
const (
	preparers  = 8
	collectors = 8
	drawers    = 2
	pollers    = 64
)

// Dispatch is the running engine.
type Dispatch struct {
	Options
	owner     string // whose leases they are: random for each process start
	roster    *roster
	keeper    *keeper
	stats     *stats
	paces     *paces
	live      *live
	lanes     *lanes
	elsewhere atomic.Pointer[[]task.Task] // in progress at others' upstreams
	nextLook  time.Time                   // only the snapshots use it
	prepares  *feed
	collects  *feed

	mu sync.Mutex
	// drawings are thumbnails that are being made, by task; drawers their places.
	drawings map[string]chan struct{}
	drawers  chan struct{}
	ended    sync.WaitGroup
}

// New makes the engine, with the upstreams that it is given and those that were added
// to an earlier one: Route knows all of them at once. Run starts it.
func New(ctx context.Context, o Options) (*Dispatch, error) {
	if len(o.Upstreams) == 0 {
		return nil, errors.New("dispatch: no upstream to send tasks to")
	}

	if o.Point == nil {
		o.Point = func(string) {}
	}

	d := &Dispatch{
		Options: o, owner: o.NewID("owner"), live: newLive(), lanes: newLanes(),
		drawings: map[string]chan struct{}{}, drawers: make(chan struct{}, drawers),
	}
	d.keeper = newKeeper(d)
	d.paces = newPaces(o.Store, !o.Alone)
	d.stats = newStats(o.Registry)
	d.prepares = newFeed()
	d.collects = newFeed()

	d.roster = &roster{broken: map[string]string{}}
	for _, u := range o.Upstreams {
		if err := d.join(u, ""); err != nil {
			return nil, err
		}
	}

	return d, d.joinAdded(ctx)
}

// Run works until ctx ends; then it takes nothing new, hands its upstreams over
// one by one as soon as what is on the wire is answered, and returns.
func (d *Dispatch) Run(ctx context.Context) error {
	changes, deaf := d.Store.WatchAll(4096)
	defer deaf()
	// What serves outlives ctx: what is on the wire then still wants decisions.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()

	if err := d.begin(serving); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop, not failed
		}

		return err
	}

	var keeping sync.WaitGroup
	keeping.Go(func() { d.keeper.run(serving) })
	d.start(serving, func(ctx context.Context) { d.listen(ctx, changes) })
	d.start(serving, d.snapshots)
	d.start(serving, d.catchUps)
	d.start(serving, d.refresh)

	for range preparers {
		d.start(ctx, func(ctx context.Context) { d.prepares.work(ctx, d.prepare) })
	}

	for range collectors {
		d.start(serving, func(ctx context.Context) { d.collects.work(ctx, d.collect) })
	}

	<-ctx.Done()
	d.keeper.leave(serving)
	end()
	d.ended.Wait()
	keeping.Wait()

	return nil
}

// begin reads which lanes have work, and, where no other process can serve, voids
// the leases of a dead one.
func (d *Dispatch) begin(ctx context.Context) error {
	for _, up := range d.roster.list() {
		if up.setup == "" && up.wished() == store.WishRemove { // one of this name was, before it was configured
			if err := d.WishUpstream(ctx, up.Name, store.WishServe); err != nil {
				return fmt.Errorf("take up the upstream %s: %w", up.Name, err)
			}
		}
	}

	if d.Alone {
		err := d.Store.Write(ctx, func(tx *store.Tx) error {
			for _, up := range d.roster.list() {
				if err := tx.VoidLease(ctx, up.lease); err != nil {
					return err
				}
			}

			return tx.VoidLease(ctx, background)
		})
		if err != nil {
			return fmt.Errorf("take over the upstreams: %w", err)
		}
	}

	lanes, err := d.Store.Lanes(ctx)
	if err != nil {
		return fmt.Errorf("read the lanes: %w", err)
	}

	for _, l := range lanes {
		d.lanes.note(l.ID)
	}

	return nil
}

func (d *Dispatch) start(ctx context.Context, f func(context.Context)) {
	d.ended.Go(func() { f(ctx) })
}

// listen hears every committed step and wakes who has work by it.
func (d *Dispatch) listen(ctx context.Context, changes <-chan store.Change) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-changes:
			d.hear(ctx, c)
		}
	}
}

func (d *Dispatch) hear(ctx context.Context, c store.Change) {
	switch {
	case c.Freed != "":
		d.keeper.wake()
	case c.Task == "": // some were missed
		d.keeper.wake()
		d.openGates()
	case c.State == task.Preparing:
		d.prepares.add(c.Task)
	case c.State == task.Queued:
		d.openGates() // its lane may be new
	case c.State == task.Submitting:
		d.wakeGates((*gate).stoodAside)
	case c.State == task.Running:
		d.heedCancel(ctx, c.Task)

		for _, t := range d.keeper.tenures() {
			t.heedAnswer(c.Task)
		}
	case c.State.Final():
		d.live.forget(c.Task)
		d.wakeGates(func(*gate) bool { return true })
	}
}

// openGates starts the gates of all lanes that are known here and wakes them.
func (d *Dispatch) openGates() {
	routes := d.lanes.routes()
	for _, t := range d.keeper.tenures() {
		t.openGates(routes)
	}
}

func (d *Dispatch) wakeGates(whose func(*gate) bool) {
	for _, t := range d.keeper.tenures() {
		for _, g := range t.list() {
			if whose(g) {
				g.wake()
			}
		}
	}
}

// upstream is the configured one that a name or a lease's id stands for, or nil.
func (d *Dispatch) upstream(id string) *upstream {
	for _, up := range d.roster.list() {
		if up.Name == plainName(id) {
			return up
		}
	}

	return nil
}

// upstreamOf is the upstream that is served here by a lease of this id, or nil.
func (d *Dispatch) upstreamOf(id string) *upstream {
	for _, up := range d.roster.list() {
		if up.lease == id {
			return up
		}
	}

	return nil
}

// plainName is an upstream's name as its operator knows it: without the process
// that a renderer lives in.
func plainName(id string) string {
	name, _, _ := strings.Cut(id, "@")
	return name
}

func (u *upstream) serves(model string) bool {
	return len(u.Models) == 0 || slices.Contains(u.Models, model)
}

// write is every write that no customer waits for.
func (d *Dispatch) write(ctx context.Context, f func(*store.Tx) error) error {
	d.Point("writing")
	return d.Store.WriteBackground(ctx, f)
}

// writeNow is for leases: they must not wait behind the background's writes.
func (d *Dispatch) writeNow(ctx context.Context, f func(*store.Tx) error) error {
	d.Point("writing")
	return d.Store.Write(ctx, f)
}

func (d *Dispatch) millis() int64 { return d.Now().UnixMilli() }

// wait sleeps, and returns false when ctx ended first.
func wait(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()

	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
