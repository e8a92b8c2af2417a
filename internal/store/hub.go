package store

import (
	"sync"

	"github.com/unireel/unireel/internal/task"
)

// Change is a committed step of a task, as it is told to those who wait; or, with
// Freed alone, that something waits for a new owner.
type Change struct {
	Task    string
	Account string
	State   task.State
	Freed   string // the lease that was dropped, or the replica that left
}

// hub tells commits to who asked: dispatch hears all, a long-poll one task.
type hub struct {
	mu    sync.Mutex
	deaf  bool // other replicas' changes are not heard: nobody may trust silence
	all   map[chan Change]struct{}
	tasks map[string]map[chan struct{}]struct{}
}

func newHub() *hub {
	return &hub{all: map[chan Change]struct{}{}, tasks: map[string]map[chan struct{}]struct{}{}}
}

func (h *hub) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	for _, c := range changes {
		for ch := range h.all {
			select {
			case ch <- c:
			default: // it is behind: it will look into the tables by itself
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

// wakeAll tells everybody to look for themselves: changes may have been missed.
func (h *hub) wakeAll() {
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

func (h *hub) setDeaf(deaf bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.deaf = deaf
}

// Deaf says that changes by other replicas are not heard of at the moment, so
// that what was read before may be old.
func (s *Store) Deaf() bool {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()

	return s.hub.deaf
}

// WatchAll gives every committed change of a task from now on, other replicas'
// too. An empty Change says that some may have been missed. Who falls behind
// by more than buffer misses some, and must look into the tables from time to
// time anyway. stop ends it.
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

// WatchTask signals after every committed change of one task from now on: watch
// first, then read, then wait. stop ends it.
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
