package app

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// ids makes ids that sort by their time of making: a prefix and a ULID. Within
// one millisecond they still grow, so that lists keep the order of creation.
type ids struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	now     func() time.Time
}

func newIDs(now func() time.Time) *ids {
	return &ids{entropy: ulid.Monotonic(rand.Reader, 0), now: now}
}

// New makes an id such as "task_01KB...". It is safe for use at the same time.
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
