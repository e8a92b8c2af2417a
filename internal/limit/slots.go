package limit

import (
	"sync"
	"time"
)

// Slots counts what is in progress by key, for instance tasks at a supplier by
// (supplier account, model). Each key has a configured most and, below it, a
// limit of the moment that gives way when the supplier refuses and comes back
// when it is calm. It is safe for use at the same time.
type Slots struct {
	mu     sync.Mutex
	settle time.Duration
	calm   time.Duration
	byKey  map[string]*slot
}

type slot struct {
	most    int       // as configured
	limit   int       // of the moment, 1..most (0 when most is 0)
	inUse   int       // may stand above limit after a Resize, a Halve or an Adopt
	halved  time.Time // the last time that limit was halved
	changed time.Time // the last time that limit moved or should have
}

// NewSlots makes slots without keys. Halvings less than settle apart count as
// one, since a burst of refusals is one piece of news; the limit grows by one
// after each calm time.
func NewSlots(settle, calm time.Duration) *Slots {
	return &Slots{settle: settle, calm: calm, byKey: make(map[string]*slot)}
}

// Resize sets how many of the key may be in progress at most; below 0 counts as
// 0, which lets none begin. A limit that was not halved follows the new most; a
// halved one stays where it is, within the new most. Unknown keys have none.
func (s *Slots) Resize(key string, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.of(key)

	most = max(most, 0)
	if t.limit == t.most || t.limit > most {
		t.limit = most
	}

	t.limit = max(t.limit, min(1, most))
	t.most = most
}

// Acquire takes a slot if one is free.
func (s *Slots) Acquire(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.of(key)
	if t.inUse >= t.limit {
		return false
	}

	t.inUse++

	return true
}

// Adopt counts one that is in progress already, whatever the limit: what a new
// owner finds at the supplier.
func (s *Slots) Adopt(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.of(key).inUse++
}

// Release gives a slot back. One more than was taken is a mistake of the caller
// and is not counted.
func (s *Slots) Release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if t := s.of(key); t.inUse > 0 {
		t.inUse--
	}
}

// Halve makes the key's limit half of what it is, at least 1: the supplier said
// that it was too much. It returns the limit.
func (s *Slots) Halve(key string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.of(key)

	t.changed = now
	if t.halved.IsZero() || now.Sub(t.halved) >= s.settle {
		t.halved = now
		t.limit = max(t.limit/2, min(1, t.most))
	}

	return t.limit
}

// Calm tells that the supplier took something without complaint. When that has
// been so for the calm time since the limit last moved, it grows by one, up to
// the most that is configured. It returns the limit.
func (s *Slots) Calm(key string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.of(key)
	if t.limit < t.most && now.Sub(t.changed) >= s.calm {
		t.limit++
		t.changed = now
	}

	return t.limit
}

// InUse is how many of the key are in progress.
func (s *Slots) InUse(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.of(key).inUse
}

// Limit is how many of the key may be in progress at this moment.
func (s *Slots) Limit(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.of(key).limit
}

// Free is how many slots Acquire would still give.
func (s *Slots) Free(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.of(key)

	return max(t.limit-t.inUse, 0)
}

// of finds a key's slots. Keys come from configuration, never from customers, so
// their number needs no bound.
func (s *Slots) of(key string) *slot {
	t := s.byKey[key]
	if t == nil {
		t = &slot{}
		s.byKey[key] = t
	}

	return t
}
