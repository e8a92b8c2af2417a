package api

import (
	"context"
	"errors"
	"sync"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// hotMost bounds what is kept. The bench saw a process of some 700 MiB with 100,000
// tasks being polled.
const hotMost = 1 << 17

// hotTasks keeps the tasks that are being polled, each watched in the store, so
// that a poll between two changes touches no database. A task is read again when
// it changed, before anybody is told of it: a caller sees every change that this
// replica committed before the call began, and another one's as soon as its
// notice came (some 50 ms); while none can come, every call reads the database.
type hotTasks struct {
	store *store.Store
	most  int
	mu    sync.RWMutex
	tasks map[string]*hotTask
}

type hotTask struct {
	changed <-chan struct{}
	stop    func()
	mu      sync.Mutex
	loaded  bool
	known   task.Task
}

func newHotTasks(s *store.Store, most int) *hotTasks {
	return &hotTasks{store: s, most: most, tasks: map[string]*hotTask{}}
}

// of is the account's task that it did not delete, or store.ErrNotFound. When
// the database does not answer, it is what was known last.
func (h *hotTasks) of(ctx context.Context, account, id string) (task.Task, error) {
	h.mu.RLock()
	hot := h.tasks[id]
	h.mu.RUnlock()

	if hot == nil {
		hot = h.watch(id)
	}

	s, err := hot.read(ctx, h.store, id)
	if errors.Is(err, store.ErrNotFound) {
		h.forget(id, hot) // guessed ids must not fill the table
	}

	if err != nil {
		return task.Task{}, err
	}

	if s.Account != account || s.HiddenAt != 0 {
		return task.Task{}, store.ErrNotFound
	}

	return s, nil
}

func (t *hotTask) read(ctx context.Context, from *store.Store, id string) (task.Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	select {
	case <-t.changed:
	default:
		if t.loaded && !from.Deaf() {
			return t.known, nil
		}
	}

	s, err := from.Task(ctx, id)
	switch {
	case err == nil:
		t.known = s
		t.loaded = true
	case t.loaded && ctx.Err() == nil && !errors.Is(err, store.ErrNotFound):
		s = t.known
		t.loaded = false
		err = nil // known last; asked again next time
	default:
		t.loaded = false
	}

	return s, err
}

// watch begins to watch a task; somebody else's place is given up when there are
// too many.
func (h *hotTasks) watch(id string) *hotTask {
	h.mu.Lock()
	defer h.mu.Unlock()

	if hot := h.tasks[id]; hot != nil {
		return hot
	}

	if len(h.tasks) >= h.most {
		for other, hot := range h.tasks {
			hot.stop()
			delete(h.tasks, other)

			break
		}
	}

	hot := &hotTask{}
	hot.changed, hot.stop = h.store.WatchTask(id)
	h.tasks[id] = hot

	return hot
}

// forget ends the watch of what is not there.
func (h *hotTasks) forget(id string, hot *hotTask) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if h.tasks[id] == hot {
		hot.stop()
		delete(h.tasks, id)
	}
}

func (h *hotTasks) close() {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, hot := range h.tasks {
		hot.stop()
	}

	clear(h.tasks)
}
