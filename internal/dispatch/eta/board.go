package eta

import (
	"maps"
	"slices"
	"sync"
)

// Board holds what is known of unfinished tasks beyond their rows: their progress, their
// position in their queue, and when they are expected to end. It does no harm that it is
// lost with the process.
type Board struct {
	mu        sync.RWMutex
	progress  map[string]int64    // by task
	positions map[string]position // by task; each snapshot replaces the map
}

// position is a task's place in its queue and its expected end.
type position struct {
	n   int64 // from 1; 0: it is not queued
	end int64 // unix seconds
}

// NewBoard returns an empty board.
func NewBoard() *Board {
	return &Board{progress: map[string]int64{}, positions: map[string]position{}}
}

// RaiseProgress raises a task's progress, which never falls.
func (b *Board) RaiseProgress(id string, progress int64) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.progress[id] = max(b.progress[id], progress)
}

// Progress returns a task's progress, 0 if nothing is known of it.
func (b *Board) Progress(id string) int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()

	return b.progress[id]
}

// Get returns what is known of an unfinished task beyond its row: its progress, 0 to 95;
// its position in its queue, from 1 (0: not queued, or beyond the first thousand); and when
// it is expected to end, in unix seconds (0: unknown). ok is false when nothing is known.
func (b *Board) Get(id string) (progress, position, end int64, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()

	progress, hasProgress := b.progress[id]
	p, hasPosition := b.positions[id]

	return progress, p.n, p.end, hasProgress || hasPosition
}

// Forget forgets the progress of a task that has ended.
func (b *Board) Forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()

	delete(b.progress, id)
}

// IDs lists the tasks whose progress is known, sorted.
func (b *Board) IDs() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()

	return slices.Sorted(maps.Keys(b.progress))
}

// setPositions replaces all positions at once.
func (b *Board) setPositions(all map[string]position) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.positions = all
}
