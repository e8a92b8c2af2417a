package dispatch

import (
	"context"
	"sync"
)

// feed is a queue of task ids that holds each at most once, for a pool of
// workers. What it forgets with the process, the database still knows.
type feed struct {
	mu    sync.Mutex
	ids   []string
	known map[string]bool // waiting or being worked on
	again map[string]bool // added while being worked on
	bell  chan struct{}
}

func newFeed() *feed {
	return &feed{known: map[string]bool{}, again: map[string]bool{}, bell: make(chan struct{}, 1)}
}

func (f *feed) add(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.known[id] {
		f.again[id] = true
		return
	}

	f.known[id] = true
	f.ids = append(f.ids, id)
	f.ring()
}

func (f *feed) ring() {
	select {
	case f.bell <- struct{}{}:
	default:
	}
}

func (f *feed) next() (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if len(f.ids) == 0 {
		return "", false
	}

	id := f.ids[0]
	f.ids = f.ids[1:]
	delete(f.again, id)

	if len(f.ids) > 0 {
		f.ring() // another worker may help
	}

	return id, true
}

func (f *feed) done(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	delete(f.known, id)

	if f.again[id] {
		delete(f.again, id)
		f.known[id] = true
		f.ids = append(f.ids, id)
		f.ring()
	}
}

// waiting is how many ids wait for a worker.
func (f *feed) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()

	return len(f.ids)
}

// work carries ids until ctx ends.
func (f *feed) work(ctx context.Context, carry func(context.Context, string)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.bell:
		}

		for ctx.Err() == nil {
			id, ok := f.next()
			if !ok {
				break
			}

			carry(ctx, id)
			f.done(id)
		}
	}
}
