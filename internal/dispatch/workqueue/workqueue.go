// Package workqueue is a queue of task ids for a pool of workers: each id waits once, and is
// worked on by one worker at a time. Packages reference and result take their work from
// one. It never decides what is done, and it is not the queue of the fair order, which is
// in the database.
package workqueue

import (
	"context"
	"sync"

	"github.com/unireel/unireel/internal/clock"
)

// Queue is a queue of task ids, each at most once. It is lost with the process; the
// database has the same tasks.
type Queue struct {
	name  string
	clock clock.Clock

	mu         sync.Mutex
	ids        []string
	active     map[string]bool // waiting or being worked on
	addedAgain map[string]bool // added while being worked on
	wakeup     chan struct{}
}

// New returns an empty queue. Its name tells its work from that of other queues.
func New(name string, c clock.Clock) *Queue {
	return &Queue{name: name, clock: c, active: map[string]bool{}, addedAgain: map[string]bool{}, wakeup: make(chan struct{}, 1)}
}

// Add adds an id. One that is being worked on is worked on once more afterwards.
func (q *Queue) Add(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if q.active[id] {
		q.addedAgain[id] = true
		return
	}

	q.active[id] = true
	q.ids = append(q.ids, id)
	q.wake()
}

func (q *Queue) wake() {
	select {
	case q.wakeup <- struct{}{}:
	default:
	}
}

func (q *Queue) next() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()

	if len(q.ids) == 0 {
		return "", false
	}

	id := q.ids[0]
	q.ids = q.ids[1:]
	delete(q.addedAgain, id)

	if len(q.ids) > 0 {
		q.wake() // another worker may help
	}

	return id, true
}

func (q *Queue) done(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()

	delete(q.active, id)

	if q.addedAgain[id] {
		delete(q.addedAgain, id)
		q.active[id] = true
		q.ids = append(q.ids, id)
		q.wake()
	}
}

// Waiting returns how many ids wait for a worker.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.ids)
}

// Run is one worker: it handles ids until ctx ends.
func (q *Queue) Run(ctx context.Context, handle func(context.Context, string)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wakeup:
		}

		for ctx.Err() == nil {
			id, ok := q.next()
			if !ok {
				break
			}

			q.clock.Actor(q.name + " " + id).Align(ctx)
			handle(ctx, id)
			q.done(id)
		}
	}
}
