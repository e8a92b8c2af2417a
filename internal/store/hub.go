package store

import (
	"sync"

	"github.com/unireel/unireel/internal/task"
)

// Change is a committed change of a task, as it is published to watchers; or,
// with Released alone, something that waits for a new owner.
type Change struct {
	Task     string
	Account  string
	State    task.State
	Released string // the lease that was released, or the replica that ended
}

// changeHub publishes committed changes to watchers: dispatch watches all tasks,
// a long-polling request watches one.
type changeHub struct {
	mu           sync.Mutex
	listenerDown bool // other replicas' changes are not received: no news does not mean no changes
	all          map[chan Change]struct{}
	tasks        map[string]map[chan struct{}]struct{}
}

func newChangeHub() *changeHub {
	return &changeHub{all: map[chan Change]struct{}{}, tasks: map[string]map[chan struct{}]struct{}{}}
}

func (h *changeHub) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	for _, c := range changes {
		for ch := range h.all {
			select {
			case ch <- c:
			default: // the watcher is behind: it reads the tables from time to time anyway
			}
		}

		for ch := range h.tasks[c.Task] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

// notifyAll makes every watcher read the tables: changes may have been missed.
func (h *changeHub) notifyAll() {
	h.mu.Lock()
	defer h.mu.Unlock()

	for ch := range h.all {
		select {
		case ch <- Change{}:
		default:
		}
	}

	for _, watchers := range h.tasks {
		for ch := range watchers {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

func (h *changeHub) setListenerDown(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.listenerDown = down
}

// ListenerDown reports that changes by other replicas are not received at the
// moment, so that what was read before may be out of date.
func (s *Store) ListenerDown() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()

	return s.hub.listenerDown
}

// WatchAll returns every committed change of a task from now on, including those
// of other replicas. An empty Change means that some may have been missed. A
// watcher that falls behind by more than buffer misses changes, and must read
// the tables from time to time anyway. stop ends the watch.
func (s *Store) WatchAll(buffer int) (changes <-chan Change, stop func()) {
	ch := make(chan Change, buffer)
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()

	h.all[ch] = struct{}{}

	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()

		delete(h.all, ch)
	}
}

// WatchTask signals after every committed change of one task from now on. To
// miss nothing, watch first, then read, then wait. stop ends the watch.
func (s *Store) WatchTask(id string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.tasks[id] == nil {
		h.tasks[id] = map[chan struct{}]struct{}{}
	}

	h.tasks[id][ch] = struct{}{}

	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()

		delete(h.tasks[id], ch)

		if len(h.tasks[id]) == 0 {
			delete(h.tasks, id)
		}
	}
}
