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
	pollTime     = 30 * time.Second // one question
	unknownTwice = 15 * time.Second // between two answers that a ticket is unknown
)

// polls asks about the running tickets of one upstream: each at its own time, in
// memory, within the account's budget, and none held up by another.
type polls struct {
	d      *Dispatch
	t      *tenure
	up     *upstream
	budget limit.Bucket
	bell   chan struct{}
	places chan struct{}

	mu     sync.Mutex
	heap   pollHeap
	all    map[string]*running // by task
	silent bool                // the supplier tells no progress: it is estimated each second
}

// running is a ticket that is asked about.
type running struct {
	task     task.Task
	gate     *gate
	next     time.Time
	index    int // in the heap; -1 while it is asked about
	failures int
	unknown  time.Time // when the supplier first said that it does not know it
	pending  int64     // when the supplier last said "not yet", unix milliseconds
	cancel   bool      // a cancel was wished and not answered yet
	answered bool      // the supplier answered the wish: it is asked once
	gone     bool      // it left running
}

func newPolls(t *tenure) *polls {
	up := t.up

	return &polls{
		d: t.d, t: t, up: up, bell: make(chan struct{}, 1), places: make(chan struct{}, pollers), all: map[string]*running{},
		budget: t.bucket(up.Limits.QueriesPerSecond),
	}
}

// add begins to ask about a task's ticket. One that was taken over is asked about
// as soon as it may be done: nobody has asked for a while.
func (p *polls) add(t task.Task, g *gate, takenOver bool) {
	now := p.d.Now()

	first := p.d.paces.first(t, p.up.Kind.Traits, now)
	if takenOver && first <= p.up.Kind.Traits.PollEvery[0] {
		first = 0
	}

	r := &running{task: t, gate: g, next: now.Add(first), index: -1, cancel: t.CancelRequestedAt > 0}
	if r.cancel {
		r.next = now
	}

	p.mu.Lock()
	if p.all[t.ID] == nil {
		p.all[t.ID] = r
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	p.d.live.note(t.ID, t.Progress)
	p.ring()
}

func (p *polls) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// hurry asks about a task at once: its customer changed their mind.
func (p *polls) hurry(id string) {
	p.mu.Lock()
	if r := p.all[id]; r != nil && !r.cancel && !r.answered {
		r.cancel = true
		if r.index >= 0 {
			r.next = p.d.Now()
			heap.Fix(&p.heap, r.index)
		}
	}
	p.mu.Unlock()
	p.ring()
}

// run asks what is due until ctx ends, and waits for the answers under way.
func (p *polls) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	for {
		r, next := p.due()
		if r != nil {
			select {
			case p.places <- struct{}{}:
			case <-ctx.Done():
				return
			}

			asking.Go(func() {
				p.ask(ctx, r)
				<-p.places
			})

			continue
		}

		timer.Reset(next)

		select {
		case <-ctx.Done():
			return
		case <-p.bell:
		case <-timer.C:
		}
	}
}

// due takes the ticket whose time has come, if the budget allows a question;
// else it says how long to wait.
func (p *polls) due() (*running, time.Duration) {
	now := p.d.Now()
	p.mu.Lock()
	defer p.mu.Unlock()

	if len(p.heap) == 0 {
		return nil, time.Hour
	}

	if early := p.heap[0].next.Sub(now); early > 0 {
		return nil, early
	}

	if ok, until := p.budget.Take(now); !ok {
		return nil, until
	}

	return heap.Pop(&p.heap).(*running), 0
}

// afford takes a question out of the account's budget for who asks out of turn;
// else it says how long to wait for one.
func (p *polls) afford() (bool, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.budget.Take(p.d.Now())
}

// again plans the next question about a ticket.
func (p *polls) again(r *running, after time.Duration) {
	p.mu.Lock()
	if !r.gone {
		r.next = p.d.Now().Add(after)
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	p.ring()
}

// leave forgets a ticket whose task is not running any more.
func (p *polls) leave(r *running) {
	p.mu.Lock()
	r.gone = true
	delete(p.all, r.task.ID)
	p.mu.Unlock()
	r.gate.free(r.task.ID)
}

// size is how many tickets are asked about.
func (p *polls) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return len(p.all)
}

// ask asks once about a ticket and does what the answer wants.
func (p *polls) ask(ctx context.Context, r *running) {
	d := p.d
	d.Point("polling")
	p.mu.Lock()
	cancelled := r.cancel
	p.mu.Unlock()

	if cancelled && p.askCancel(ctx, r) {
		return
	}

	asking, done := context.WithTimeout(ctx, pollTime)
	report, err := p.up.Provider.Poll(asking, provider.Ticket(r.task.Ticket))

	done()

	if ctx.Err() != nil {
		return
	}

	if err != nil {
		d.stats.polls.WithLabelValues(p.up.Name, "no answer").Inc()
		p.noAnswer(ctx, r, provider.FailureOf(err))

		return
	}

	d.stats.polls.WithLabelValues(p.up.Name, string(report.Phase)).Inc()

	r.failures = 0
	if err := p.heed(ctx, r, report); err != nil {
		if errors.Is(err, errDecided) || errors.Is(err, store.ErrNotFound) {
			p.leave(r)
			d.collects.add(r.task.ID) // a past owner may have found it rendered

			return
		}

		if errors.Is(err, store.ErrNotOwner) {
			d.keeper.wake() // to see that the lease is gone
		} else if ctx.Err() == nil {
			d.Log.Error("cannot write what a poll found, asking again", "task", r.task.ID, "error", err)
		}

		p.again(r, retryFirst)
	}
}

