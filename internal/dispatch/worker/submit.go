package worker

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	submitTimeout = 90 * time.Second // from the call of Submit to its answer
	uploadTimeout = 10 * time.Minute // one reference, to where the supplier reads it
)

// submit submits one claimed task. When it returns, the task has left the state
// submitting, or its submission is among those of unknown outcome and the submitter is
// blocked until the recovery decides.
func (s *submitter) submit(ctx context.Context, t task.Task) {
	env := s.env
	if t.StartBy > 0 && env.Tasks.Clock.Millis() >= t.StartBy { // the sweep that fails late tasks runs only now and then
		s.handleFailure(ctx, t, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.InvalidRequest, Fault: record.StartByPassed()})
		return
	}

	submission, err := s.buildSubmission(ctx, t)
	if err != nil {
		s.handleFailure(ctx, t, notAccepted(err))
		return
	}

	env.Tasks.FailPoint("before-submit")

	// The answer of a submission in flight is waited for even when this process is asked
	// to stop. The lease is checked once more before the first byte is sent: until then
	// the task certainly was not accepted.
	submitCtx, cancel := context.WithTimeout(provider.WithSendCheck(context.WithoutCancel(ctx), s.worker.CheckValid), submitTimeout)
	defer cancel()

	startedAt := env.now()
	remoteID, err := s.up.Provider.Submit(submitCtx, submission)
	env.metrics.submitSeconds.WithLabelValues(s.up.Name).Observe(env.now().Sub(startedAt).Seconds())
	env.Tasks.FailPoint("after-submit")

	ctx = context.WithoutCancel(ctx)

	if err == nil {
		s.resetBackoff()
		s.up.ResetBreaker()
		s.recordAccepted(ctx, t, remoteID, "accepted", nil)

		return
	}

	// Only what may be the supplier's own trouble counts towards the circuit breaker. A
	// request that it refuses says nothing about the next customer's.
	f := provider.FailureOf(err)
	if f.Class == provider.Transient {
		env.Registry.CountFailure(ctx, s.up, f)
	}

	s.handleFailure(ctx, t, f)
}

// notAccepted returns the failure of an error that occurred before anything was submitted.
func notAccepted(err error) *provider.Failure {
	f := *provider.FailureOf(err)
	f.Acceptance = provider.NotAccepted

	return &f
}

// recordAccepted records the remote ID and moves the task to running. An answer of the
// supplier is a fact, which is written whoever owns the upstream by now: heldLease is nil.
// To accept a recovered remote ID is a decision, which is made under heldLease. The write
// is repeated until it is on disk, since the remote ID is known nowhere else.
func (s *submitter) recordAccepted(ctx context.Context, t task.Task, remoteID provider.RemoteID, outcome string, heldLease record.Lease) {
	env := s.env
	env.metrics.submissions.WithLabelValues(s.route.String(), outcome).Inc()

	var updated task.Task

	err := env.Tasks.UntilDurable(ctx, "remote ID", t.ID, func() (err error) {
		updated, err = env.Tasks.Advance(ctx, t.ID, record.Step{
			From:    task.Submitting,
			Attempt: t.Attempt,
			Lease:   heldLease,
			Note:    outcome + ": " + string(remoteID),
			InTx: func(ctx context.Context, tx *store.Tx) error {
				return record.EditAttempt(ctx, tx, t, func(a *store.Attempt) {
					a.RemoteID = string(remoteID)
					a.Outcome = outcome
				})
			},
			Edit: func(t *task.Task) {
				t.State = task.Running
				t.RemoteID = string(remoteID)

				if t.StartedAt == 0 {
					t.StartedAt = env.Tasks.Clock.Millis()
				}
			},
		})

		return err
	})
	if err != nil {
		if heldLease == nil {
			s.recordLateRemoteID(ctx, t, remoteID, err)
		}

		s.releaseSlot(t.ID)

		return
	}

	if s.worker.Context().Err() != nil { // the next owner, here or elsewhere, is notified of the change
		return
	}

	s.worker.poller.track(updated, s, false)
	s.worker.ForwardCancel(ctx, t.ID) // nobody received a cancel that came between the commit and track
}

// recordLateRemoteID records with its attempt an answer that came when the task had moved
// on, unless the recovery gave the attempt another remote ID meanwhile.
func (s *submitter) recordLateRemoteID(ctx context.Context, t task.Task, remoteID provider.RemoteID, cause error) {
	s.env.Tasks.Log.Warn("a remote ID arrived too late", "task", t.ID, "attempt", t.Attempt, "remote_id", remoteID, "error", cause)

	err := s.env.Tasks.Write(ctx, func(tx *store.Tx) error {
		return record.EditAttempt(ctx, tx, t, func(a *store.Attempt) {
			switch a.RemoteID {
			case "":
				a.RemoteID = string(remoteID)
				a.Outcome = "late"
			case string(remoteID):
				a.Outcome = "accepted" // the answer proves the recovered remote ID
			}
		})
	})
	if err != nil {
		s.env.Tasks.Log.Error("cannot record a late remote ID", "task", t.ID, "attempt", t.Attempt, "remote_id", remoteID, "error", err)
	}
}

