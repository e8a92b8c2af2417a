package dispatch

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	pollTimeout          = 30 * time.Second // one poll
	notFoundConfirmation = 15 * time.Second // between the two answers by which a supplier says that it does not know a task
)

// poller polls the running tasks of one upstream, each at its own time, within the rate
// limit of the supplier account. The times are kept in memory; a slow answer delays no
// other task.
type poller struct {
	d         *Dispatch
	worker    *worker
	up        *upstream
	rateLimit limit.Bucket
	wakeup    chan struct{}
	slots     chan struct{}

	mu         sync.Mutex
	heap       pollHeap
	tasks      map[string]*trackedTask // by task id
	noProgress bool                    // the supplier reports no progress: it is estimated each second
}

// trackedTask is a task that is polled.
type trackedTask struct {
	task            task.Task
	submitter       *submitter
	nextPoll        time.Time
	index           int // in the heap; -1 while it is being polled
	failures        int
	notFoundSince   time.Time // when the supplier first said that it does not know the task
	lastPending     int64     // when the supplier last said that the task is not finished, unix milliseconds
	cancelRequested bool      // the customer cancelled, and the supplier has not answered yet
	cancelAnswered  bool      // the supplier answered the request to cancel, which is sent once
	removed         bool      // the task is no longer running
}

func newPoller(w *worker) *poller {
	up := w.up

	return &poller{
		d:         w.d,
		worker:    w,
		up:        up,
		wakeup:    make(chan struct{}, 1),
		slots:     make(chan struct{}, maxConcurrentPolls),
		tasks:     map[string]*trackedTask{},
		rateLimit: w.newRateLimit(up.Limits.QueriesPerSecond),
	}
}

