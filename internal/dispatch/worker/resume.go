package worker

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// OwnedStates are the states whose tasks the worker of their upstream carries on.
var OwnedStates = [...]task.State{task.Submitting, task.Running, task.Collecting}

// unfinishedPage is how many tasks are read at once when a worker begins.
const unfinishedPage = 1000

// resumeTasks carries on every unfinished task of the upstream, oldest first.
func (w *Worker) resumeTasks(ctx context.Context) error {
	for _, state := range OwnedStates {
		err := EachUnfinished(ctx, w.env.store, w.ID, state, func(found task.Task) error {
			if err := w.resume(ctx, found); err != nil {
				return fmt.Errorf("%s %s: %w", state, found.ID, err)
			}

			return nil
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// resume carries on a task that an earlier owner left in one of the OwnedStates.
func (w *Worker) resume(ctx context.Context, t task.Task) error {
	switch t.State {
	case task.Submitting:
		return w.resumeSubmitting(ctx, t)
	case task.Running:
		return w.resumeRunning(ctx, t)
	default:
		w.env.Collector.Add(t.ID)
		return nil
	}
}

// EachUnfinished calls visit for the unfinished tasks in a state of the upstream with
// this lease, oldest first.
func EachUnfinished(ctx context.Context, s *store.Store, leaseID string, state task.State, visit func(task.Task) error) error {
	for after := ""; ; {
		list, err := s.UnfinishedOnUpstream(ctx, leaseID, state, after, unfinishedPage)
		if err != nil {
			return err
		}

		for _, found := range list {
			if err := visit(found); err != nil {
				return err
			}

			after = found.ID
		}

		if len(list) < unfinishedPage {
			return nil
		}
	}
}

// Resync carries on tasks whose change this worker was not notified of: a previous owner
// recorded an answer late, or a notification was missed.
func (w *Worker) Resync(ctx context.Context) error {
	if !w.Ready() {
		return nil
	}

	err := EachUnfinished(ctx, w.env.store, w.ID, task.Running, func(found task.Task) error {
		if w.poller.tracks(found.ID) {
			if found.CancelRequestedAt > 0 {
				w.ForwardCancel(ctx, found.ID)
			}

			return nil
		}

		return w.resumeIfRunning(ctx, found.ID)
	})
	if err != nil {
		return err
	}

	return EachUnfinished(ctx, w.env.store, w.ID, task.Collecting, func(found task.Task) error {
		w.env.Collector.Resume(found.ID)
		return nil
	})
}

// resumeIfRunning starts to poll a task that another process moved to running. It reads
// the row again: the caller's list may be older than this process's own last change.
func (w *Worker) resumeIfRunning(ctx context.Context, id string) error {
	fresh, err := w.env.store.Task(ctx, id)
	if err != nil || fresh.State != task.Running || fresh.Upstream != w.ID {
		return err
	}

	return w.resumeRunning(ctx, fresh)
}

// resumeRunning polls a task that an earlier owner polled.
func (w *Worker) resumeRunning(ctx context.Context, t task.Task) error {
	s, _, err := w.submitterOf(ctx, t)
	if err != nil {
		return fmt.Errorf("read the attempt: %w", err)
	}

	if s == nil {
		return nil
	}

	s.occupySlot(t.ID)

	if t.CancelRefusedAt > 0 {
		t.CancelRequestedAt = 0 // the supplier has refused it already
	}

	w.poller.track(t, s, true)

	return nil
}

// resumeSubmitting carries on a task that an earlier process was submitting: the supplier
// may have accepted it.
func (w *Worker) resumeSubmitting(ctx context.Context, t task.Task) error {
	s, a, err := w.submitterOf(ctx, t)
	if err != nil {
		return fmt.Errorf("read the attempt: %w", err)
	}

	if s == nil {
		return nil
	}

	s.occupySlot(t.ID)

	if s.up.Driver.Capabilities.SafeToResubmit {
		s.handleNotAccepted(ctx, t, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.Transient})
		return nil
	}

	if a.UncertainAt == 0 {
		s.markUncertain(ctx, t, &provider.Failure{})
		return nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.uncertain = append(s.uncertain, t.ID)

	return nil
}
