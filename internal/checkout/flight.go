package checkout

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// keyLife is how long an Idempotency-Key stands for its task.
const keyLife = 24 * time.Hour

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// flight is one Idempotency-Key of one account.
type flight struct{ account, key string }

// board waits until nobody else works on the same key, then takes it; leave
// gives it back.
func (c *Checkout) board(ctx context.Context, f flight) (leave func(), err error) {
	for {
		c.mu.Lock()

		busy := c.flights[f]
		if busy == nil {
			landed := make(chan struct{})
			c.flights[f] = landed
			c.mu.Unlock()

			return func() {
				c.mu.Lock()
				delete(c.flights, f)
				c.mu.Unlock()
				close(landed)
			}, nil
		}
		c.mu.Unlock()

		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// replay answers a key that was used before: with its task as it is now, or with
// a fault when the body was another one. ok is false when the key is free.
func (c *Checkout) replay(ctx context.Context, who Caller, o Order) (t task.Task, ok bool, err error) {
	kept, err := c.Store.Idempotency(ctx, who.Account, o.IdempotencyKey, c.millis())
	if errors.Is(err, store.ErrNotFound) {
		return task.Task{}, false, nil
	}

	if err != nil {
		return task.Task{}, false, err
	}

	t, err = c.same(ctx, kept, o)

	return t, true, err
}

// same reads the task that a key stands for, if the body is the one it was used
// with.
func (c *Checkout) same(ctx context.Context, kept store.Idempotency, o Order) (task.Task, error) {
	if kept.BodyHash != o.BodyHash {
		return task.Task{}, fault.New(fault.CodeMismatch, "Idempotency-Key",
			"This Idempotency-Key was used with another body within 24 hours. Send the same body to get its task, or use a new key.")
	}

	return c.Store.Task(ctx, kept.Task)
}
