package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

const (
	maxCreateBatch    = 64 // creations in one transaction
	createWorkers     = 1  // concurrent transactions: with two, the batches were half as large and waited for each other's rows
	createQueueLength = 1024
)

// createBatcher writes creations in batches. The creations that arrive during a
// commit form the next batch, so that they share one fsync and one set of
// statements.
type createBatcher struct {
	writer  *postgresWriter
	queue   chan *pendingCreate
	stopped chan struct{}
	workers sync.WaitGroup
}

// pendingCreate is a creation on its way through the batcher.
type pendingCreate struct {
	ctx        context.Context
	creation   *Creation
	mu         sync.Mutex
	state      pendingState
	done       chan struct{}
	err        error
	panicValue any
}

// setState moves a waiting creation to a state. It returns false if the creation
// does not wait any more: of the batcher and the caller, only one gets it.
func (p *pendingCreate) setState(state pendingState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.state != pendingWaiting {
		return false
	}

	p.state = state

	return true
}

func startCreateBatcher(w *postgresWriter) *createBatcher {
	b := &createBatcher{
		writer:  w,
		queue:   make(chan *pendingCreate, createQueueLength),
		stopped: make(chan struct{}),
	}

	for i := range createWorkers {
		b.workers.Go(func() { b.run(fmt.Sprintf("%s/create-%d", w.replica, i)) })
	}

	return b
}

func (b *createBatcher) stop() {
	b.workers.Wait()
	close(b.stopped)
}

func (b *createBatcher) add(ctx context.Context, c *Creation) error {
	pending := &pendingCreate{ctx: ctx, creation: c, done: make(chan struct{})}

	// The select below chooses at random among what is possible. Asked alone first, a
	// store that is closing takes nothing new.
	select {
	case <-b.writer.closing:
		return ErrClosed
	default:
	}

	select {
	case b.queue <- pending:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.writer.closing:
		return ErrClosed
	}

	// A caller that gives up after its creation was started waits for the outcome all the
	// same: "cancelled" would be a lie about a task that is committed a moment later.
	select {
	case <-pending.done:
	case <-ctx.Done():
		if pending.setState(pendingAbandoned) {
			return ctx.Err()
		}

		<-pending.done
	case <-b.stopped: // it was queued while the batcher ended
		if pending.setState(pendingAbandoned) {
			return ErrClosed
		}

		<-pending.done
	}

	if pending.panicValue != nil {
		panic(pending.panicValue)
	}

	return pending.err
}

func (b *createBatcher) run(slot string) {
	for {
		var first *pendingCreate
		select {
		case first = <-b.queue:
		default:
			select {
			case first = <-b.queue:
			case <-b.writer.closing:
				// What was queued before the store began to close is still written.
				select {
				case first = <-b.queue:
				default:
					return
				}
			}
		}

		runtime.Gosched() // the callers that the last commit unblocked may queue their next creation

		batch, separate := b.nextBatch(first)
		b.writeBatch(slot, batch, separate)
	}
}

// nextBatch takes the creations that wait by now. Of two with the same
// idempotency key, the second is written separately after the batch, where it
// finds the task of the first: one INSERT cannot contain the same key twice.
func (b *createBatcher) nextBatch(first *pendingCreate) (batch, separate []*pendingCreate) {
	seen := map[idempotencyID]bool{}

	for next := first; ; {
		switch {
		case !next.setState(pendingStarted):
		case next.ctx.Err() != nil:
			next.err = context.Cause(next.ctx)
			close(next.done)
		case next.creation.Key.Key != "" && seen[next.creation.Key.id()]:
			separate = append(separate, next)
		default:
			seen[next.creation.Key.id()] = true
			batch = append(batch, next)
		}

		if len(batch)+len(separate) >= maxCreateBatch {
			return batch, separate
		}

		select {
		case next = <-b.queue:
		default:
			return batch, separate
		}
	}
}

// writeBatch commits a batch. If that fails as a whole, each creation is tried
// alone, so that one bad creation does not fail the others.
func (b *createBatcher) writeBatch(slot string, batch, separate []*pendingCreate) {
	// A creation that cannot be paid does not fail the batch: it is declined inside it, and
	// the others commit. Only an error of the statements themselves reaches the loop below.
	if len(batch) > 1 {
		if b.commitBatch(slot, batch) == nil {
			for _, pending := range batch {
				pending.finish(pending.creation.declined)
			}

			batch = nil
		}
	}

	// Nothing of a failed batch was committed, so that writing its creations again, each in
	// a transaction of its own, cannot write one twice.
	for _, pending := range append(batch, separate...) {
		err := b.commitBatch(slot, []*pendingCreate{pending})
		if err == nil {
			err = pending.creation.declined
		}

		pending.finish(err)
	}
}

func (p *pendingCreate) finish(err error) {
	p.err = err
	close(p.done)
}

func (b *createBatcher) commitBatch(slot string, batch []*pendingCreate) (err error) {
	all := make([]*Creation, len(batch))
	for i, pending := range batch {
		all[i] = pending.creation
	}

	defer func() {
		if recovered := recover(); recovered != nil {
			err = errConnectionLost

			if len(batch) == 1 { // in a larger batch, running each alone shows which one panics
				batch[0].panicValue = recovered
			}
		}
	}()

	return b.writer.runTx(slot, func(tx *Tx) error { return tx.createAll(b.writer.ctx, all) })
}
