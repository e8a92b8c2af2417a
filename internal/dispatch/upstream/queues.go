package upstream

import (
	"maps"
	"slices"
	"sync"

	"github.com/unireel/unireel/internal/task"
)

// Queues is the set of known queues and their routes.
type Queues struct {
	mu      sync.RWMutex
	byQueue map[string]task.RouteSet
}

// NewQueues returns an empty set.
func NewQueues() *Queues { return &Queues{byQueue: map[string]task.RouteSet{}} }

// Add adds a queue; "" is none.
func (q *Queues) Add(queue string) {
	q.mu.RLock()
	_, known := q.byQueue[queue]
	q.mu.RUnlock()

	if known || queue == "" {
		return
	}

	q.mu.Lock()
	defer q.mu.Unlock()

	q.byQueue[queue] = task.ParseRouteSet(queue)
}

// RoutesOf returns the routes of a known queue.
func (q *Queues) RoutesOf(queue string) task.RouteSet {
	q.mu.RLock()
	defer q.mu.RUnlock()

	return q.byQueue[queue]
}

// WithRoute lists the queues that include the route, sorted.
func (q *Queues) WithRoute(route task.Route) []string {
	q.mu.RLock()
	defer q.mu.RUnlock()

	var list []string

	for _, queue := range slices.Sorted(maps.Keys(q.byQueue)) {
		if slices.Contains(q.byQueue[queue], route) {
			list = append(list, queue)
		}
	}

	return list
}

// Routes lists every route of every queue.
func (q *Queues) Routes() task.RouteSet {
	q.mu.RLock()
	defer q.mu.RUnlock()

	var list task.RouteSet
	for _, routes := range q.byQueue {
		list = append(list, routes...)
	}

	return task.NewRouteSet(list...)
}
