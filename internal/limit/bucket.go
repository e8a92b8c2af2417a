// Package limit counts what may be done: how often (buckets) and how much at the
// same time (slots), by key. api asks it before it takes a customer's request;
// dispatch asks it before it speaks to a supplier; webhook before it sends. It is
// pure: the clock is given, nothing sleeps, and what to do with a refusal is the
// caller's. It never keeps anything beyond the process.
package limit

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// Bucket is a token bucket that is kept as one instant: when it will be full
// again. It is not safe for use at the same time; Buckets is.
type Bucket struct {
	period time.Duration // one token's time
	depth  time.Duration // the time of all tokens but the last
	full   time.Time     // when every token is back
}

// NewBucket makes a full bucket that gains rate tokens a second and holds burst
// of them, at least one. A rate of 0 or less never refuses.
func NewBucket(rate float64, burst int) Bucket {
	if rate <= 0 {
		return Bucket{}
	}

	period := max(1, time.Duration(math.Ceil(min(float64(time.Second)/rate, float64(math.MaxInt32)*float64(time.Second)))))
	tokens := min(int64(max(burst, 1)-1), math.MaxInt64/4/int64(period))

	return Bucket{period: period, depth: time.Duration(tokens) * period}
}

// BucketOf makes a full bucket of so many tokens that are all back after a time.
func BucketOf(tokens int64, per time.Duration) Bucket {
	if tokens <= 0 || per <= 0 {
		return Bucket{}
	}

	period := max(1, (per+time.Duration(tokens)-1)/time.Duration(tokens))

	return Bucket{period: period, depth: time.Duration(tokens-1) * period}
}

// Take takes one token. When there is none it takes nothing and says how long it
// is until there will be one, if nobody else takes it.
func (b *Bucket) Take(now time.Time) (ok bool, wait time.Duration) {
	full := b.full
	if full.Before(now) {
		full = now
	}

	if wait := full.Sub(now) - b.depth; wait > 0 {
		return false, wait
	}

	b.full = full.Add(b.period)

	return true, 0
}

// Left is how many tokens there are, at least one for a bucket that never refuses.
func (b *Bucket) Left(now time.Time) int64 {
	used := max(0, b.full.Sub(now))
	if b.period == 0 || used > b.depth {
		return int64(1 - min(1, b.period))
	}

	return int64((b.depth-used)/b.period) + 1
}

// Whole is how long it is until the bucket is full, if nobody takes of it.
func (b *Bucket) Whole(now time.Time) time.Duration { return max(0, b.full.Sub(now)) }

// Ready says whether Take would take one.
func (b *Bucket) Ready(now time.Time) bool { return b.full.Sub(now) <= b.depth }

// Idle says whether the bucket is full: forgetting it then loses nothing.
func (b *Bucket) Idle(now time.Time) bool { return !b.full.After(now) }

// Buckets is one bucket for each key, all alike. It is safe for use at the same
// time.
type Buckets struct {
	mu    sync.Mutex
	fresh Bucket
	max   int
	byKey map[string]*list.Element
	used  *list.List // of *keyed, the one that was asked longest ago first
}

type keyed struct {
	key    string
	bucket Bucket
}

// NewBuckets makes buckets of rate and burst (see NewBucket) for at most keys
// keys. When more are busy at once, the one asked longest ago is forgotten: that
// key gets a fresh bucket, so a crowd makes the limit milder, never memory
// larger.
func NewBuckets(rate float64, burst, keys int) *Buckets {
	return &Buckets{
		fresh: NewBucket(rate, burst),
		max:   max(keys, 1),
		byKey: make(map[string]*list.Element),
		used:  list.New(),
	}
}

// Take takes one token of the key's bucket; see Bucket.Take.
func (b *Buckets) Take(key string, now time.Time) (ok bool, wait time.Duration) {
	ok, wait, _ = b.TakeOf(key, b.fresh, now)
	return ok, wait
}

// TakeOf is Take where the key has a rate of its own: like is a fresh bucket of it. A
// key whose rate was changed begins anew. It returns the bucket as it then is.
func (b *Buckets) TakeOf(key string, like Bucket, now time.Time) (ok bool, wait time.Duration, after Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.forget(now)

	e, known := b.byKey[key]
	if !known {
		if len(b.byKey) >= b.max {
			b.drop(b.used.Front())
		}

		e = b.used.PushBack(&keyed{key: key, bucket: like})
		b.byKey[key] = e
	}

	b.used.MoveToBack(e)

	bucket := &e.Value.(*keyed).bucket
	if bucket.period != like.period || bucket.depth != like.depth {
		*bucket = like
	}

	ok, wait = bucket.Take(now)

	return ok, wait, *bucket
}

// Keys is how many keys are remembered.
func (b *Buckets) Keys() int {
	b.mu.Lock()
	defer b.mu.Unlock()

	return len(b.byKey)
}

// forget drops idle buckets from the old end: two at a time, so that memory
// shrinks faster than it grows and no call pays for all.
func (b *Buckets) forget(now time.Time) {
	for range 2 {
		e := b.used.Front()
		if e == nil || !e.Value.(*keyed).bucket.Idle(now) {
			return
		}

		b.drop(e)
	}
}

func (b *Buckets) drop(e *list.Element) {
	delete(b.byKey, e.Value.(*keyed).key)
	b.used.Remove(e)
}
