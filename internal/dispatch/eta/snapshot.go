package eta

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	snapshotInterval = time.Second
	// peerReadShare bounds the time that is spent on reading the tasks at peers to one part
	// in so many: a large installation may have very many in progress.
	peerReadShare = 20
)

// Fleet is what the estimates need to know of the upstreams and who serves them.
type Fleet interface {
	// Slots returns how many tasks a route takes at once.
	Slots(route task.Route) int64
	// EachTracked calls visit for each task that this process polls. noProgress says that
	// its supplier reports no progress.
	EachTracked(visit func(t task.Task, noProgress bool))
	// Serves reports whether this process polls the tasks of the upstream with this id.
	Serves(upstreamID string) bool
	// ServesAll reports whether it serves every upstream and no other replica is alive.
	ServesAll() bool
	// PreviewFallbackActive reports whether previews serve requests for real videos.
	PreviewFallbackActive() bool
}

// Options are what the snapshots need.
type Options struct {
	Store    *store.Store
	History  *History
	Board    *Board
	Fleet    Fleet
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
	// SawQueue is called with the id of every queue that a snapshot finds.
	SawQueue func(id string)
}

// Snapshots computes, once a second, the positions and expected ends of all unfinished
// tasks.
//
// What customers and operators see must not depend on the replica that answers. So each
// replica estimates by itself the progress and the end of tasks at upstreams that other
// replicas serve, its peers, from the same past durations.
type Snapshots struct {
	Options
	actor        clock.Actor
	queued       *prometheus.GaugeVec
	nextPeerRead time.Time                   // only Take uses it
	peerTasks    atomic.Pointer[[]task.Task] // in progress at upstreams that other replicas serve
}

// NewSnapshots returns snapshots; Run takes them.
func NewSnapshots(o Options) *Snapshots {
	s := &Snapshots{Options: o, actor: o.Clock.Actor("snapshots")}
	s.queued = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "unireel", Name: "queue_tasks", Help: "Tasks waiting in a queue."}, []string{"queue"})

	if o.Registry != nil {
		o.Registry.MustRegister(s.queued)
	}

	return s
}

// Run takes a snapshot once a second until ctx ends, and calls taken after each.
func (s *Snapshots) Run(ctx context.Context, taken func()) {
	for s.actor.Sleep(ctx, snapshotInterval) {
		if err := s.Take(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot compute queue positions", "error", err)
		}

		taken()
	}
}

// Take takes one snapshot.
func (s *Snapshots) Take(ctx context.Context) error {
	queues, err := s.Store.Queues(ctx)
	if err != nil {
		return err
	}

	peerTasks, err := s.readPeerTasks(ctx)
	if err != nil {
		return err
	}

	// The positions are computed into a new map, which replaces the old one at the end:
	// a status request reads one whole snapshot, without waiting for this computation.
	positions := map[string]position{}

	for _, queue := range queues {
		s.SawQueue(queue.ID)
		s.queued.WithLabelValues(queue.ID).Set(float64(queue.Queued))

		if queue.Queued == 0 {
			continue
		}

		if err := s.simulateQueue(ctx, queue, positions); err != nil {
			return err
		}
	}

	now := s.Clock.Millis()

	s.Fleet.EachTracked(func(t task.Task, noProgress bool) {
		positions[t.ID] = position{end: s.expectedEnd(t)}
		if noProgress {
			s.Board.RaiseProgress(t.ID, s.History.EstimateProgress(t, now-t.StartedAt))
		}
	})

	s.peerTasks.Store(&peerTasks)

	for _, t := range peerTasks {
		positions[t.ID] = position{end: s.expectedEnd(t)}
	}

	s.Board.setPositions(positions)

	return nil
}

// expectedEnd returns when a running task is expected to end, in unix seconds.
func (s *Snapshots) expectedEnd(t task.Task) int64 {
	remaining := s.History.Median(t) - s.Clock.Now().Sub(time.UnixMilli(t.StartedAt))
	return s.Clock.Now().Add(max(remaining, 2*time.Second)).Unix()
}

// PeerTasks returns the tasks in progress at upstreams that other replicas serve, or that
// none serves at the moment, as the latest snapshot read them.
func (s *Snapshots) PeerTasks() []task.Task {
	if list := s.peerTasks.Load(); list != nil {
		return *list
	}

	return nil
}

// readPeerTasks reads the tasks at peers, and estimates their progress.
func (s *Snapshots) readPeerTasks(ctx context.Context) ([]task.Task, error) {
	list := s.PeerTasks()
	switch startedAt := s.Clock.Now(); {
	case s.Fleet.ServesAll():
		return nil, nil
	case !startedAt.Before(s.nextPeerRead):
		all, err := s.Store.InProgress(ctx)
		if err != nil {
			return nil, err
		}

		list = slices.DeleteFunc(all, func(t task.Task) bool { return s.Fleet.Serves(t.Upstream) })
		s.nextPeerRead = s.Clock.Now().Add(peerReadShare*s.Clock.Now().Sub(startedAt) - snapshotInterval)
	}

	for _, t := range list {
		progress := t.Progress
		if t.State == task.Running {
			progress = max(progress, s.History.EstimateProgress(t, s.Clock.Millis()-t.StartedAt))
		}

		s.Board.RaiseProgress(t.ID, min(progress, MaxEstimatedProgress))
	}

	return list, nil
}