// track begins to poll a task. A resumed task is polled as soon as its provider allows:
// nobody has polled it for a while.
func (p *poller) track(t task.Task, s *submitter, resumed bool) {
	now := p.d.Now()

	first := p.d.durations.firstPollDelay(t, p.up.Driver.Capabilities, now)
	if resumed && first <= p.up.Driver.Capabilities.PollInterval[0] {
		first = 0
	}

	r := &trackedTask{
		task:            t,
		submitter:       s,
		nextPoll:        now.Add(first),
		index:           -1,
		cancelRequested: t.CancelRequestedAt > 0,
	}
	if r.cancelRequested {
		r.nextPoll = now
	}

	p.mu.Lock()
	if p.tasks[t.ID] == nil {
		p.tasks[t.ID] = r
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	p.d.live.raiseProgress(t.ID, t.Progress)
	p.wake()
}

func (p *poller) wake() {
	select {
	case p.wakeup <- struct{}{}:
	default:
	}
}

// pollNow makes the poller cancel a task and poll it at once, for its customer cancelled it.
func (p *poller) pollNow(id string) {
	p.mu.Lock()
	if r := p.tasks[id]; r != nil && !r.cancelRequested && !r.cancelAnswered {
		r.cancelRequested = true
		if r.index >= 0 {
			r.nextPoll = p.d.Now()
			heap.Fix(&p.heap, r.index)
		}
	}
	p.mu.Unlock()
	p.wake()
}

// run polls the tasks that are due until ctx ends, and then waits for the polls in flight.
func (p *poller) run(ctx context.Context) {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	for {
		r, delay := p.nextDue()
		if r != nil {
			select {
			case p.slots <- struct{}{}:
			case <-ctx.Done():
				return
			}

			inFlight.Go(func() {
				p.poll(ctx, r)
				<-p.slots
			})

			continue
		}

		timer.Reset(delay)

		select {
		case <-ctx.Done():
			return
		case <-p.wakeup:
		case <-timer.C:
		}
	}
}

// nextDue takes the next task that is due if the rate limit allows a poll; else it returns
// how long to wait.
func (p *poller) nextDue() (*trackedTask, time.Duration) {
	now := p.d.Now()
	p.mu.Lock()
	defer p.mu.Unlock()

	if len(p.heap) == 0 {
		return nil, time.Hour
	}

	if early := p.heap[0].nextPoll.Sub(now); early > 0 {
		return nil, early
	}

	if ok, delay := p.rateLimit.Take(now); !ok {
		return nil, delay
	}

	return heap.Pop(&p.heap).(*trackedTask), 0
}

// takeBudget takes a poll out of the rate limit for a caller outside the schedule, or
// returns how long to wait for one.
func (p *poller) takeBudget() (bool, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.rateLimit.Take(p.d.Now())
}

// schedule sets the time of a task's next poll.
func (p *poller) schedule(r *trackedTask, after time.Duration) {
	p.mu.Lock()
	if !r.removed {
		r.nextPoll = p.d.Now().Add(after)
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	p.wake()
}

// untrack stops polling a task that is no longer running.
func (p *poller) untrack(r *trackedTask) {
	p.mu.Lock()
	r.removed = true
	delete(p.tasks, r.task.ID)
	p.mu.Unlock()
	r.submitter.releaseSlot(r.task.ID)
}

// count returns how many tasks are polled.
func (p *poller) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return len(p.tasks)
}

// poll polls a task once and handles the answer.
func (p *poller) poll(ctx context.Context, r *trackedTask) {
	d := p.d
	d.FailPoint("polling")

	p.mu.Lock()
	cancelled := r.cancelRequested
	p.mu.Unlock()

	if cancelled && p.requestCancel(ctx, r) {
		return
	}

	callCtx, cancel := context.WithTimeout(ctx, pollTimeout)
	report, err := p.up.Provider.Poll(callCtx, provider.RemoteID(r.task.RemoteID))

	cancel()

	if ctx.Err() != nil {
		return
	}

	if err != nil {
		d.metrics.polls.WithLabelValues(p.up.Name, "error").Inc()
		p.handlePollError(ctx, r, provider.FailureOf(err))

		return
	}

	d.metrics.polls.WithLabelValues(p.up.Name, string(report.Phase)).Inc()

	r.failures = 0

	err = p.handleReport(ctx, r, report)

	switch {
	case err == nil:
		return
	case errors.Is(err, errStateChanged) || errors.Is(err, store.ErrNotFound):
		p.untrack(r)
		d.collectQueue.add(r.task.ID) // a previous owner may have moved it to collecting

		return
	case errors.Is(err, store.ErrNotOwner):
		d.coordinator.wake() // to notice that the lease is lost
	case ctx.Err() == nil:
		d.Log.Error("cannot record the result of a poll, polling again", "task", r.task.ID, "error", err)
	}

	p.schedule(r, minRetryDelay)
}

// handleReport handles a report. One that says nothing new writes nothing.
func (p *poller) handleReport(ctx context.Context, r *trackedTask, report provider.Report) error {
	d := p.d

	t := r.task
	if report.Phase != provider.Unknown {
		r.notFoundSince = time.Time{}
	}

	switch report.Phase {
	case provider.Rendered:
		return p.handleRendered(ctx, r, report)
	case provider.Failed:
		f := report.Failure
		if f == nil {
			f = provider.FailureOf(errors.New("the supplier gave no reason for the failure"))
		}

		return p.handleFailed(ctx, r, f)
	case provider.Cancelled:
		return p.handleCancelled(ctx, r)
	case provider.Unknown:
		return p.handleNotFound(ctx, r)
	}

	r.lastPending = d.nowMillis()

	elapsed := d.nowMillis() - t.StartedAt
	if elapsed > d.TaskTimeout.Milliseconds() {
		timedOut := fault.New(fault.CodeTaskTimedOut, "", "The supplier did not finish within the time limit of a task. Nothing was charged; create the task again.")

		err := d.fail(ctx, t, timedOut, step{note: "task timeout", requireLease: p.worker.lease})
		if err == nil {
			p.untrack(r)
		}

		return err
	}

	progress := int64(report.Progress)
	if report.Progress < 0 {
		p.mu.Lock()
		p.noProgress = true
		p.mu.Unlock()

		progress = d.durations.estimateProgress(t, elapsed)
	}

	d.live.raiseProgress(t.ID, min(progress, maxEstimatedProgress))
	p.schedule(r, d.durations.nextPollDelay(t, p.up.Driver.Capabilities))

	return nil
}

// handleRendered moves the task to collecting, after it has verified that a recovered
// result belongs to the task.
func (p *poller) handleRendered(ctx context.Context, r *trackedTask, report provider.Report) error {
	d := p.d

	if report.Result == nil {
		return errors.New("the supplier reports the task as rendered, without a result")
	}

	result := *report.Result
	if report.Prompt != "" {
		result.Prompt = report.Prompt
	}

	verified, err := d.verifyRecovered(ctx, r.task, result)
	if err != nil {
		return err
	}

	if !verified {
		d.metrics.recoveries.WithLabelValues("rejected").Inc()
		d.Log.Error("ALERT: a recovered remote ID is not this task's; its video is not delivered", "task", r.task.ID, "remote_id", r.task.RemoteID, "upstream", p.up.Name)

		err := d.fail(ctx, r.task, acceptanceUnknownFault(), step{note: "recovered remote ID is not ours", requireLease: p.worker.lease})
		if err == nil {
			p.untrack(r)
		}

		return err
	}

	link, err := json.Marshal(result)
	if err != nil {
		return err
	}

	updated, err := d.advance(ctx, r.task.ID, step{
		from:    task.Running,
		attempt: r.task.Attempt,
		note:    "rendered",
		edit: func(t *task.Task) {
			t.State = task.Collecting
			t.Result = string(link)
			t.RenderedAt = renderedAt(*t, result, r.lastPending, d.nowMillis())
			t.Progress = max(t.Progress, min(d.live.progress(t.ID), maxEstimatedProgress))
		},
	})
	if err != nil {
		return err
	}

	d.durations.record(updated)
	p.untrack(r)
	d.collectQueue.add(updated.ID)

	return nil
}

// handleFailed fails a task that failed at the supplier, or queues it for a new
// submission: the supplier does not charge for a failed one.
func (p *poller) handleFailed(ctx context.Context, r *trackedTask, f *provider.Failure) error {
	d := p.d
	p.up.recordFailure(f)
	d.Log.Warn("a task failed at the supplier", "task", r.task.ID, "remote_id", r.task.RemoteID, "class", f.Class, "code", f.Code, "error", f.Err)

	if f.Class == provider.AccountBlocked {
		r.submitter.handleAccountBlocked(ctx, f)
	}

	resubmit := f.Class != provider.InvalidRequest && f.Class != provider.NotFound && r.task.Retries < 2

	_, err := d.advance(ctx, r.task.ID, step{
		from:         task.Running,
		attempt:      r.task.Attempt,
		requireLease: p.worker.lease,
		note:         "failed at the supplier: " + f.Class.String() + " " + f.Code,
		edit: func(t *task.Task) {
			switch {
			case resubmit && t.CancelRequestedAt > 0:
				t.State = task.Cancelled
			case resubmit:
				requeue(t, d.nowMillis())
			default:
				t.State = task.Failed
				t.Error = customerError(f)
			}
		},
	})
	if err == nil {
		p.untrack(r)
	}

	return err
}

// requeue returns a task to its queue for a new submission.
func requeue(t *task.Task, now int64) {
	t.State = task.Queued
	t.Upstream = ""
	t.RemoteID = ""
	t.Result = ""
	t.QueuedAt = now
	t.Retries++
}

// handleCancelled handles a task that the supplier cancelled: because Unireel asked, or
// because somebody else did; then it counts as a failure of the supplier.
func (p *poller) handleCancelled(ctx context.Context, r *trackedTask) error {
	fresh, err := p.d.Store.Task(ctx, r.task.ID)
	if err != nil {
		return err
	}

	if fresh.CancelRequestedAt == 0 {
		return p.handleFailed(ctx, r, &provider.Failure{Class: provider.Transient, Code: "cancelled at the supplier"})
	}

	return p.markCancelled(ctx, r)
}

func (p *poller) markCancelled(ctx context.Context, r *trackedTask) error {
	_, err := p.d.advance(ctx, r.task.ID, step{
		from:    task.Running,
		attempt: r.task.Attempt,
		note:    "cancelled at the supplier",
		edit:    func(t *task.Task) { t.State = task.Cancelled },
	})
	if err == nil {
		p.untrack(r)
	}

	return err
}

// handleNotFound handles a supplier's answer that it does not know a task. It is believed
// when the supplier gives it twice; the embedded renderer loses its tasks when its process
// ends, and renders them again.
func (p *poller) handleNotFound(ctx context.Context, r *trackedTask) error {
	d := p.d
	if p.up.Driver.Capabilities.SafeToResubmit {
		err := d.requeueAfterRestart(ctx, r.task, p.worker.lease)
		if err == nil {
			p.untrack(r)
		}

		return err
	}

	if r.notFoundSince.IsZero() {
		r.notFoundSince = d.Now()
	}

	if d.Now().Sub(r.notFoundSince) < d.scaled(notFoundConfirmation) {
		p.schedule(r, d.scaled(notFoundConfirmation))
		return nil
	}

	lost := fault.New(fault.CodeUpstreamLost, "", "The supplier no longer knows this task. Nothing was charged; create it again.")

	err := d.fail(ctx, r.task, lost, step{note: "not found at the supplier", requireLease: p.worker.lease})
	if err == nil {
		d.Log.Error("ALERT: the supplier no longer knows a task", "task", r.task.ID, "remote_id", r.task.RemoteID, "upstream", p.up.Name)
		p.untrack(r)
	}

	return err
}

// requeueAfterRestart returns a task whose renderer is gone to its queue. That does not
// count as one of its retries.
func (d *Dispatch) requeueAfterRestart(ctx context.Context, t task.Task, heldLease *lease) error {
	_, err := d.advance(ctx, t.ID, step{
		from:         t.State,
		attempt:      t.Attempt,
		requireLease: heldLease,
		note:         "the renderer was restarted",
		edit: func(t *task.Task) {
			if t.CancelRequestedAt > 0 && t.State != task.Collecting {
				t.State = task.Cancelled
				return
			}

			retries := t.Retries
			requeue(t, d.nowMillis())
			t.Retries = retries
		},
	})

	return err
}

// handlePollError polls again later: a failed poll says nothing about the task. A task that
// is older than its timeout and the supplier's retention together is not found.
func (p *poller) handlePollError(ctx context.Context, r *trackedTask, f *provider.Failure) {
	p.up.recordFailure(f)

	r.failures++
	after := min(minRetryDelay<<min(r.failures, 6), maxRetryDelay)

	switch f.Class {
	case provider.AccountBlocked:
		r.submitter.handleAccountBlocked(ctx, f)

		after = maxRetryDelay
	case provider.Throttled:
		after = max(after, f.RetryAfter)
	}

	if p.d.nowMillis()-r.task.StartedAt > p.d.TaskTimeout.Milliseconds()+remoteRetention.Milliseconds() {
		_ = p.handleNotFound(ctx, r)
		return
	}

	if r.failures == 3 {
		p.d.Log.Warn("a task cannot be polled", "task", r.task.ID, "upstream", p.up.Name, "error", f)
	}

	p.schedule(r, after)
}

// remoteRetention is how long suppliers know a task (DashScope: 24 hours).
const remoteRetention = 24 * time.Hour

// resumeRunning polls a task that an earlier owner polled.
func (d *Dispatch) resumeRunning(ctx context.Context, t task.Task) error {
	a, err := d.Store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return fmt.Errorf("read the attempt: %w", err)
	}

	s := d.submitterOf(a)
	if s == nil && d.live.markReported(t.ID) {
		return nil // the operator was told before
	}

	if s == nil {
		d.Log.Error("ALERT: the upstream of a running task is no longer configured; the task waits for it", "task", t.ID, "upstream", a.Upstream, "model", a.Model)
		return nil
	}

	s.occupySlot(t.ID)

	if t.CancelRefusedAt > 0 {
		t.CancelRequestedAt = 0 // the supplier has refused it already
	}

	s.worker.poller.track(t, s, true)

	return nil
}

// submitterOf returns the submitter of an attempt's route, or nil if its upstream is not
// served here.
func (d *Dispatch) submitterOf(a store.Attempt) *submitter {
	w := d.coordinator.worker(a.Upstream)
	if w == nil {
		return nil
	}

	return w.submitter(a.Model)
}

// pollHeap orders tasks by the time of their next poll.
type pollHeap []*trackedTask

func (h pollHeap) Len() int           { return len(h) }
func (h pollHeap) Less(i, j int) bool { return h[i].nextPoll.Before(h[j].nextPoll) }

func (h pollHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index = i
	h[j].index = j
}

func (h *pollHeap) Push(x any) {
	r := x.(*trackedTask)
	r.index = len(*h)
	*h = append(*h, r)
}

func (h *pollHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	r.index = -1

	return r
}
