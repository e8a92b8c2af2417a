package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/task"
)

// Creation is a new task and all that is written with it in one transaction.
type Creation struct {
	Task    task.Task
	Request []byte       // JSON
	Key     Idempotency  // Key "": none
	Hold    credit.Entry // Amount 0: the task costs nothing, and nothing is written
	Files   []File       // what came inside the request; their blobs are durable
	Hook    *Hook        // where its end is to be told; nil is nowhere beside the account's endpoints
	// BeforeCommit is called when all is written and nothing is committed; tests
	// end the process there. nil does nothing.
	BeforeCommit func()

	taken    *Idempotency
	declined error
}

// InsufficientError says that an account cannot pay a hold. It is
// credit.ErrInsufficient.
type InsufficientError struct{ Balance credit.Balance }

// Error names the balance for the log.
func (e *InsufficientError) Error() string { return "free credit is " + e.Balance.Free().String() }

// Unwrap is credit.ErrInsufficient.
func (e *InsufficientError) Unwrap() error { return credit.ErrInsufficient }

// Create writes a creation. taken says that its key stands for another task
// already, and that nothing was written. An *InsufficientError says that the
// account cannot pay, a *BudgetError that the API key may not; then nothing was
// written either, and the key is free.
func (s *Store) Create(ctx context.Context, c *Creation) (taken *Idempotency, err error) {
	if err := s.writer.create(ctx, c); err != nil {
		return nil, err
	}

	return c.taken, nil
}

// create is one creation in a transaction of its own.
func (tx *Tx) create(ctx context.Context, c *Creation) error {
	c.taken = nil
	if c.Key.Key != "" {
		other, ok, err := tx.TakeIdempotency(ctx, c.Key, c.Task.CreatedAt)
		if err != nil {
			return fmt.Errorf("take idempotency key: %w", err)
		}

		if !ok {
			c.taken = &other
			return nil
		}
	}

	if err := tx.hold(ctx, c); err != nil {
		return err
	}

	for _, f := range c.Files {
		if err := tx.InsertFile(ctx, f); err != nil {
			return fmt.Errorf("insert file: %w", err)
		}
	}

	if err := tx.InsertTask(ctx, c.Task, c.Request); err != nil {
		return err
	}

	if err := tx.together(ctx, tx.toldOf([]*Creation{c})); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}

	if c.BeforeCommit != nil {
		c.BeforeCommit()
	}

	return nil
}

// hold sets the most that a task can cost aside. A task that costs nothing leaves
// no line in the ledger.
func (tx *Tx) hold(ctx context.Context, c *Creation) error {
	e := c.Hold
	if e.Amount == 0 {
		return nil
	}

	b, err := tx.LockBalance(ctx, e.Account)
	if err != nil {
		return fmt.Errorf("balance of %s: %w", e.Account, err)
	}

	next, err := credit.Hold(b, e.Amount)
	if errors.Is(err, credit.ErrInsufficient) {
		return &InsufficientError{b}
	}

	if err != nil {
		return err
	}

	spent, err := tx.spend(ctx, []*Creation{c})
	if err != nil {
		return err
	}

	if err := spent.add(c); err != nil {
		return err
	}

	return tx.together(ctx, append(saveBalance(e.Account, next, []credit.Entry{e}), spent.save()...))
}
