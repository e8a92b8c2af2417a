package dispatch

import (
	"container/heap"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	snapshotEvery = time.Second
	snapshotDeep  = 1000 // positions are exact to here
)

// live is what is known of unfinished tasks beyond their rows: progress, place
// in the lane, failed tries. It is lost with the process, and that is fine.
type live struct {
	mu    sync.RWMutex
	tasks map[string]*liveTask
	queue map[string]place // by task, replaced whole by each snapshot
}

type liveTask struct {
	progress int64
	failures int
	strange  bool      // the operator was told that its upstream is gone
	unknown  time.Time // when its supplier first said that it has the rendered video no more
}

type place struct {
	position int64
	eta      int64 // unix seconds
}

func newLive() *live { return &live{tasks: map[string]*liveTask{}, queue: map[string]place{}} }

func (l *live) task(id string) *liveTask {
	t := l.tasks[id]
	if t == nil {
		t = &liveTask{}
		l.tasks[id] = t
	}

	return t
}

// note raises a task's progress; it never falls.
func (l *live) note(id string, progress int64) {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	t.progress = max(t.progress, progress)
}

func (l *live) progress(id string) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()

	if t := l.tasks[id]; t != nil {
		return t.progress
	}

	return 0
}

// failed counts a failed try and says how many there were.
func (l *live) failed(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	t.failures++

	return t.failures
}

// failing says whether a next try is planned.
func (l *live) failing(id string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return l.tasks[id] != nil && l.tasks[id].failures > 0
}

// unknown notes when a supplier first said that it does not know a rendered
// ticket, and says since when that is so; the zero time forgets it.
func (l *live) unknown(id string, now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	if t.unknown.IsZero() || now.IsZero() {
		t.unknown = now
	}

	return t.unknown
}

// strange notes that the operator is told of a task, and says whether that was so
// before.
func (l *live) strange(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	t := l.task(id)
	was := t.strange
	t.strange = true

	return was
}

func (l *live) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()

	delete(l.tasks, id)
}

// Live says what is known of an unfinished task beyond its row: progress 0-95,
// position in its lane from 1 (0: not queued, or beyond the first thousand), and
// when it is expected to end, in unix seconds (0: unknown).
func (d *Dispatch) Live(id string) (progress, position, eta int64, ok bool) {
	d.live.mu.RLock()
	defer d.live.mu.RUnlock()

	if t := d.live.tasks[id]; t != nil {
		progress = t.progress
		ok = true
	}

	if p, queued := d.live.queue[id]; queued {
		position = p.position
		eta = p.eta
		ok = true
	}

	return progress, position, eta, ok
}

// expected is when a running task is expected to end, in unix seconds.
func (d *Dispatch) expected(t task.Task) int64 {
	left := d.paces.median(t) - d.Now().Sub(time.UnixMilli(t.StartedAt))
	return d.Now().Add(max(left, 2*time.Second)).Unix()
}

// snapshots looks once a second where every queued task stands.
func (d *Dispatch) snapshots(ctx context.Context) {
	for wait(ctx, snapshotEvery) {
		if err := d.snapshot(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot look into the lanes", "error", err)
		}

		d.openGates() // for lanes that came up since
	}
}

func (d *Dispatch) snapshot(ctx context.Context) error {
	work, err := d.Store.Lanes(ctx)
	if err != nil {
		return err
	}

	elsewhere, err := d.lookElsewhere(ctx)
	if err != nil {
		return err
	}

	queue := map[string]place{}

	for _, lane := range work {
		d.lanes.note(lane.ID)
		d.stats.queued.WithLabelValues(lane.ID).Set(float64(lane.Queued))

		if lane.Queued == 0 {
			continue
		}

		if err := d.places(ctx, lane, queue); err != nil {
			return err
		}
	}

	for _, t := range d.keeper.tenures() {
		t.polls.each(func(r *running) {
			queue[r.task.ID] = place{eta: d.expected(r.task)}
			if t.polls.silent {
				d.live.note(r.task.ID, d.paces.progress(r.task, d.millis()-r.task.StartedAt))
			}
		})
	}

	d.elsewhere.Store(&elsewhere)

	for _, t := range elsewhere {
		queue[t.ID] = place{eta: d.expected(t)}
	}

	d.live.mu.Lock()
	d.live.queue = queue
	d.live.mu.Unlock()

	return nil
}

