package dispatch

import (
	"context"
	"sync"
)

// workQueue is a queue of task ids, each at most once, for a pool of workers. It is lost
// with the process; the database has the same tasks.
type workQueue struct {
	mu         sync.Mutex
	ids        []string
	active     map[string]bool // waiting or being worked on
	addedAgain map[string]bool // added while being worked on
	wakeup     chan struct{}
}

func newWorkQueue() *workQueue {
	return &workQueue{active: map[string]bool{}, addedAgain: map[string]bool{}, wakeup: make(chan struct{}, 1)}
}

func (q *workQueue) add(id string) {
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

func (q *workQueue) wake() {
	select {
	case q.wakeup <- struct{}{}:
	default:
	}
}

func (q *workQueue) next() (string, bool) {
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

func (q *workQueue) done(id string) {
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

// waiting returns how many ids wait for a worker.
func (q *workQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.ids)
}

// run handles ids until ctx ends.
func (q *workQueue) run(ctx context.Context, handle func(context.Context, string)) {
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

			handle(ctx, id)
			q.done(id)
		}
	}
}