// heed does what a report wants. A poll that finds nothing new writes nothing.
func (p *polls) heed(ctx context.Context, r *running, report provider.Report) error {
	d := p.d

	t := r.task
	if report.Phase != provider.Unknown {
		r.unknown = time.Time{}
	}

	switch report.Phase {
	case provider.Rendered:
		return p.rendered(ctx, r, report)
	case provider.Broken:
		f := report.Failure
		if f == nil {
			f = provider.FailureOf(errors.New("broken without a reason"))
		}

		return p.broken(ctx, r, f)
	case provider.Stopped:
		return p.stopped(ctx, r)
	case provider.Unknown:
		return p.unknownTicket(ctx, r)
	}

	r.pending = d.millis()

	elapsed := d.millis() - t.StartedAt
	if elapsed > d.TaskTimeout.Milliseconds() {
		err := d.fail(ctx, t, fault.New(fault.CodeTimedOut, "", "The supplier did not finish in the time that a task may take. Nothing was charged; create the task again."),
			step{note: "task timeout", fenced: p.t.lease})
		if err == nil {
			p.leave(r)
		}

		return err
	}

	progress := int64(report.Progress)
	if report.Progress < 0 {
		p.mu.Lock()
		p.silent = true
		p.mu.Unlock()

		progress = d.paces.progress(t, elapsed)
	}

	d.live.note(t.ID, min(progress, 95))
	p.again(r, d.paces.next(t, p.up.Kind.Traits))

	return nil
}

// rendered moves the task on to collecting, once it is sure that it is ours.
func (p *polls) rendered(ctx context.Context, r *running, report provider.Report) error {
	d := p.d

	if report.Result == nil {
		return errors.New("rendered without a result")
	}

	result := *report.Result
	if report.Prompt != "" {
		result.Prompt = report.Prompt
	}

	if same, err := d.provesOurs(ctx, r.task, result); err != nil {
		return err
	} else if !same {
		d.stats.rescues.WithLabelValues("quarantined").Inc()
		d.Log.Error("ALERT: an adopted ticket turned out not to be this task's; it is not delivered", "task", r.task.ID, "ticket", r.task.Ticket, "upstream", p.up.Name)

		err := d.fail(ctx, r.task, lostBefore(), step{note: "adopted ticket is not ours", fenced: p.t.lease})
		if err == nil {
			p.leave(r)
		}

		return err
	}

	link, err := json.Marshal(result)
	if err != nil {
		return err
	}

	next, err := d.advance(ctx, r.task.ID, step{from: task.Running, attempt: r.task.Attempt, note: "rendered", edit: func(t *task.Task) {
		t.State, t.Result, t.RenderedAt = task.Collecting, string(link), renderedAt(*t, result, r.pending, d.millis())
		t.Progress = max(t.Progress, min(d.live.progress(t.ID), 95))
	}})
	if err != nil {
		return err
	}

	d.paces.learn(next)
	p.leave(r)
	d.collects.add(next.ID)

	return nil
}

// broken ends a task, or gives it one of its new submissions: a task that failed
// there costs nothing there.
func (p *polls) broken(ctx context.Context, r *running, f *provider.Failure) error {
	d := p.d
	p.up.note(f)
	d.Log.Warn("the supplier failed at a task", "task", r.task.ID, "ticket", r.task.Ticket, "class", f.Class, "code", f.Code, "error", f.Err)

	if f.Class == provider.Locked {
		r.gate.locked(ctx, f)
	}

	again := f.Class != provider.Refused && f.Class != provider.Gone && r.task.Retries < 2

	_, err := d.advance(ctx, r.task.ID, step{from: task.Running, attempt: r.task.Attempt, fenced: p.t.lease, note: "broken: " + f.Class.String() + " " + f.Code, edit: func(t *task.Task) {
		switch {
		case again && t.CancelRequestedAt > 0:
			t.State = task.Cancelled
		case again:
			requeue(t, d.millis())
		default:
			t.State = task.Failed
			t.Error = failureFor(f)
		}
	}})
	if err == nil {
		p.leave(r)
	}

	return err
}

// requeue edits a task back into its lane for a new submission.
func requeue(t *task.Task, now int64) {
	t.State = task.Queued
	t.Upstream = ""
	t.Ticket = ""
	t.Result = ""
	t.QueuedAt = now
	t.Retries++
}

