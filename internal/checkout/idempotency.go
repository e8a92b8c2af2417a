package checkout

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// idempotencyTTL is how long an Idempotency-Key identifies its task.
const idempotencyTTL = 24 * time.Hour

// maxIdempotencyKey is the maximum length of an Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// accountKey is one Idempotency-Key of one account.
type accountKey struct{ account, key string }

// lockKey waits until no other request of this process uses the same key, then locks it.
// The caller must call unlock.
func (c *Checkout) lockKey(ctx context.Context, key accountKey) (unlock func(), err error) {
	for {
		c.mu.Lock()

		held := c.keyLocks[key]
		if held == nil {
			released := make(chan struct{})
			c.keyLocks[key] = released
			c.mu.Unlock()

			return func() {
				c.mu.Lock()
				delete(c.keyLocks, key)
				c.mu.Unlock()
				close(released)
			}, nil
		}
		c.mu.Unlock()

		// When the holder unlocks, all waiting requests compete for the key again.
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// replay looks up a key that was used before. It returns the key's task as it is now, or a
// fault if the body is different. ok is false if the key has not been used.
func (c *Checkout) replay(ctx context.Context, caller Caller, req CreateRequest) (t task.Task, ok bool, err error) {
	stored, err := c.Store.Idempotency(ctx, caller.Account, req.IdempotencyKey, c.millis())
	if errors.Is(err, store.ErrNotFound) {
		return task.Task{}, false, nil
	}

	if err != nil {
		return task.Task{}, false, err
	}

	t, err = c.taskForKey(ctx, stored, req)

	return t, true, err
}

// taskForKey reads the task that was created with a key. It returns a fault if the body is
// not the one that the key was used with.
func (c *Checkout) taskForKey(ctx context.Context, stored store.Idempotency, req CreateRequest) (task.Task, error) {
	if stored.BodyHash != req.BodyHash {
		return task.Task{}, fault.New(fault.CodeIdempotencyMismatch, "Idempotency-Key",
			"This Idempotency-Key was used with another body within the last 24 hours. Send the same body to get its task, or use a new key.")
	}

	return c.Store.Task(ctx, stored.Task)
}
