package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

const (
	createsMost   = 64 // in one transaction
	createsAtOnce = 1  // transactions: two made half the batches and waited for each other's rows
	createsQueue  = 1024
)

// creates writes creations in batches: those that arrive during a commit form the
// next batch, so that they share its fsync and its statements.
type creates struct {
	c       *commits
	queue   chan *arrival
	over    chan struct{}
	running sync.WaitGroup
}

// arrival is a creation on its way.
type arrival struct {
	ctx   context.Context
	c     *Creation
	mu    sync.Mutex
	state int // 0 waits, 1 is being written, 2 was given up
	done  chan struct{}
	err   error
	panic any
}

func (a *arrival) become(state int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	if a.state != 0 {
		return false
	}

	a.state = state

	return true
}

func startCreates(c *commits) *creates {
	b := &creates{c: c, queue: make(chan *arrival, createsQueue), over: make(chan struct{})}
	for i := range createsAtOnce {
		b.running.Go(func() { b.run(fmt.Sprintf("%s/create-%d", c.replica, i)) })
	}

	return b
}

func (b *creates) stop() {
	b.running.Wait()
	close(b.over)
}

func (b *creates) add(ctx context.Context, c *Creation) error {
	a := &arrival{ctx: ctx, c: c, done: make(chan struct{})}
	select {
	case <-b.c.closing:
		return ErrClosed
	default:
	}

	select {
	case b.queue <- a:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.c.closing:
		return ErrClosed
	}

	select {
	case <-a.done:
	case <-ctx.Done():
		if a.become(2) {
			return ctx.Err()
		}

		<-a.done
	case <-b.over: // it came into the queue as the batches ended
		if a.become(2) {
			return ErrClosed
		}

		<-a.done
	}

	if a.panic != nil {
		panic(a.panic)
	}

	return a.err
}

func (b *creates) run(place string) {
	for {
		var first *arrival
		select {
		case first = <-b.queue:
		default:
			select {
			case first = <-b.queue:
			case <-b.c.closing:
				select {
				case first = <-b.queue:
				default:
					return
				}
			}
		}

		runtime.Gosched() // those answered by the last commit may add theirs

		group, alone := b.gather(first)
		b.write(place, group, alone)
	}
}

// gather takes what waits by now. Of two with the same key the second goes alone
// afterwards: it will find what the first one made.
func (b *creates) gather(first *arrival) (group, alone []*arrival) {
	seen := map[keyOf]bool{}

	for next := first; ; {
		switch {
		case !next.become(1):
		case next.ctx.Err() != nil:
			next.err = context.Cause(next.ctx)
			close(next.done)
		case next.c.Key.Key != "" && seen[next.c.Key.id()]:
			alone = append(alone, next)
		default:
			seen[next.c.Key.id()] = true
			group = append(group, next)
		}

		if len(group)+len(alone) >= createsMost {
			return group, alone
		}

		select {
		case next = <-b.queue:
		default:
			return group, alone
		}
	}
}

// write commits a group. When that fails as a whole each of it is tried alone, so
// that one bad creation spoils no other.
func (b *creates) write(place string, group, alone []*arrival) {
	if len(group) > 1 {
		if b.try(place, group) == nil {
			for _, a := range group {
				a.finish(a.c.declined)
			}

			group = nil
		}
	}

	for _, a := range append(group, alone...) {
		err := b.try(place, []*arrival{a})
		if err == nil {
			err = a.c.declined
		}

		a.finish(err)
	}
}

func (a *arrival) finish(err error) {
	a.err = err
	close(a.done)
}

func (b *creates) try(place string, group []*arrival) (err error) {
	all := make([]*Creation, len(group))
	for i, a := range group {
		all[i] = a.c
	}

	defer func() {
		if what := recover(); what != nil {
			err = errLost

			if len(group) == 1 { // else whose it is shows when each goes alone
				group[0].panic = what
			}
		}
	}()

	return b.c.run(place, func(tx *Tx) error { return tx.createAll(b.c.ctx, all) })
}