// stopped is a ticket that the supplier cancelled: as we asked, or by somebody
// else's hand, and then the task has a new submission.
func (p *polls) stopped(ctx context.Context, r *running) error {
	fresh, err := p.d.Store.Task(ctx, r.task.ID)
	if err != nil {
		return err
	}

	if fresh.CancelRequestedAt == 0 {
		return p.broken(ctx, r, &provider.Failure{Class: provider.Passing, Code: "cancelled at the supplier"})
	}

	return p.cancelled(ctx, r)
}

func (p *polls) cancelled(ctx context.Context, r *running) error {
	_, err := p.d.advance(ctx, r.task.ID, step{from: task.Running, attempt: r.task.Attempt, note: "cancelled at the supplier", edit: func(t *task.Task) { t.State = task.Cancelled }})
	if err == nil {
		p.leave(r)
	}

	return err
}

// unknownTicket believes a supplier that it does not know a ticket only when it
// says so twice; a renderer of our own just lost it with its process.
func (p *polls) unknownTicket(ctx context.Context, r *running) error {
	d := p.d
	if p.up.Kind.Traits.Resubmit {
		err := d.remake(ctx, r.task, p.t.lease)
		if err == nil {
			p.leave(r)
		}

		return err
	}

	if r.unknown.IsZero() {
		r.unknown = d.Now()
	}

	if d.Now().Sub(r.unknown) < d.hasty(unknownTwice) {
		p.again(r, d.hasty(unknownTwice))
		return nil
	}

	err := d.fail(ctx, r.task, fault.New(fault.CodeUpstreamLost, "", "The supplier no longer knows this task. Nothing was charged; create it again."),
		step{note: "ticket unknown at the supplier", fenced: p.t.lease})
	if err == nil {
		d.Log.Error("ALERT: the supplier does not know a ticket any more", "task", r.task.ID, "ticket", r.task.Ticket, "upstream", p.up.Name)
		p.leave(r)
	}

	return err
}

// remake puts a task whose renderer is gone back into its lane: it is made again,
// and that is no try that counts.
func (d *Dispatch) remake(ctx context.Context, t task.Task, by *lease) error {
	_, err := d.advance(ctx, t.ID, step{from: t.State, attempt: t.Attempt, fenced: by, note: "the renderer was restarted", edit: func(t *task.Task) {
		if t.CancelRequestedAt > 0 && t.State != task.Collecting {
			t.State = task.Cancelled
			return
		}

		retries := t.Retries
		requeue(t, d.millis())
		t.Retries = retries
	}})

	return err
}

// noAnswer asks later; it says nothing about the ticket.
func (p *polls) noAnswer(ctx context.Context, r *running, f *provider.Failure) {
	p.up.note(f)

	r.failures++
	after := min(retryFirst<<min(r.failures, 6), retryLast)

	switch f.Class {
	case provider.Locked:
		r.gate.locked(ctx, f)

		after = retryLast
	case provider.Throttled:
		after = max(after, f.After)
	}

	if p.d.millis()-r.task.StartedAt > p.d.TaskTimeout.Milliseconds()+upstreamForgets.Milliseconds() {
		_ = p.unknownTicket(ctx, r)
		return
	}

	if r.failures == 3 {
		p.d.Log.Warn("no answer about a task", "task", r.task.ID, "upstream", p.up.Name, "error", f)
	}

	p.again(r, after)
}

// upstreamForgets is how long suppliers know a ticket (DashScope: 24 h).
const upstreamForgets = 24 * time.Hour

// takeRunning goes on with a task that an earlier owner was asking about.
func (d *Dispatch) takeRunning(ctx context.Context, t task.Task) error {
	a, err := d.Store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return fmt.Errorf("its attempt: %w", err)
	}

	g := d.gateOf(a)
	if g == nil && d.live.strange(t.ID) {
		return nil // told already
	}

	if g == nil {
		d.Log.Error("ALERT: a running task's upstream is not configured any more; it waits for it", "task", t.ID, "upstream", a.Upstream, "model", a.Model)
		return nil
	}

	g.hold(t.ID)

	if t.CancelRequestedAt > 0 && refused(t) {
		t.CancelRequestedAt = 0 // asked and answered
	}

	g.t.polls.add(t, g, true)

	return nil
}

// gateOf is where an attempt passed, if its upstream is served here.
func (d *Dispatch) gateOf(a store.Attempt) *gate {
	t := d.keeper.tenure(a.Upstream)
	if t == nil {
		return nil
	}

	return t.gate(a.Model)
}

// pollHeap orders tickets by when they are asked about next.
type pollHeap []*running

func (h pollHeap) Len() int           { return len(h) }
func (h pollHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h pollHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index = i
	h[j].index = j
}
func (h *pollHeap) Push(x any) { r := x.(*running); r.index = len(*h); *h = append(*h, r) }
func (h *pollHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	r.index = -1

	return r
}
