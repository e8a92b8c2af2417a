package worker

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/eta"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	pollTimeout        = 30 * time.Second // one poll
	maxConcurrentPolls = 64
)

// poller polls the running tasks of one upstream, each at its own time, within the rate
// limit of the supplier account. The times are kept in memory; a slow answer delays no
// other task.
type poller struct {
	env       *environment
	actor     clock.Actor
	worker    *Worker
	up        *upstream.Upstream
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
	actor           clock.Actor // each task is polled at instants of its own
	nextPoll        time.Time
	index           int // in the heap; -1 while it is being polled
	failures        int
	notFoundSince   time.Time // when the supplier first said that it does not know the task
	lastPending     int64     // when the supplier last said that the task is not finished, unix milliseconds
	cancelRequested bool      // the customer cancelled, and the supplier has not answered yet
	cancelAnswered  bool      // the supplier answered the request to cancel, which is sent once
	removed         bool      // the task is no longer running
}

func newPoller(w *Worker) *poller {
	up := w.up

	return &poller{
		env:       w.env,
		actor:     w.env.Tasks.Clock.Actor("poller of " + w.ID + " at " + w.env.Owner),
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
	now := p.env.now()

	first := p.env.History.FirstPollDelay(t, p.up.Driver.Capabilities, now)
	if resumed && first <= p.up.Driver.Capabilities.PollInterval[0] {
		first = 0
	}

	r := &trackedTask{
		task:            t,
		submitter:       s,
		actor:           p.env.Tasks.Clock.Actor("poll of " + t.ID),
		index:           -1,
		cancelRequested: t.CancelRequestedAt > 0,
	}
	if r.cancelRequested {
		first = 0
	}

	r.nextPoll = now.Add(r.actor.Delay(first))

	p.mu.Lock()
	if p.tasks[t.ID] == nil {
		p.tasks[t.ID] = r
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	p.env.Board.RaiseProgress(t.ID, t.Progress)
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
			r.nextPoll = p.env.now().Add(r.actor.Delay(0))
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

	timer := time.NewTimer(p.actor.Delay(time.Hour))
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
			p.actor.Align(ctx)
		case <-timer.C:
		}
	}
}

// nextDue takes the next task that is due if the rate limit allows a poll; else it returns
// how long to wait.
func (p *poller) nextDue() (*trackedTask, time.Duration) {
	now := p.env.now()
	p.mu.Lock()
	defer p.mu.Unlock()

	if len(p.heap) == 0 {
		return nil, time.Hour
	}

	if early := p.heap[0].nextPoll.Sub(now); early > 0 {
		return nil, early
	}

	if ok, delay := p.rateLimit.Take(now); !ok {
		return nil, p.actor.Delay(delay)
	}

	return heap.Pop(&p.heap).(*trackedTask), 0
}

// Poll asks the supplier about a task outside the schedule, within the same rate limit. An
// error says nothing about the task; it comes with how long to wait before the next try.
func (w *Worker) Poll(ctx context.Context, id provider.RemoteID) (report provider.Report, wait time.Duration, err error) {
	p := w.poller

	p.mu.Lock()
	ok, wait := p.rateLimit.Take(p.env.now())
	p.mu.Unlock()

	if !ok {
		return report, wait, errRateLimited
	}

	callCtx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()

	report, err = w.up.Provider.Poll(callCtx, id)
	if ctx.Err() != nil {
		return report, 0, ctx.Err()
	}

	if err != nil {
		p.env.metrics.polls.WithLabelValues(w.up.Name, "error").Inc()

		f := provider.FailureOf(err)
		w.up.RecordFailure(f)

		return report, f.RetryAfter, err
	}

	p.env.metrics.polls.WithLabelValues(w.up.Name, string(report.Phase)).Inc()

	return report, 0, nil
}

// errRateLimited says that the rate limit of the supplier account allows no poll now.
var errRateLimited = errors.New("the rate limit of the supplier account allows no poll now")