func (p *polls) each(visit func(*running)) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, r := range p.all {
		visit(r)
	}
}

// places plays the fair order forward: who would be claimed next, and next, if
// nothing came or went.
func (d *Dispatch) places(ctx context.Context, lane store.Lane, into map[string]place) error {
	turns, err := d.Store.Turns(ctx, lane.ID, snapshotDeep)
	if err != nil {
		return err
	}

	order, err := d.lineUp(ctx, lane.ID, turns)
	if err != nil {
		return err
	}

	heap.Init(&order)

	slots, each := d.laneSpeed(lane.ID)
	now := d.Now()

	for position := int64(1); position <= snapshotDeep && len(order) > 0; position++ {
		a := order[0]

		next, ok, err := a.pull(ctx, d.Store, lane.ID)
		if err != nil {
			return err
		}

		if !ok {
			heap.Pop(&order)

			position--

			continue
		}

		rounds := (position+lane.Running-1)/slots + 1
		into[next.Task] = place{position: position, eta: now.Add(time.Duration(rounds) * each).Unix()}
		a.turn.Rank += next.Seconds << 20 / a.turn.Weight

		heap.Fix(&order, 0)
	}

	return nil
}

// lineUp asks at once for what most turns of a lane need: the places are theirs
// together, so of many turns each comes to few. Who comes to more asks again.
func (d *Dispatch) lineUp(ctx context.Context, lane string, turns []store.Turn) (turnHeap, error) {
	each := snapshotDeep/max(1, len(turns)) + 1
	first, err := d.Store.QueuedFirst(ctx, lane, len(turns), each)

	order := make(turnHeap, 0, len(turns))
	for _, t := range turns {
		// Who is not among the first any more, or has more than that, is asked for.
		tasks := first[t.Account]
		order = append(order, &ahead{turn: t, tasks: tasks, end: 0 < len(tasks) && len(tasks) < each})
	}

	return order, err
}

// laneSpeed is how many of a lane's tasks run at once, and how long each takes.
func (d *Dispatch) laneSpeed(lane string) (slots int64, each time.Duration) {
	for route := range strings.SplitSeq(lane, "|") {
		slots += d.slotsOf(route)
	}

	for _, t := range d.keeper.tenures() {
		t.polls.each(func(r *running) {
			if r.task.Lane == lane {
				each = max(each, d.paces.median(r.task))
			}
		})
	}

	for _, t := range d.seenElsewhere() {
		if t.Lane == lane {
			each = max(each, d.paces.median(t))
		}
	}

	if each == 0 {
		each = time.Duration(guess[len(guess)/2]) * time.Millisecond
		if d.StandsIn() {
			each = 10 * time.Second
		}
	}

	return max(slots, 1), each
}

// ahead is a turn being played forward.
type ahead struct {
	turn  store.Turn
	tasks []store.Waiting
	last  string
	chunk int
	end   bool
}

// pull gives the turn's next task, reading ever more of them at once.
func (a *ahead) pull(ctx context.Context, s *store.Store, lane string) (store.Waiting, bool, error) {
	if len(a.tasks) == 0 && !a.end {
		a.chunk = min(max(4, a.chunk*4), snapshotDeep)

		tasks, err := s.QueuedOf(ctx, lane, a.turn.Account, a.last, a.chunk)
		if err != nil {
			return store.Waiting{}, false, err
		}

		a.tasks = tasks
		a.end = len(tasks) < a.chunk
	}

	if len(a.tasks) == 0 {
		return store.Waiting{}, false, nil
	}

	next := a.tasks[0]
	a.tasks = a.tasks[1:]
	a.last = next.Task

	return next, true, nil
}

// turnHeap orders turns as claims do.
type turnHeap []*ahead

func (h turnHeap) Len() int { return len(h) }
func (h turnHeap) Less(i, j int) bool {
	if h[i].turn.Rank != h[j].turn.Rank {
		return h[i].turn.Rank < h[j].turn.Rank
	}

	return h[i].turn.Account < h[j].turn.Account
}
func (h turnHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *turnHeap) Push(x any)   { *h = append(*h, x.(*ahead)) }
func (h *turnHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	*h = old[:len(old)-1]

	return a
}
