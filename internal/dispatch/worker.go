package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/task"
)

// worker serves one upstream while this process holds the upstream's lease. Everything
// that acts for the upstream belongs to the worker and ends with the lease; the next
// worker, in this process or another, starts from what the database says.
type worker struct {
	*lease
	up             *upstream
	poller         *poller
	slots          *limit.Slots
	submitCtx      context.Context // ends when nothing new may be submitted
	stopSubmitting context.CancelFunc
	submittersDone sync.WaitGroup

	submittersMu sync.Mutex
	ready        bool                  // the tasks in progress are counted: submitters may claim
	submitters   map[string]*submitter // by the supplier's model
}

func newWorker(l *lease, up *upstream) *worker {
	w := &worker{
		lease:      l,
		up:         up,
		slots:      limit.NewSlots(5*time.Second, 30*time.Second),
		submitters: map[string]*submitter{},
	}
	w.submitCtx, w.stopSubmitting = context.WithCancel(l.ctx)
	w.poller = newPoller(w)
	l.worker = w

	return w
}

// run resumes the tasks that an earlier owner left at the upstream, and only then
// starts the submitters. The order matters: the slots of tasks in progress must be
// counted, and submissions of unknown outcome be known, before anything is submitted.
func (w *worker) run(ctx context.Context) {
	w.d.Log.Info("serving an upstream", "upstream", w.up.Name, "fence", w.fence)

	for delay := minRetryDelay; ; delay = min(2*delay, maxRetryDelay) {
		err := w.resumeTasks(ctx)
		if err == nil {
			break
		}

		if ctx.Err() == nil {
			w.d.Log.Error("cannot resume the tasks of an upstream, trying again", "upstream", w.up.Name, "error", err)
		}

		if !sleep(ctx, delay) {
			return
		}
	}

	w.submittersMu.Lock()
	w.ready = true
	w.submittersMu.Unlock()
	w.spawn(w.poller.run)
	w.spawn(w.runOrphanScan)
	w.startSubmitters(w.d.queues.routes())
	<-ctx.Done()
	w.reportEnd()
}

// reportEnd logs the end and resets the metrics that only the owner of the upstream reports.
func (w *worker) reportEnd() {
	for _, s := range w.submitterList() {
		w.d.metrics.blocked.WithLabelValues(s.route.String()).Set(0)
	}

	level := slog.LevelInfo
	if cause := context.Cause(w.ctx); errors.Is(cause, errLeaseExpired) || errors.Is(cause, errLeaseLost) {
		level = slog.LevelWarn
	}

	w.d.Log.Log(context.WithoutCancel(w.ctx), level, "no longer serving an upstream", "upstream", w.up.Name, "reason", context.Cause(w.ctx))
}

// newRateLimit returns a limit of so many calls a second. The previous owner may have
// used up this second's share, so that only the very first owner starts with a full bucket.
func (w *worker) newRateLimit(rate float64) limit.Bucket {
	bucket := limit.NewBucket(rate, int(max(1, rate)))
	for full := w.fence > 1 && rate > 0; full; {
		full, _ = bucket.Take(w.d.Now())
	}

	return bucket
}

