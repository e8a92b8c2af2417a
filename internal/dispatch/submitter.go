package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// The shortest and longest delays before a retry; delays double in between.
const (
	minRetryDelay     = time.Second
	maxRetryDelay     = time.Minute
	minBusyDelay      = 4 * time.Millisecond
	idleCheckInterval = 2 * time.Second // how often a submitter looks for tasks although nothing woke it
)

// submitter submits to one route, a model of one upstream. While there is a free slot and
// the rate limit allows it, it claims the next task in fair order and submits it, one at
// a time. While the outcome of a submission is unknown, it submits nothing else.
type submitter struct {
	d         *Dispatch
	worker    *worker
	up        *upstream
	model     string // the supplier's name of the model
	route     task.Route
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

func newSubmitter(w *worker, model string) *submitter {
	up := w.up

	return &submitter{
		d:               w.d,
		worker:          w,
		up:              up,
		model:           model,
		route:           task.Route{Upstream: up.Name, Model: model},
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

	s.retryDelay = min(max(2*s.retryDelay, minRetryDelay), maxRetryDelay)
	s.blockedUntil = s.d.Now().Add(max(s.retryDelay, min(after, 10*time.Minute)))
}

// handleAccountBlocked handles a failure that only the operator can resolve: it suspends
// the upstream, or only this submitter when the failure is about one model.
func (s *submitter) handleAccountBlocked(ctx context.Context, f *provider.Failure) {
	if !f.ModelOnly {
		until := s.d.Now().Add(suspendDuration)
		s.d.Log.Error("ALERT: an upstream is suspended: its key, account or balance needs the operator", "upstream", s.up.Name, "reason", f.Error(), "until", until)
		s.d.suspend(ctx, s.up, until, f.Error())

		return
	}

	s.d.Log.Error("ALERT: a model is suspended: the supplier does not allow this account to use it", "route", s.route, "reason", f.Error(), "until", s.d.Now().Add(suspendDuration))
	s.backOff(suspendDuration)
}

func (s *submitter) resetBackoff() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.retryDelay = 0
	s.worker.slots.RecordSuccess(s.model, s.d.Now())
}

// run submits tasks until ctx ends.
func (s *submitter) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakeup:
		case <-timer.C:
		}

		timer.Reset(s.submitDue(ctx))
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
				return s.d.scaled(delay)
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
		case len(queues) == 0 || !s.up.allowSubmit(s.route):
			return idleCheckInterval
		}

		if ok, delay := s.takeToken(); !ok {
			s.up.endTrial(s.route)
			return delay
		}

		t, err := s.claim(ctx, queues)
		if err != nil {
			s.up.endTrial(s.route)
			return s.handleClaimError(ctx, err)
		}

		s.d.metrics.claims.WithLabelValues(s.route.String()).Inc()
		s.submit(ctx, t)
		s.up.endTrial(s.route)
	}

	return idleCheckInterval
}

// handleClaimError returns when to look again after a claim that failed or found nothing.
func (s *submitter) handleClaimError(ctx context.Context, err error) time.Duration {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return idleCheckInterval
	case errors.Is(err, store.ErrBusy): // jitter: the submitters that collided must not meet again
		return minBusyDelay + rand.N(3*minBusyDelay)
	}

	if ctx.Err() == nil {
		s.d.Log.Error("cannot claim", "route", s.route, "error", err)
		s.d.coordinator.wake() // the lease may be lost
	}

	return minRetryDelay
}

// takeToken takes a token from the rate limit, or returns how long to wait for one.
func (s *submitter) takeToken() (ok bool, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.rateLimit.Take(s.d.Now())
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
	if !s.worker.isReady() || s.up.desiredState() != store.DesiredServing {
		return idleCheckInterval
	}

	now := s.d.Now()
	suspendedUntil := s.up.suspendedUntil()

	s.mu.Lock()
	defer s.mu.Unlock()

	return max(suspendedUntil.Sub(now), s.blockedUntil.Sub(now))
}

// queueOrder lists the queues that include this route, rotated so that none always comes
// first: virtual times of different queues cannot be compared.
func (s *submitter) queueOrder() []string {
	queues := s.d.queues.withRoute(s.route)
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

	err := s.d.write(ctx, func(tx *store.Tx) (err error) {
		for _, queue := range queues {
			t, err = tx.Claim(ctx, store.Claim{
				Queue:           queue,
				Upstream:        s.worker.id,
				SupplierAccount: s.worker.id,
				Model:           s.model,
				Owner:           s.d.owner,
				Fence:           s.worker.fence,
				At:              s.d.nowMillis(),
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

// queueSet is the set of known queues.
type queueSet struct {
	mu            sync.RWMutex
	routesByQueue map[string]task.RouteSet
}

func newQueueSet() *queueSet { return &queueSet{routesByQueue: map[string]task.RouteSet{}} }

func (q *queueSet) add(queue string) {
	q.mu.RLock()
	_, ok := q.routesByQueue[queue]
	q.mu.RUnlock()

	if ok || queue == "" {
		return
	}

	q.mu.Lock()
	defer q.mu.Unlock()

	q.routesByQueue[queue] = task.ParseRouteSet(queue)
}

// routesOf returns the routes of a known queue.
func (q *queueSet) routesOf(queue string) task.RouteSet {
	q.mu.RLock()
	defer q.mu.RUnlock()

	return q.routesByQueue[queue]
}

// withRoute lists the queues that include the route, sorted.
func (q *queueSet) withRoute(route task.Route) []string {
	q.mu.RLock()
	defer q.mu.RUnlock()

	var list []string

	for queue, routes := range q.routesByQueue {
		if slices.Contains(routes, route) {
			list = append(list, queue)
		}
	}

	slices.Sort(list)

	return list
}

// routes lists every route of every queue, sorted.
func (q *queueSet) routes() task.RouteSet {
	q.mu.RLock()
	defer q.mu.RUnlock()

	var list task.RouteSet
	for _, routes := range q.routesByQueue {
		list = append(list, routes...)
	}

	return task.NewRouteSet(list...)
}
