package eta

import (
	"context"
	"time"

	"github.com/unireel/unireel/internal/fairqueue"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// maxPositions is the position up to which positions are exact.
const maxPositions = 1000

// simulateQueue computes the positions and expected ends of the tasks in a queue. It
// simulates the claims that would follow if no task came or went: as a claim does, it
// takes the oldest task of the share with the lowest virtual start, and advances that
// share's virtual start by the task's seconds divided by the share's weight. Tasks in
// front of a position are assumed to run in rounds of as many as the routes have slots.
func (s *Snapshots) simulateQueue(ctx context.Context, queue store.Queue, positions map[string]position) error {
	shares, err := s.Store.Shares(ctx, queue.ID, maxPositions)
	if err != nil {
		return err
	}

	simulation, err := s.newSimulation(ctx, queue.ID, shares)
	if err != nil {
		return err
	}

	slots, perTask := s.queueThroughput(queue.ID)
	now := s.Clock.Now()

	n := int64(1)
	for n <= maxPositions {
		first, ok := simulation.order.First()
		if !ok {
			break
		}

		next, ok, err := simulation.tasks[first.Account].next(ctx, s.Store, queue.ID)
		if err != nil {
			return err
		}

		if !ok {
			simulation.order.Drop()
			continue
		}

		// The tasks that run now hold slots too, so they count as if they stood in front.
		rounds := (n+queue.Running-1)/slots + 1
		positions[next.Task] = position{n: n, end: now.Add(time.Duration(rounds) * perTask).Unix()}
		n++

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
func (s *Snapshots) newSimulation(ctx context.Context, queue string, shares []store.Share) (simulation, error) {
	perShare := maxPositions/max(1, len(shares)) + 1
	firstTasks, err := s.Store.QueueHeads(ctx, queue, len(shares), perShare)

	sim := simulation{tasks: map[string]*shareTasks{}}

	order := make([]fairqueue.Share, len(shares))
	for i, share := range shares {
		order[i] = fairqueue.Share{Account: share.Account, VirtualStart: share.VirtualStart, Weight: share.Weight}

		// A share without tasks here, or with a full page of them, may have more.
		tasks := firstTasks[share.Account]
		exhausted := 0 < len(tasks) && len(tasks) < perShare
		sim.tasks[share.Account] = &shareTasks{account: share.Account, tasks: tasks, exhausted: exhausted}
	}

	sim.order = fairqueue.NewOrder(order)

	return sim, err
}

// queueThroughput returns how many of a queue's tasks can run at once, and how long each takes.
func (s *Snapshots) queueThroughput(queue string) (slots int64, perTask time.Duration) {
	for _, route := range task.ParseRouteSet(queue) {
		slots += s.Fleet.Slots(route)
	}

	longest := func(t task.Task) {
		if t.Queue == queue {
			perTask = max(perTask, s.History.Median(t))
		}
	}

	s.Fleet.EachTracked(func(t task.Task, _ bool) { longest(t) })

	for _, t := range s.PeerTasks() {
		longest(t)
	}

	if perTask == 0 {
		perTask = time.Duration(defaultDurations[len(defaultDurations)/2]) * time.Millisecond
		if s.Fleet.PreviewFallbackActive() {
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
