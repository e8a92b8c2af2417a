// Package limit counts what is allowed, by key: how often (token buckets) and how
// much at the same time (slots). api asks it before it accepts a customer's
// request; dispatch asks it before it calls a supplier. It is pure: callers pass the
// time, nothing sleeps, and the caller decides what to do when the limit is reached.
// Nothing is kept beyond the process.
package limit

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// Bucket is a token bucket, stored as one instant: the time at which it will be full
// again. It is not safe for concurrent use; Buckets is.
type Bucket struct {
	period    time.Duration // time to gain one token
	tolerance time.Duration // time to gain all tokens but one
	fullAt    time.Time     // when the bucket is full again
}

// NewBucket returns a full bucket that gains rate tokens a second and holds burst
// tokens, at least one. A rate of 0 or less means no limit.
func NewBucket(rate float64, burst int) Bucket {
	if rate <= 0 {
		return Bucket{}
	}

	period := max(1, time.Duration(math.Ceil(min(float64(time.Second)/rate, float64(math.MaxInt32)*float64(time.Second)))))
	tokens := min(int64(max(burst, 1)-1), math.MaxInt64/4/int64(period))

	return Bucket{period: period, tolerance: time.Duration(tokens) * period}
}

// NewBucketPer returns a full bucket of the given number of tokens; an empty one is
// full again after per. With no tokens or no time there is no limit.
func NewBucketPer(tokens int64, per time.Duration) Bucket {
	if tokens <= 0 || per <= 0 {
		return Bucket{}
	}

	period := max(1, (per+time.Duration(tokens)-1)/time.Duration(tokens))

	return Bucket{period: period, tolerance: time.Duration(tokens-1) * period}
}

// Take takes one token. If there is none it takes nothing and returns how long to
// wait until there is one, provided that nobody else takes it.
func (b *Bucket) Take(now time.Time) (ok bool, wait time.Duration) {
	// Time spent full earns nothing: the next token counts from now.
	fullAt := b.fullAt
	if fullAt.Before(now) {
		fullAt = now
	}

	if wait := fullAt.Sub(now) - b.tolerance; wait > 0 {
		return false, wait
	}

	b.fullAt = fullAt.Add(b.period)

	return true, 0
}

// Remaining returns the number of tokens left. It is at least one for a bucket without a limit.
func (b *Bucket) Remaining(now time.Time) int64 {
	used := max(0, b.fullAt.Sub(now))
	if b.period == 0 || used > b.tolerance {
		return int64(1 - min(1, b.period))
	}

	return int64((b.tolerance-used)/b.period) + 1
}

// UntilFull returns how long it takes until the bucket is full, if nobody takes a token.
func (b *Bucket) UntilFull(now time.Time) time.Duration { return max(0, b.fullAt.Sub(now)) }

// Ready reports whether Take would succeed.
func (b *Bucket) Ready(now time.Time) bool { return b.fullAt.Sub(now) <= b.tolerance }

// Full reports whether the bucket is full. A full bucket can be dropped without losing
// information.
func (b *Bucket) Full(now time.Time) bool { return !b.fullAt.After(now) }

// Buckets holds one bucket for each key, all with the same rate by default. It is safe
// for concurrent use.
type Buckets struct {
	mu      sync.Mutex
	initial Bucket
	maxKeys int
	byKey   map[string]*list.Element
	lru     *list.List // of *entry, the least recently used first
}

type entry struct {
	key    string
	bucket Bucket
}

// NewBuckets returns buckets of rate and burst (see NewBucket) for at most keys keys.
// When more keys are in use, the least recently used one is dropped and gets a full
// bucket when it returns: many keys weaken the limit, but never use more memory.
func NewBuckets(rate float64, burst, keys int) *Buckets {
	return &Buckets{
		initial: NewBucket(rate, burst),
		maxKeys: max(keys, 1),
		byKey:   make(map[string]*list.Element),
		lru:     list.New(),
	}
}

// Take takes one token from the key's bucket; see Bucket.Take.
func (b *Buckets) Take(key string, now time.Time) (ok bool, wait time.Duration) {
	ok, wait, _ = b.TakeWith(key, b.initial, now)
	return ok, wait
}

// TakeWith is Take for a key with a rate of its own: initial is a full bucket of that
// rate. A key whose rate has changed starts with a full bucket. It also returns the
// bucket's state after the call.
func (b *Buckets) TakeWith(key string, initial Bucket, now time.Time) (ok bool, wait time.Duration, state Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.evictFull(now)

	e, known := b.byKey[key]
	if !known {
		if len(b.byKey) >= b.maxKeys {
			b.remove(b.lru.Front())
		}

		e = b.lru.PushBack(&entry{key: key, bucket: initial})
		b.byKey[key] = e
	}

	b.lru.MoveToBack(e)

	bucket := &e.Value.(*entry).bucket
	if bucket.period != initial.period || bucket.tolerance != initial.tolerance {
		*bucket = initial
	}

	ok, wait = bucket.Take(now)

	return ok, wait, *bucket
}

// Len returns the number of keys in memory.
func (b *Buckets) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()

	return len(b.byKey)
}

// evictFull drops full buckets, the least recently used first. It drops at most two for
// each call, so that memory shrinks faster than it grows and no call does all the work.
func (b *Buckets) evictFull(now time.Time) {
	for range 2 {
		e := b.lru.Front()
		if e == nil || !e.Value.(*entry).bucket.Full(now) {
			return
		}

		b.remove(e)
	}
}

func (b *Buckets) remove(e *list.Element) {
	delete(b.byKey, e.Value.(*entry).key)
	b.lru.Remove(e)
}
