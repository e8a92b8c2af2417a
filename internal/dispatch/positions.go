package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fairqueue"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	snapshotInterval = time.Second
	maxPositions     = 1000 // positions are exact up to this one
)

// liveState holds what is known of unfinished tasks beyond their rows: progress, position
// in the queue, failed tries. It does no harm that it is lost with the process.
type liveState struct {
	mu        sync.RWMutex
	tasks     map[string]*liveTask
	positions map[string]queuePosition // by task; each snapshot replaces the map
}

type liveTask struct {
	progress      int64
	failures      int
	reported      bool      // the operator was told that the task's upstream is no longer configured
	notFoundSince time.Time // when the supplier first said that it no longer has the rendered video
}

type queuePosition struct {
	position int64
	eta      int64 // unix seconds
}

func newLiveState() *liveState {
	return &liveState{tasks: map[string]*liveTask{}, positions: map[string]queuePosition{}}
}

func (l *liveState) task(id string) *liveTask {
	t := l.tasks[id]
	if t == nil {
		t = &liveTask{}
		l.tasks[id] = t
	}

	return t
}

// raiseProgress raises a task's progress, which never falls.
func (l *liveState) raiseProgress(id string, progress int64) {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	t.progress = max(t.progress, progress)
}

func (l *liveState) progress(id string) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()

	if t := l.tasks[id]; t != nil {
		return t.progress
	}

	return 0
}

// countFailure counts a failed try and returns the number of tries that failed.
func (l *liveState) countFailure(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	t.failures++

	return t.failures
}

// hasFailed reports whether a try failed, so that the next one is scheduled.
func (l *liveState) hasFailed(id string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return l.tasks[id] != nil && l.tasks[id].failures > 0
}

// notFoundSince records that the supplier does not know a rendered task, and returns since
// when it has said so; the zero time clears the record.
func (l *liveState) notFoundSince(id string, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	if t.notFoundSince.IsZero() || now.IsZero() {
		t.notFoundSince = now
	}

	return t.notFoundSince
}

// markReported records that the operator was told of a task, and returns whether that was
// so before.
func (l *liveState) markReported(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	before := t.reported
	t.reported = true

	return before
}

func (l *liveState) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	delete(l.tasks, id)
}

// Live returns what is known of an unfinished task beyond its row: its progress, 0 to 95;
// its position in its queue, from 1 (0: not queued, or beyond the first thousand); and when
// it is expected to end, in unix seconds (0: unknown). ok is false when nothing is known.
func (d *Dispatch) Live(id string) (progress, position, eta int64, ok bool) {
	d.live.mu.RLock()
	defer d.live.mu.RUnlock()

	if t := d.live.tasks[id]; t != nil {
		progress = t.progress
		ok = true
	}

	if p, queued := d.live.positions[id]; queued {
		position = p.position
		eta = p.eta
		ok = true
	}

	return progress, position, eta, ok
}

// expectedEnd returns when a running task is expected to end, in unix seconds.
func (d *Dispatch) expectedEnd(t task.Task) int64 {
	remaining := d.durations.median(t) - d.Now().Sub(time.UnixMilli(t.StartedAt))
	return d.Now().Add(max(remaining, 2*time.Second)).Unix()
}

// runSnapshots computes the positions of all queued tasks once a second until ctx ends.
func (d *Dispatch) runSnapshots(ctx context.Context) {
	for sleep(ctx, snapshotInterval) {
		if err := d.takeSnapshot(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot compute queue positions", "error", err)
		}

		d.startSubmitters() // for queues that are new
	}
}

func (d *Dispatch) takeSnapshot(ctx context.Context) error {
	queues, err := d.Store.Queues(ctx)
	if err != nil {
		return err
	}

	peerTasks, err := d.refreshPeerTasks(ctx)
	if err != nil {
		return err
	}

	// The positions are computed into a new map, which replaces the old one at the end:
	// a status request reads one whole snapshot, without waiting for this computation.
	positions := map[string]queuePosition{}

	for _, queue := range queues {
		d.queues.add(queue.ID)
		d.metrics.queued.WithLabelValues(queue.ID).Set(float64(queue.Queued))

		if queue.Queued == 0 {
			continue
		}

		if err := d.simulateQueue(ctx, queue, positions); err != nil {
			return err
		}
	}

	for _, w := range d.coordinator.workers() {
		w.poller.eachTracked(func(r *trackedTask) {
			positions[r.task.ID] = queuePosition{eta: d.expectedEnd(r.task)}
			if w.poller.noProgress {
				d.live.raiseProgress(r.task.ID, d.durations.estimateProgress(r.task, d.nowMillis()-r.task.StartedAt))
			}
		})
	}

	d.peerTaskList.Store(&peerTasks)

	for _, t := range peerTasks {
		positions[t.ID] = queuePosition{eta: d.expectedEnd(t)}
	}

	d.live.mu.Lock()
	d.live.positions = positions
	d.live.mu.Unlock()

	return nil
}

