package app

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// ids generates ids that sort by the time of their creation: a prefix and a ULID. Ids
// created within one millisecond also increase, so that lists keep the order of creation.
type ids struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	now     func() time.Time
}

func newIDs(now func() time.Time) *ids {
	return &ids{entropy: ulid.Monotonic(rand.Reader, 0), now: now}
}

// New returns a new id such as "task_01KB...". It is safe for concurrent use.
func (i *ids) New(prefix string) string {
	i.mu.Lock()
	defer i.mu.Unlock()

	id, err := ulid.New(ulid.Timestamp(i.now()), i.entropy)
	if err != nil { // 2^80 ids in one millisecond: start a new sequence
		i.entropy = ulid.Monotonic(rand.Reader, 0)
		id = ulid.MustNew(ulid.Timestamp(i.now()), i.entropy)
	}

	return prefix + "_" + id.String()
}
