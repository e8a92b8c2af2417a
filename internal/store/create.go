package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/task"
)

// Creation is a new task and everything that is written with it in one
// transaction.
type Creation struct {
	Task    task.Task
	Request []byte       // JSON
	Key     Idempotency  // Key "": none
	Hold    credit.Entry // Amount 0: the task costs nothing, and nothing is written
	Files   []File       // that the request contained; their blobs are durable
	Webhook *TaskWebhook // where the request wants its events to be sent; nil is only to the account's endpoints
	// BeforeCommit is called when everything is written and nothing is committed.
	// Tests end the process there. It may be nil.
	BeforeCommit func()

	existing *Idempotency
	declined error
}

// InsufficientCreditError means that an account cannot pay a hold. It wraps
// credit.ErrInsufficient.
type InsufficientCreditError struct{ Balance credit.Balance }

// Error names the free credit for the log.
func (e *InsufficientCreditError) Error() string {
	return "free credit is " + e.Balance.Free().String()
}

// Unwrap returns credit.ErrInsufficient.
func (e *InsufficientCreditError) Unwrap() error { return credit.ErrInsufficient }

// Create writes a creation. If its idempotency key already belongs to another
// task, nothing is written and existing is that key. An *InsufficientCreditError
// means that the account cannot pay, a *BudgetError that the API key's budget
// does not allow it; nothing is written then either, and the idempotency key
// stays free.
func (s *Store) Create(ctx context.Context, c *Creation) (existing *Idempotency, err error) {
	if err := s.writer.create(ctx, c); err != nil {
		return nil, err
	}

	return c.existing, nil
}

// create writes one creation in a transaction of its own.
func (tx *Tx) create(ctx context.Context, c *Creation) error {
	c.existing = nil
	if c.Key.Key != "" {
		other, ok, err := tx.ReserveIdempotencyKey(ctx, c.Key, c.Task.CreatedAt)
		if err != nil {
			return fmt.Errorf("reserve idempotency key: %w", err)
		}

		if !ok {
			c.existing = &other
			return nil
		}
	}

	if err := tx.placeHold(ctx, c); err != nil {
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

	if err := tx.pipeline(ctx, tx.deliveriesOfCreations([]*Creation{c})); err != nil {
		return fmt.Errorf("webhooks: %w", err)
	}

	if c.BeforeCommit != nil {
		c.BeforeCommit()
	}

	return nil
}

// placeHold holds the most that the task can cost. A task that costs nothing
// leaves no entry in the ledger.
func (tx *Tx) placeHold(ctx context.Context, c *Creation) error {
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
		return &InsufficientCreditError{b}
	}

	if err != nil {
		return err
	}

	budgets, err := tx.loadBudgets(ctx, []*Creation{c})
	if err != nil {
		return err
	}

	if err := budgets.reserve(c); err != nil {
		return err
	}

	return tx.pipeline(ctx, append(balanceStatements(e.Account, next, []credit.Entry{e}), budgets.statements()...))
}
