package api

import (
	"context"
	"errors"
	"sync"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// taskCacheSize bounds the cache. The benchmark measured a process of some 700 MiB with
// 100,000 polled tasks.
const taskCacheSize = 1 << 17

// taskCache caches the tasks that are being polled, so that a poll between two changes
// does not touch the database.
//
// Each cached task is watched in the store and read again after a change. A caller sees
// every change that this replica committed before the request began, and a change of
// another replica as soon as its notification arrives (some 50 ms). While the store's
// listener is down no notification can arrive, so every request reads the database.
type taskCache struct {
	store    *store.Store
	capacity int
	mu       sync.RWMutex
	tasks    map[string]*cachedTask
}

type cachedTask struct {
	changed <-chan struct{}
	stop    func()
	mu      sync.Mutex
	loaded  bool
	value   task.Task
}

func newTaskCache(s *store.Store, capacity int) *taskCache {
	return &taskCache{store: s, capacity: capacity, tasks: map[string]*cachedTask{}}
}

// get returns the account's task, or store.ErrNotFound if there is none or the account
// deleted it. When the database is unavailable it returns the last known value.
func (c *taskCache) get(ctx context.Context, account, id string) (task.Task, error) {
	c.mu.RLock()
	cached := c.tasks[id]
	c.mu.RUnlock()

	if cached == nil {
		cached = c.watch(id)
	}

	t, err := cached.read(ctx, c.store, id)
	if errors.Is(err, store.ErrNotFound) {
		c.remove(id, cached) // guessed ids must not fill the cache
	}

	if err != nil {
		return task.Task{}, err
	}

	if t.Account != account || t.HiddenAt != 0 {
		return task.Task{}, store.ErrNotFound
	}

	return t, nil
}

// read returns the cached value, or reads the task again after a change. The value is
// marked as loaded only after a read that succeeded, so a failed read is repeated at the
// next request.
func (t *cachedTask) read(ctx context.Context, from *store.Store, id string) (task.Task, error) {
	t.mu.Lock()
	defer t.mu.Unlock()

	select {
	case <-t.changed:
	default:
		if t.loaded && !from.ListenerDown() {
			return t.value, nil
		}
	}

	current, err := from.Task(ctx, id)
	switch {
	case err == nil:
		t.value = current
		t.loaded = true
	case t.loaded && ctx.Err() == nil && !errors.Is(err, store.ErrNotFound):
		current = t.value
		t.loaded = false
		err = nil // serve the last known value, but read again next time
	default:
		t.loaded = false
	}

	return current, err
}

// watch starts to watch a task. When the cache is full, an arbitrary other task is
// evicted.
func (c *taskCache) watch(id string) *cachedTask {
	c.mu.Lock()
	defer c.mu.Unlock()

	if cached := c.tasks[id]; cached != nil {
		return cached
	}

	if len(c.tasks) >= c.capacity {
		for victim, cached := range c.tasks {
			cached.stop()
			delete(c.tasks, victim)

			break
		}
	}

	cached := &cachedTask{}
	cached.changed, cached.stop = c.store.WatchTask(id)
	c.tasks[id] = cached

	return cached
}

// remove stops watching a task that does not exist.
func (c *taskCache) remove(id string, cached *cachedTask) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.tasks[id] == cached {
		cached.stop()
		delete(c.tasks, id)
	}
}

func (c *taskCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()

	for _, cached := range c.tasks {
		cached.stop()
	}

	clear(c.tasks)
}
