package s3

import (
	"context"
	"sync"
)

// keyLocks holds a lock for each key that is being committed. Only one Put at a time may
// commit a key, so that even on a store without conditional requests this process never
// replaces a blob.
type keyLocks struct {
	mu     sync.Mutex
	locked map[string]chan struct{} // closed when the key is unlocked
}

func (k *keyLocks) lock(ctx context.Context, key string) (release func(), err error) {
	for {
		k.mu.Lock()

		unlocked, ok := k.locked[key]
		if !ok {
			if k.locked == nil {
				k.locked = map[string]chan struct{}{}
			}

			k.locked[key] = make(chan struct{})
			k.mu.Unlock()

			return func() { k.unlock(key) }, nil
		}
		k.mu.Unlock()

		select {
		case <-unlocked:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (k *keyLocks) unlock(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()

	close(k.locked[key])
	delete(k.locked, key)
}
