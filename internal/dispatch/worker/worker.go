// Package worker serves one upstream while this process holds the upstream's lease: it
// claims the next task of a queue in fair order when the supplier has room, submits it,
// polls it until it is rendered, and finds out after a crash or a lost answer what the
// supplier accepted. Package reference comes before it on a task's path and package result
// after it. It never decides a price.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/lease"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Worker serves one upstream. Everything that acts for the upstream belongs to its worker
// and ends with the lease; the next worker, in this process or another, starts from what
// the database says.
type Worker struct {
	*lease.Lease
	env            *environment
	actor          clock.Actor
	up             *upstream.Upstream
	poller         *poller
	slots          *limit.Slots    // by the supplier's model
	submitCtx      context.Context // ends when nothing new may be submitted
	stopSubmitting context.CancelFunc
	submittersDone sync.WaitGroup

	mu         sync.Mutex
	ready      bool                  // the tasks in progress are counted: submitters may claim
	submitters map[string]*submitter // by the supplier's model
	reported   map[string]bool       // running tasks whose model is not served here any more, of which the operator was told
}

func newWorker(env *environment, l *lease.Lease, up *upstream.Upstream) *Worker {
	w := &Worker{
		Lease:      l,
		env:        env,
		actor:      env.Tasks.Clock.Actor("worker of " + l.ID + " at " + env.Owner),
		up:         up,
		slots:      limit.NewSlots(5*time.Second, 30*time.Second),
		submitters: map[string]*submitter{},
		reported:   map[string]bool{},
	}
	w.submitCtx, w.stopSubmitting = context.WithCancel(l.Context())
	w.poller = newPoller(w)

	return w
}

// Run resumes the tasks that an earlier owner left at the upstream, and only then
// starts the submitters. The order matters: the slots of tasks in progress must be
// counted, and submissions of unknown outcome be known, before anything is submitted.
func (w *Worker) Run(ctx context.Context) {
	w.env.Tasks.Log.Info("serving an upstream", "upstream", w.up.Name, "fence", w.Fence)

	for delay := record.MinRetryDelay; ; delay = min(2*delay, record.MaxRetryDelay) {
		err := w.resumeTasks(ctx)
		if err == nil {
			break
		}

		if ctx.Err() == nil {
			w.env.Tasks.Log.Error("cannot resume the tasks of an upstream, trying again", "upstream", w.up.Name, "error", err)
		}

		if !w.actor.Sleep(ctx, delay) {
			return
		}
	}

	w.mu.Lock()
	w.ready = true
	w.mu.Unlock()
	w.Spawn(w.poller.run)
	w.Spawn(w.runOrphanScan)
	w.StartSubmitters(w.env.Queues.Routes())
	<-ctx.Done()
	w.reportEnd()
}

// reportEnd logs the end and resets the metrics that only the owner of the upstream reports.
func (w *Worker) reportEnd() {
	for _, s := range w.submitterList() {
		w.env.metrics.blocked.WithLabelValues(s.route.String()).Set(0)
	}

	level := slog.LevelInfo
	if cause := context.Cause(w.Context()); errors.Is(cause, lease.ErrExpired) || errors.Is(cause, lease.ErrLost) {
		level = slog.LevelWarn
	}

	w.env.Tasks.Log.Log(context.WithoutCancel(w.Context()), level, "no longer serving an upstream", "upstream", w.up.Name, "reason", context.Cause(w.Context()))
}

// newRateLimit returns a limit of so many calls a second. The previous owner may have
// used up this second's share, so that only the very first owner starts with a full bucket.
func (w *Worker) newRateLimit(rate float64) limit.Bucket {
	bucket := limit.NewBucket(rate, int(max(1, rate)))
	for full := w.Fence > 1 && rate > 0; full; {
		full, _ = bucket.Take(w.env.now())
	}

	return bucket
}

// HandOver releases the upstream to the next owner: nothing new is submitted, the
// answers of submissions in flight are waited for and written while polling goes on,
// then the lease is released.
func (w *Worker) HandOver(ctx context.Context, cause error) {
	w.mu.Lock() // no submitter is being started meanwhile
	w.stopSubmitting()
	w.mu.Unlock()
	w.submittersDone.Wait()
	w.Release(ctx, cause)
}

