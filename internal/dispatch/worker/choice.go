package worker

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// preferredRouteWait is how long a submitter leaves the first task of a queue to the route
// that is best for it. After that, any route with room takes the task.
const preferredRouteWait = 2 * time.Second

// queueHead is the first task of a queue, and since when a submitter has seen it there.
type queueHead struct {
	task  string
	since time.Time
}

// claimableQueues lists the queues whose first task this submitter should claim now;
// deferred says that the first task of another queue was left to a better route.
func (s *submitter) claimableQueues(ctx context.Context, queues []string) (claimable []string, deferred bool, err error) {
	for _, queue := range queues {
		// A queue with one route leaves nothing to choose, and costs no read.
		if len(s.env.Queues.RoutesOf(queue)) == 1 {
			claimable = append(claimable, queue)
			continue
		}

		// The head that is read here may be claimed by another submitter before this one
		// claims. That does no harm: the claim takes whatever task is then first, so the
		// fair order stays exact, and only the weights are approximate.
		head, err := s.env.store.QueueHead(ctx, queue)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}

		if err != nil {
			return nil, false, err
		}

		// The better route may belong to a replica that is gone or whose room was misjudged.
		// So the task is left to it for a bounded time only.
		if s.env.BestRoute(queue, head, s.route) == s.route || s.headWaitedEnough(queue, head) {
			claimable = append(claimable, queue)
			continue
		}

		deferred = true
	}

	return claimable, deferred, nil
}

// headWaitedEnough reports whether the first task of a queue was left to another route for
// long enough.
func (s *submitter) headWaitedEnough(queue, head string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.env.now()
	if seen := s.queueHeads[queue]; seen.task == head {
		return now.Sub(seen.since) >= preferredRouteWait
	}

	s.queueHeads[queue] = queueHead{head, now}

	return false
}

// hasRoom reports whether the route could take a task at once.
func (s *submitter) hasRoom(now time.Time) bool {
	if !s.worker.Ready() || s.worker.slots.Free(s.model) == 0 {
		return false
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.uncertain) == 0 && !s.blockedUntil.After(now) && s.rateLimit.Ready(now)
}
