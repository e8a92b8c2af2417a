package limit

import (
	"sync"
	"time"
)

// Slots counts what is in progress by key, for instance tasks at a supplier by
// (supplier account, model). Each key has a configured maximum and, within it, a
// current limit: it is halved when the supplier says that there are too many tasks, and
// grows again while the supplier accepts them. Slots is safe for concurrent use.
type Slots struct {
	mu            sync.Mutex
	halveInterval time.Duration
	growInterval  time.Duration
	byKey         map[string]*slotUsage
}

type slotUsage struct {
	max       int       // as configured
	limit     int       // the current limit, 1..max (0 if max is 0)
	inUse     int       // may exceed limit after SetMax, Halve or ForceAcquire
	halvedAt  time.Time // when limit was last halved
	changedAt time.Time // when limit last grew, or Halve was last called
}

// NewSlots returns slots without keys. Calls of Halve within halveInterval of the last
// halving have no effect, because a burst of refusals is a single signal. The limit
// grows by one after each growInterval without a refusal.
func NewSlots(halveInterval, growInterval time.Duration) *Slots {
	return &Slots{halveInterval: halveInterval, growInterval: growInterval, byKey: make(map[string]*slotUsage)}
}

// SetMax sets how many of the key may be in progress at most. Below 0 counts as 0, which
// lets nothing start. A limit that equals the old maximum follows the new one; a halved
// limit stays where it is, but never exceeds the new maximum. Keys that were never set
// have a maximum of 0.
func (s *Slots) SetMax(key string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.get(key)

	n = max(n, 0)
	if t.limit == t.max || t.limit > n {
		t.limit = n
	}

	t.limit = max(t.limit, min(1, n))
	t.max = n
}

// Acquire takes a slot if one is free, and reports whether it did.
func (s *Slots) Acquire(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.get(key)
	if t.inUse >= t.limit {
		return false
	}

	t.inUse++

	return true
}

// ForceAcquire counts one that is already in progress, whatever the limit: a task that a
// new owner of the upstream finds at the supplier.
func (s *Slots) ForceAcquire(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.get(key).inUse++
}

// Release frees a slot. Releasing more slots than were acquired is a mistake of the
// caller and has no effect.
func (s *Slots) Release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if t := s.get(key); t.inUse > 0 {
		t.inUse--
	}
}

// Halve halves the key's limit, to 1 at least, because the supplier reported too many
// tasks. It returns the limit.
func (s *Slots) Halve(key string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.get(key)

	t.changedAt = now
	if t.halvedAt.IsZero() || now.Sub(t.halvedAt) >= s.halveInterval {
		t.halvedAt = now
		t.limit = max(t.limit/2, min(1, t.max))
	}

	return t.limit
}

// RecordSuccess records that the supplier accepted a task. If growInterval has passed
// since the last change or refusal, the limit grows by one, up to the configured
// maximum. It returns the limit.
func (s *Slots) RecordSuccess(key string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.get(key)
	if t.limit < t.max && now.Sub(t.changedAt) >= s.growInterval {
		t.limit++
		t.changedAt = now
	}

	return t.limit
}

// InUse returns how many of the key are in progress.
func (s *Slots) InUse(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.get(key).inUse
}

// Limit returns how many of the key may be in progress at the moment.
func (s *Slots) Limit(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.get(key).limit
}

// Free returns how many more slots Acquire would grant now.
func (s *Slots) Free(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.get(key)

	return max(t.limit-t.inUse, 0)
}

// get returns a key's slots. Keys come from the configuration, never from customers, so
// their number needs no limit.
func (s *Slots) get(key string) *slotUsage {
	t := s.byKey[key]
	if t == nil {
		t = &slotUsage{}
		s.byKey[key] = t
	}

	return t
}
