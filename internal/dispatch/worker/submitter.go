package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	minBusyDelay      = 4 * time.Millisecond
	idleCheckInterval = 2 * time.Second // how often a submitter looks for tasks although nothing woke it
	// suspendDuration is how long an upstream is suspended for a failure that the operator
	// must resolve.
	suspendDuration = 10 * time.Minute
)

// submitter submits to one route, a model of one upstream. While there is a free slot and
// the rate limit allows it, it claims the next task in fair order and submits it, one at
// a time. While the outcome of a submission is unknown, it submits nothing else.
type submitter struct {
	env       *environment
	worker    *Worker
	up        *upstream.Upstream
	model     string // the supplier's name of the model
	route     task.Route
	actor     clock.Actor
	rand      *rand.Rand // only run uses it
	wakeup    chan struct{}
	deferred  atomic.Bool // the first task of a queue was left to another route: after that route's claim the next one may be for this route
	rateLimit limit.Bucket

	knownOrphans map[provider.RemoteID]bool // found by the last orphan scan; only that scan uses it

	mu              sync.Mutex
	inProgress      map[string]bool      // tasks that occupy a slot
	uncertain       []string             // tasks whose submission has an unknown outcome
	absentSince     map[string]time.Time // when a valid list first showed no candidate for such a task
	recoveringSince map[string]time.Time // since when this process has tried to recover such a task
	retryDelay      time.Duration
	blockedUntil    time.Time            // nothing is claimed before this time, after a failure
	nextQueue       int                  // the queue that is looked at first
	queueHeads      map[string]queueHead // first tasks of queues that were left to another route
}

func newSubmitter(w *Worker, model string) *submitter {
	up := w.up
	route := task.Route{Upstream: up.Name, Model: model}
	actor := w.env.Tasks.Clock.Actor("submitter of " + route.String() + " at " + w.env.Owner)

	return &submitter{
		env:             w.env,
		worker:          w,
		up:              up,
		model:           model,
		route:           route,
		actor:           actor,
		rand:            actor.Rand(),
		wakeup:          make(chan struct{}, 1),
		inProgress:      map[string]bool{},
		absentSince:     map[string]time.Time{},
		recoveringSince: map[string]time.Time{},
		queueHeads:      map[string]queueHead{},
		rateLimit:       w.newRateLimit(up.Limits.SubmitsPerSecond),
	}
}

func (s *submitter) wake() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// occupySlot occupies a slot for a task that is in progress at the supplier.
func (s *submitter) occupySlot(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !s.inProgress[id] {
		s.inProgress[id] = true
		s.worker.slots.ForceAcquire(s.model)
	}
}

// releaseSlot releases the slot of a task, if it has one.
func (s *submitter) releaseSlot(id string) {
	s.mu.Lock()
	if s.inProgress[id] {
		delete(s.inProgress, id)
		s.worker.slots.Release(s.model)
	}
	s.mu.Unlock()
	s.wake()
}

// backOff blocks the submitter for a while: twice as long as the last time, or for as
// long as the supplier asked, at most 10 minutes.
func (s *submitter) backOff(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.retryDelay = min(max(2*s.retryDelay, record.MinRetryDelay), record.MaxRetryDelay)
	s.blockedUntil = s.env.now().Add(max(s.retryDelay, min(after, 10*time.Minute)))
}

// handleAccountBlocked handles a failure that only the operator can resolve: it suspends
// the upstream, or only this submitter when the failure is about one model.
func (s *submitter) handleAccountBlocked(ctx context.Context, f *provider.Failure) {
	if !f.ModelOnly {
		until := s.env.now().Add(suspendDuration)
		s.env.Tasks.Log.Error("ALERT: an upstream is suspended: its key, account or balance needs the operator", "upstream", s.up.Name, "reason", f.Error(), "until", until)
		s.env.Registry.Suspend(ctx, s.up, until, f.Error())

		return
	}

	s.env.Tasks.Log.Error("ALERT: a model is suspended: the supplier does not allow this account to use it", "route", s.route, "reason", f.Error(), "until", s.env.now().Add(suspendDuration))
	s.backOff(suspendDuration)
}

func (s *submitter) resetBackoff() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.retryDelay = 0
	s.worker.slots.RecordSuccess(s.model, s.env.now())
}

// run submits tasks until ctx ends.
func (s *submitter) run(ctx context.Context) {
	timer := time.NewTimer(s.actor.Delay(0))
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakeup:
			s.actor.Align(ctx)
		case <-timer.C:
		}

		timer.Reset(s.actor.Delay(s.submitDue(ctx)))
	}
}