func (p *poller) eachTracked(visit func(*trackedTask)) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, r := range p.tasks {
		visit(r)
	}
}

// simulateQueue computes the positions and expected ends of the tasks in a queue. It
// simulates the claims that would follow if no task came or went: as a claim does, it
// takes the oldest task of the share with the lowest virtual start, and advances that
// share's virtual start by the task's seconds divided by the share's weight. Tasks in
// front of a position are assumed to run in rounds of as many as the routes have slots.
func (d *Dispatch) simulateQueue(ctx context.Context, queue store.Queue, positions map[string]queuePosition) error {
	shares, err := d.Store.Shares(ctx, queue.ID, maxPositions)
	if err != nil {
		return err
	}

	simulation, err := d.newSimulation(ctx, queue.ID, shares)
	if err != nil {
		return err
	}

	slots, perTask := d.queueThroughput(queue.ID)
	now := d.Now()

	position := int64(1)
	for position <= maxPositions {
		first, ok := simulation.order.First()
		if !ok {
			break
		}

		next, ok, err := simulation.tasks[first.Account].next(ctx, d.Store, queue.ID)
		if err != nil {
			return err
		}

		if !ok {
			simulation.order.Drop()
			continue
		}

		// The tasks that run now hold slots too, so they count as if they stood in front.
		rounds := (position+queue.Running-1)/slots + 1
		positions[next.Task] = queuePosition{position: position, eta: now.Add(time.Duration(rounds) * perTask).Unix()}
		position++

		simulation.order.Take(next.Seconds)
	}

	return nil
}

// simulation is a queue's claims to come: whose turn it is, and the tasks of each account.
type simulation struct {
	order *fairqueue.Order
	tasks map[string]*shareTasks // by account
}

// newSimulation reads at once the first tasks that most shares of a queue need: the
// positions are divided between the shares, so that of many shares each has few. A
// share that needs more tasks reads them later.
func (d *Dispatch) newSimulation(ctx context.Context, queue string, shares []store.Share) (simulation, error) {
	perShare := maxPositions/max(1, len(shares)) + 1
	firstTasks, err := d.Store.QueueHeads(ctx, queue, len(shares), perShare)

	s := simulation{tasks: map[string]*shareTasks{}}

	order := make([]fairqueue.Share, len(shares))
	for i, share := range shares {
		order[i] = fairqueue.Share{Account: share.Account, VirtualStart: share.VirtualStart, Weight: share.Weight}

		// A share without tasks here, or with a full page of them, may have more.
		tasks := firstTasks[share.Account]
		exhausted := 0 < len(tasks) && len(tasks) < perShare
		s.tasks[share.Account] = &shareTasks{account: share.Account, tasks: tasks, exhausted: exhausted}
	}

	s.order = fairqueue.NewOrder(order)

	return s, err
}

// queueThroughput returns how many of a queue's tasks can run at once, and how long each takes.
func (d *Dispatch) queueThroughput(queue string) (slots int64, perTask time.Duration) {
	for _, route := range task.ParseRouteSet(queue) {
		slots += d.routeSlots(route)
	}

	for _, w := range d.coordinator.workers() {
		w.poller.eachTracked(func(r *trackedTask) {
			if r.task.Queue == queue {
				perTask = max(perTask, d.durations.median(r.task))
			}
		})
	}

	for _, t := range d.peerTasks() {
		if t.Queue == queue {
			perTask = max(perTask, d.durations.median(t))
		}
	}

	if perTask == 0 {
		perTask = time.Duration(defaultDurations[len(defaultDurations)/2]) * time.Millisecond
		if d.PreviewFallbackActive() {
			perTask = 10 * time.Second
		}
	}

	return max(slots, 1), perTask
}

// shareTasks are the queued tasks of an account's share, oldest first, as far as they were read.
type shareTasks struct {
	account   string
	tasks     []store.QueuedTask
	lastTask  string
	batchSize int
	exhausted bool
}

// next returns the share's next task. It reads tasks in growing batches.
func (s *shareTasks) next(ctx context.Context, st *store.Store, queue string) (store.QueuedTask, bool, error) {
	if len(s.tasks) == 0 && !s.exhausted {
		s.batchSize = min(max(4, s.batchSize*4), maxPositions)

		tasks, err := st.QueuedByAccount(ctx, queue, s.account, s.lastTask, s.batchSize)
		if err != nil {
			return store.QueuedTask{}, false, err
		}

		s.tasks = tasks
		s.exhausted = len(tasks) < s.batchSize
	}

	if len(s.tasks) == 0 {
		return store.QueuedTask{}, false, nil
	}

	next := s.tasks[0]
	s.tasks = s.tasks[1:]
	s.lastTask = next.Task

	return next, true, nil
}