// schedule sets the time of a task's next poll.
func (p *poller) schedule(r *trackedTask, after time.Duration) {
	p.mu.Lock()
	if !r.removed {
		r.nextPoll = p.env.now().Add(r.actor.Delay(after))
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
	env := p.env
	env.Tasks.FailPoint("polling")

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
		env.metrics.polls.WithLabelValues(p.up.Name, "error").Inc()
		p.handlePollError(ctx, r, provider.FailureOf(err))

		return
	}

	env.metrics.polls.WithLabelValues(p.up.Name, string(report.Phase)).Inc()

	r.failures = 0

	err = p.handleReport(ctx, r, report)

	switch {
	case err == nil:
		return
	case errors.Is(err, record.ErrStateChanged) || errors.Is(err, store.ErrNotFound):
		p.untrack(r)
		env.Collector.Add(r.task.ID) // a previous owner may have moved it to collecting

		return
	case errors.Is(err, store.ErrNotOwner):
		env.LeaseLost() // to notice that the lease is lost
	case ctx.Err() == nil:
		env.Tasks.Log.Error("cannot record the result of a poll, polling again", "task", r.task.ID, "error", err)
	}

	p.schedule(r, record.MinRetryDelay)
}

// handleReport handles a report. One that says nothing new writes nothing.
func (p *poller) handleReport(ctx context.Context, r *trackedTask, report provider.Report) error {
	env := p.env

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

	r.lastPending = env.Tasks.Clock.Millis()

	elapsed := env.Tasks.Clock.Millis() - t.StartedAt
	if elapsed > env.Tasks.TaskTimeout.Milliseconds() {
		timedOut := fault.New(fault.CodeTaskTimedOut, "", "The supplier did not finish within the time limit of a task. Nothing was charged; create the task again.")

		err := env.Tasks.Fail(ctx, t, timedOut, record.Step{Note: "task timeout", Lease: p.worker.Lease})
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

		progress = env.History.EstimateProgress(t, elapsed)
	}

	env.Board.RaiseProgress(t.ID, min(progress, eta.MaxEstimatedProgress))
	p.schedule(r, env.History.NextPollDelay(t, p.up.Driver.Capabilities))

	return nil
}

// handleRendered moves the task to collecting, after it has verified that a recovered
// result belongs to the task.
func (p *poller) handleRendered(ctx context.Context, r *trackedTask, report provider.Report) error {
	env := p.env

	if report.Result == nil {
		return errors.New("the supplier reports the task as rendered, without a result")
	}

	result := *report.Result
	if report.Prompt != "" {
		result.Prompt = report.Prompt
	}

	verified, err := p.worker.verifyRecovered(ctx, r.task, result)
	if err != nil {
		return err
	}

	if !verified {
		env.metrics.recoveries.WithLabelValues("rejected").Inc()
		env.Tasks.Log.Error("ALERT: a recovered remote ID is not this task's; its video is not delivered", "task", r.task.ID, "remote_id", r.task.RemoteID, "upstream", p.up.Name)

		err := env.Tasks.Fail(ctx, r.task, acceptanceUnknownFault(), record.Step{Note: "recovered remote ID is not ours", Lease: p.worker.Lease})
		if err == nil {
			p.untrack(r)
		}

		return err
	}

	link, err := json.Marshal(result)
	if err != nil {
		return err
	}

	updated, err := env.Tasks.Advance(ctx, r.task.ID, record.Step{
		From:    task.Running,
		Attempt: r.task.Attempt,
		Note:    "rendered",
		Edit: func(t *task.Task) {
			t.State = task.Collecting
			t.Result = string(link)
			t.RenderedAt = eta.RenderedAt(*t, result, r.lastPending, env.Tasks.Clock.Millis())
			t.Progress = max(t.Progress, min(env.Board.Progress(t.ID), eta.MaxEstimatedProgress))
		},
	})
	if err != nil {
		return err
	}

	env.History.Record(updated)
	p.untrack(r)
	env.Collector.Add(updated.ID)

	return nil
}