// handleFailure decides what a failed submission means. It is submitted again, here or to
// another upstream, only if the supplier certainly did not accept it. When that is
// unknown, a second submission could be paid for twice, so that the recovery has to find
// out; only an upstream that is safe to resubmit to (the embedded renderer) needs none.
func (s *submitter) handleFailure(ctx context.Context, t task.Task, f *provider.Failure) {
	ctx = context.WithoutCancel(ctx)

	outcome := "not_accepted"
	if f.Acceptance == provider.AcceptanceUnknown {
		outcome = "uncertain"
	}

	s.up.RecordFailure(f)
	s.env.metrics.submissions.WithLabelValues(s.route.String(), outcome+", "+f.Class.String()).Inc()
	s.env.Tasks.Log.Warn("submission failed", "task", t.ID, "attempt", t.Attempt, "route", s.route,
		"outcome", outcome, "class", f.Class, "code", f.Code, "request_id", f.RequestID, "error", f.Err)

	if f.Acceptance == provider.AcceptanceUnknown && !s.up.Driver.Capabilities.SafeToResubmit {
		s.markUncertain(ctx, t, f)
		return
	}

	s.handleNotAccepted(ctx, t, f)
}

// markUncertain blocks the submitter: the supplier may have accepted the submission, and
// the recovery has to find out. When the outcome became unknown is written to the
// attempt, unless the outcome was decided meanwhile.
func (s *submitter) markUncertain(ctx context.Context, t task.Task, f *provider.Failure) {
	now := s.env.Tasks.Clock.Millis()
	_ = s.env.Tasks.UntilDurable(ctx, "uncertain submission", t.ID, func() error {
		return s.env.Tasks.Write(ctx, func(tx *store.Tx) error {
			if fresh, err := tx.Task(ctx, t.ID); err != nil || fresh.State != task.Submitting || fresh.Attempt != t.Attempt {
				return err
			}

			return record.EditAttempt(ctx, tx, t, func(a *store.Attempt) {
				a.UncertainAt = now
				a.Outcome = "uncertain"

				if f.RequestID != "" {
					a.RequestID = f.RequestID
				}
			})
		})
	})
	s.mu.Lock()
	defer s.mu.Unlock()

	s.uncertain = append(s.uncertain, t.ID)
	s.env.metrics.blocked.WithLabelValues(s.route.String()).Set(1)
}

// handleNotAccepted handles a submission that the supplier certainly did not accept: the
// task is queued again, or fails if it cannot succeed or has failed too often.
func (s *submitter) handleNotAccepted(ctx context.Context, t task.Task, f *provider.Failure) {
	env := s.env

	// First what the failure means for the route: how long it stays closed. This must come
	// before the task is queued again, or the submitter would claim it back at once.
	switch f.Class {
	case provider.Throttled:
		s.worker.slots.Halve(s.model, env.now())
		s.backOff(f.RetryAfter)
	case provider.AccountBlocked:
		s.handleAccountBlocked(ctx, f)
	case provider.Transient:
		s.backOff(f.RetryAfter)
	}

	// A transient failure that the supplier itself answered (it has a code) counts against
	// the task, which may fail in the end. One without a code is about the connection or
	// the upstream, and the task waits for as long as it takes, up to TaskTimeout.
	countsAgainstTask := f.Class == provider.Transient && f.Code != ""
	permanent := false

	switch f.Class {
	case provider.InvalidRequest, provider.NotFound:
		permanent = true
	case provider.Transient:
		permanent = countsAgainstTask && t.Retries >= record.MaxResubmissions || env.Tasks.TimedOut(t)
	}

	err := env.Tasks.UntilDurable(ctx, "failed submission", t.ID, func() error {
		_, err := env.Tasks.Advance(ctx, t.ID, record.Step{
			From:    task.Submitting,
			Attempt: t.Attempt,
			Lease:   s.worker.Lease,
			Note:    "not_accepted: " + f.Class.String() + " " + f.Code,
			InTx: func(ctx context.Context, tx *store.Tx) error {
				return record.EditAttempt(ctx, tx, t, func(a *store.Attempt) { a.Outcome = "not_accepted" })
			},
			Edit: func(t *task.Task) {
				switch {
				case t.CancelRequestedAt > 0:
					t.State = task.Cancelled
				case permanent:
					t.State = task.Failed
					t.Error = customerError(f)
				default:
					t.State = task.Queued
					t.Upstream = ""
					t.QueuedAt = env.Tasks.Clock.Millis()

					if countsAgainstTask {
						t.Retries++
					}
				}
			},
		})

		return err
	})
	if errors.Is(err, store.ErrNotOwner) {
		env.Tasks.Log.Warn("the lease was lost before a failed submission was handled", "task", t.ID, "upstream", s.up.Name)
	}

	s.releaseSlot(t.ID)
}

// customerError returns what the customer sees of a supplier's failure.
func customerError(f *provider.Failure) *task.Error {
	shown := f.Fault
	if shown == nil {
		shown = provider.FailureOf(nil).Fault
	}

	return &task.Error{Code: string(shown.Code), Message: shown.Detail, Param: shown.Param}
}

// acceptanceUnknownFault is the fault of a task for which it stays unknown whether the
// supplier accepted it.
func acceptanceUnknownFault() *fault.Fault {
	return fault.New(fault.CodeUpstreamUnknown, "", "It could not be determined whether the supplier accepted this task. Nothing was charged; create it again.")
}