// resumeTasks passes every unfinished task of the upstream to its stage, oldest first.
func (w *worker) resumeTasks(ctx context.Context) error {
	for _, stage := range stages {
		if !stage.owned {
			continue
		}

		err := w.eachUnfinished(ctx, stage.state, func(found task.Task) error {
			if err := stage.resume(w.d, ctx, found); err != nil {
				return fmt.Errorf("%s %s: %w", stage.state, found.ID, err)
			}

			return nil
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// eachUnfinished calls visit for the upstream's unfinished tasks in a state, oldest first.
func (w *worker) eachUnfinished(ctx context.Context, state task.State, visit func(task.Task) error) error {
	return w.d.eachUnfinished(ctx, w.id, state, visit)
}

// eachUnfinished calls visit for the unfinished tasks in a state of the upstream with
// this lease, oldest first.
func (d *Dispatch) eachUnfinished(ctx context.Context, id string, state task.State, visit func(task.Task) error) error {
	for after := ""; ; {
		list, err := d.Store.UnfinishedOnUpstream(ctx, id, state, after, 1000)
		if err != nil {
			return err
		}

		for _, found := range list {
			if err := visit(found); err != nil {
				return err
			}

			after = found.ID
		}

		if len(list) < 1000 {
			return nil
		}
	}
}

// resync resumes tasks whose change this worker was not notified of: a previous owner
// recorded an answer late, or a notification was missed.
func (w *worker) resync(ctx context.Context) error {
	if !w.isReady() {
		return nil
	}

	err := w.eachUnfinished(ctx, task.Running, func(found task.Task) error {
		if w.poller.tracks(found.ID) {
			if found.CancelRequestedAt > 0 {
				w.d.forwardCancel(ctx, found.ID)
			}

			return nil
		}

		return w.resumeIfRunning(ctx, found.ID)
	})
	if err != nil {
		return err
	}

	return w.eachUnfinished(ctx, task.Collecting, func(found task.Task) error {
		if !w.d.live.hasFailed(found.ID) { // else its next try is scheduled already
			w.d.collectQueue.add(found.ID)
		}

		return nil
	})
}

// resumeIfRunning starts to poll a task that another process moved to running. It reads
// the row again: the caller's list may be older than this process's own last change.
func (w *worker) resumeIfRunning(ctx context.Context, id string) error {
	fresh, err := w.d.Store.Task(ctx, id)
	if err != nil || fresh.State != task.Running || fresh.Upstream != w.id {
		return err
	}

	return w.d.resumeRunning(ctx, fresh)
}

// handOver releases the upstream to the next owner: nothing new is submitted, the
// answers of submissions in flight are waited for and written while polling goes on,
// then the lease is released.
func (w *worker) handOver(ctx context.Context, cause error) {
	w.submittersMu.Lock() // no submitter is being started meanwhile
	w.stopSubmitting()
	w.submittersMu.Unlock()
	w.submittersDone.Wait()
	w.release(ctx, cause)
}

// submitter returns the submitter of a supplier's model and starts it if it is new; nil
// when the upstream does not serve the model.
func (w *worker) submitter(model string) *submitter {
	w.submittersMu.Lock()
	defer w.submittersMu.Unlock()

	if s := w.submitters[model]; s != nil {
		return s
	}

	if !w.up.allowsModel(model) {
		return nil
	}

	s := newSubmitter(w, model)
	w.submitters[model] = s
	w.slots.SetMax(s.model, w.up.Limits.InProgress)

	if w.submitCtx.Err() == nil && w.tryAdd(&w.submittersDone) {
		w.d.goroutines.Go(func() {
			defer w.submittersDone.Done()

			s.run(w.submitCtx)
		})
	}

	return s
}

// startSubmitters starts the submitters of these routes and wakes them.
func (w *worker) startSubmitters(routes task.RouteSet) {
	if !w.isReady() {
		return
	}

	for _, route := range routes {
		if route.Upstream == w.up.Name {
			w.submitter(route.Model)
		}
	}

	for _, s := range w.submitterList() {
		s.wake()
	}
}

// submitterList returns the submitters that were started.
func (w *worker) submitterList() []*submitter {
	w.submittersMu.Lock()
	defer w.submittersMu.Unlock()

	var list []*submitter
	for _, s := range w.submitters {
		list = append(list, s)
	}

	return list
}

// isReady reports whether submitters may claim.
func (w *worker) isReady() bool {
	w.submittersMu.Lock()
	defer w.submittersMu.Unlock()

	return w.ready
}

// hasUncertain reports whether the outcome of a submission is unknown at one of the submitters.
func (w *worker) hasUncertain() bool {
	for _, s := range w.submitterList() {
		if _, uncertain := s.firstUncertain(); uncertain {
			return true
		}
	}

	return false
}