// handleFailed fails a task that failed at the supplier, or queues it for a new
// submission: the supplier does not charge for a failed one.
func (p *poller) handleFailed(ctx context.Context, r *trackedTask, f *provider.Failure) error {
	env := p.env
	p.up.RecordFailure(f)
	env.Tasks.Log.Warn("a task failed at the supplier", "task", r.task.ID, "remote_id", r.task.RemoteID, "class", f.Class, "code", f.Code, "error", f.Err)

	if f.Class == provider.AccountBlocked {
		r.submitter.handleAccountBlocked(ctx, f)
	}

	resubmit := f.Class != provider.InvalidRequest && f.Class != provider.NotFound && r.task.Retries < 2

	_, err := env.Tasks.Advance(ctx, r.task.ID, record.Step{
		From:    task.Running,
		Attempt: r.task.Attempt,
		Lease:   p.worker.Lease,
		Note:    "failed at the supplier: " + f.Class.String() + " " + f.Code,
		Edit: func(t *task.Task) {
			switch {
			case resubmit && t.CancelRequestedAt > 0:
				t.State = task.Cancelled
			case resubmit:
				record.Requeue(t, env.Tasks.Clock.Millis())
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

// handleCancelled handles a task that the supplier cancelled: because Unireel asked, or
// because somebody else did; then it counts as a failure of the supplier.
func (p *poller) handleCancelled(ctx context.Context, r *trackedTask) error {
	fresh, err := p.env.store.Task(ctx, r.task.ID)
	if err != nil {
		return err
	}

	if fresh.CancelRequestedAt == 0 {
		return p.handleFailed(ctx, r, &provider.Failure{Class: provider.Transient, Code: "cancelled at the supplier"})
	}

	return p.markCancelled(ctx, r)
}

func (p *poller) markCancelled(ctx context.Context, r *trackedTask) error {
	_, err := p.env.Tasks.Advance(ctx, r.task.ID, record.Step{
		From:    task.Running,
		Attempt: r.task.Attempt,
		Note:    "cancelled at the supplier",
		Edit:    func(t *task.Task) { t.State = task.Cancelled },
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
	env := p.env
	if p.up.Driver.Capabilities.SafeToResubmit {
		err := env.Tasks.RequeueAfterRestart(ctx, r.task, p.worker.Lease)
		if err == nil {
			p.untrack(r)
		}

		return err
	}

	if r.notFoundSince.IsZero() {
		r.notFoundSince = env.now()
	}

	if env.now().Sub(r.notFoundSince) < env.scaled(record.NotFoundConfirmation) {
		p.schedule(r, env.scaled(record.NotFoundConfirmation))
		return nil
	}

	lost := fault.New(fault.CodeUpstreamLost, "", "The supplier no longer knows this task. Nothing was charged; create it again.")

	err := env.Tasks.Fail(ctx, r.task, lost, record.Step{Note: "not found at the supplier", Lease: p.worker.Lease})
	if err == nil {
		env.Tasks.Log.Error("ALERT: the supplier no longer knows a task", "task", r.task.ID, "remote_id", r.task.RemoteID, "upstream", p.up.Name)
		p.untrack(r)
	}

	return err
}

// handlePollError polls again later: a failed poll says nothing about the task. A task that
// is older than its timeout and the supplier's retention together is not found.
func (p *poller) handlePollError(ctx context.Context, r *trackedTask, f *provider.Failure) {
	p.up.RecordFailure(f)

	r.failures++
	after := min(record.MinRetryDelay<<min(r.failures, 6), record.MaxRetryDelay)

	switch f.Class {
	case provider.AccountBlocked:
		r.submitter.handleAccountBlocked(ctx, f)

		after = record.MaxRetryDelay
	case provider.Throttled:
		after = max(after, f.RetryAfter)
	}

	if p.env.Tasks.Clock.Millis()-r.task.StartedAt > p.env.Tasks.TaskTimeout.Milliseconds()+record.RemoteRetention.Milliseconds() {
		_ = p.handleNotFound(ctx, r)
		return
	}

	if r.failures == 3 {
		p.env.Tasks.Log.Warn("a task cannot be polled", "task", r.task.ID, "upstream", p.up.Name, "error", f)
	}

	p.schedule(r, after)
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

// eachTracked calls visit for each task that is polled.
func (p *poller) eachTracked(visit func(t task.Task, noProgress bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, r := range p.tasks {
		visit(r.task, p.noProgress)
	}
}