// Movable reports whether another replica can take over without loss: not while the outcome
// of a submission is unknown, since its recovery would have to start again.
func (w *Worker) Movable() bool { return !w.Blocked() }

// Upstream returns the upstream that the worker serves.
func (w *Worker) Upstream() *upstream.Upstream { return w.up }

// Ready reports whether the tasks in progress are counted: submitters may claim.
func (w *Worker) Ready() bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	return w.ready
}

// Blocked reports whether the outcome of a submission is unknown at one of the submitters.
func (w *Worker) Blocked() bool {
	return slices.ContainsFunc(w.submitterList(), func(s *submitter) bool {
		_, uncertain := s.firstUncertain()
		return uncertain
	})
}

// InProgress returns how many tasks occupy a slot at the upstream.
func (w *Worker) InProgress() (n int) {
	for _, s := range w.submitterList() {
		n += w.slots.InUse(s.model)
	}

	return n
}

// Slots returns how many tasks of a model the supplier takes at once at present.
func (w *Worker) Slots(model string) int { return w.slots.Limit(model) }

// HasRoom reports whether a model could take a task at once.
func (w *Worker) HasRoom(model string) bool {
	s := w.submitter(model)
	return s != nil && s.hasRoom(w.env.now())
}

// Models lists the supplier's models that have submitters, sorted.
func (w *Worker) Models() []string {
	w.mu.Lock()
	defer w.mu.Unlock()

	return slices.Sorted(maps.Keys(w.submitters))
}

// EachTracked calls visit for each task that is polled. noProgress says that the supplier
// reports no progress.
func (w *Worker) EachTracked(visit func(t task.Task, noProgress bool)) { w.poller.eachTracked(visit) }

// Tracked returns how many tasks are polled.
func (w *Worker) Tracked() int { return w.poller.count() }

// submitter returns the submitter of a supplier's model and starts it if it is new; nil
// when the upstream does not serve the model.
func (w *Worker) submitter(model string) *submitter {
	w.mu.Lock()
	defer w.mu.Unlock()

	if s := w.submitters[model]; s != nil {
		return s
	}

	if !w.up.AllowsModel(model) {
		return nil
	}

	s := newSubmitter(w, model)
	w.submitters[model] = s
	w.slots.SetMax(model, w.up.Limits.InProgress)

	if w.submitCtx.Err() == nil {
		w.SpawnIn(&w.submittersDone, func() { s.run(w.submitCtx) })
	}

	return s
}

// StartSubmitters starts the submitters of these routes, as far as they are the upstream's,
// and wakes all.
func (w *Worker) StartSubmitters(routes task.RouteSet) {
	if !w.Ready() {
		return
	}

	for _, route := range routes {
		if route.Upstream == w.up.Name {
			w.submitter(route.Model)
		}
	}

	w.WakeAll()
}

// WakeAll wakes every submitter: a slot or a share may have become free.
func (w *Worker) WakeAll() {
	for _, s := range w.submitterList() {
		s.wake()
	}
}

// WakeDeferred wakes the submitters that left the first task of a queue to another route.
func (w *Worker) WakeDeferred() {
	for _, s := range w.submitterList() {
		if s.deferred.Load() {
			s.wake()
		}
	}
}

// submitterList returns the submitters that were started, by model.
func (w *Worker) submitterList() []*submitter {
	w.mu.Lock()
	defer w.mu.Unlock()

	var list []*submitter
	for _, model := range slices.Sorted(maps.Keys(w.submitters)) {
		list = append(list, w.submitters[model])
	}

	return list
}

// submitterOf returns the submitter of a task's present submission, or nil if the upstream
// no longer serves its model. The operator is told of that once.
func (w *Worker) submitterOf(ctx context.Context, t task.Task) (*submitter, store.Attempt, error) {
	a, err := w.env.store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return nil, a, err
	}

	s := w.submitter(a.Model)
	if s == nil {
		w.mu.Lock()
		reported := w.reported[t.ID]
		w.reported[t.ID] = true
		w.mu.Unlock()

		if !reported {
			w.env.Tasks.Log.Error("ALERT: the upstream of a task in progress no longer serves its model; the task waits for it",
				"task", t.ID, "state", t.State, "upstream", a.Upstream, "model", a.Model)
		}
	}

	return s, a, nil
}