// submitDue submits what can be submitted now, and returns when to look again. The order
// of the steps matters: a submission of unknown outcome is recovered before anything
// else is submitted, since another task in the supplier's list could be confused with
// it; the rate limit's token is taken before the claim, so that a claimed task is
// submitted at once.
func (s *submitter) submitDue(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		if id, blocked := s.firstUncertain(); blocked {
			if delay := s.recoverSubmission(ctx, id); delay > 0 {
				return s.env.scaled(delay)
			}

			continue
		}

		if delay := s.blockedFor(); delay > 0 {
			return delay
		}

		if s.worker.slots.Free(s.model) == 0 {
			return idleCheckInterval
		}

		s.deferred.Store(true) // before looking: another route's claim meanwhile must wake this submitter
		queues, deferred, err := s.claimableQueues(ctx, s.queueOrder())
		s.deferred.Store(deferred)

		switch {
		case err != nil:
			return s.handleClaimError(ctx, err)
		case len(queues) == 0 && deferred:
			return preferredRouteWait
		case len(queues) == 0 || !s.up.AllowSubmit(s.route):
			return idleCheckInterval
		}

		if ok, delay := s.takeToken(); !ok {
			s.up.EndTrial(s.route)
			return delay
		}

		t, err := s.claim(ctx, queues)
		if err != nil {
			s.up.EndTrial(s.route)
			return s.handleClaimError(ctx, err)
		}

		s.env.metrics.claims.WithLabelValues(s.route.String()).Inc()
		s.submit(ctx, t)
		s.up.EndTrial(s.route)
	}

	return idleCheckInterval
}

// handleClaimError returns when to look again after a claim that failed or found nothing.
func (s *submitter) handleClaimError(ctx context.Context, err error) time.Duration {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return idleCheckInterval
	case errors.Is(err, store.ErrBusy): // jitter: the submitters that collided must not meet again
		return minBusyDelay + time.Duration(s.rand.Int64N(int64(3*minBusyDelay)))
	}

	if ctx.Err() == nil {
		s.env.Tasks.Log.Error("cannot claim", "route", s.route, "error", err)
		s.env.LeaseLost() // the lease may be lost
	}

	return record.MinRetryDelay
}

// takeToken takes a token from the rate limit, or returns how long to wait for one.
func (s *submitter) takeToken() (ok bool, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.rateLimit.Take(s.env.now())
}

func (s *submitter) firstUncertain() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if len(s.uncertain) == 0 {
		return "", false
	}

	return s.uncertain[0], true
}

// blockedFor returns for how long the submitter must not claim: while the worker is not
// ready, the operator does not want the upstream to serve, or the upstream is suspended,
// and after a failure.
func (s *submitter) blockedFor() time.Duration {
	state := s.up.State()
	if !s.worker.Ready() || state.Desired != store.DesiredServing {
		return idleCheckInterval
	}

	now := s.env.now()

	s.mu.Lock()
	defer s.mu.Unlock()

	return max(state.SuspendedUntil.Sub(now), s.blockedUntil.Sub(now))
}

// queueOrder lists the queues that include this route, rotated so that none always comes
// first: virtual times of different queues cannot be compared.
func (s *submitter) queueOrder() []string {
	queues := s.env.Queues.WithRoute(s.route)
	s.mu.Lock()
	defer s.mu.Unlock()

	if len(queues) > 1 {
		s.nextQueue = (s.nextQueue + 1) % len(queues)
		queues = slices.Concat(queues[s.nextQueue:], queues[:s.nextQueue])
	}

	return queues
}

// claim claims the next task. When it returns, the intention to submit the task is on
// disk and its slot is occupied.
func (s *submitter) claim(ctx context.Context, queues []string) (task.Task, error) {
	var t task.Task

	err := s.env.Tasks.Write(ctx, func(tx *store.Tx) (err error) {
		for _, queue := range queues {
			t, err = tx.Claim(ctx, store.Claim{
				Queue:           queue,
				Upstream:        s.worker.ID,
				SupplierAccount: s.worker.ID,
				Model:           s.model,
				Owner:           s.env.Owner,
				Fence:           s.worker.Fence,
				At:              s.env.Tasks.Clock.Millis(),
			})
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}

		return store.ErrNotFound
	})
	if err == nil {
		s.occupySlot(t.ID)
	}

	return t, err
}
