package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	submitTimeout    = 90 * time.Second // from the call of Submit to its answer
	uploadTimeout    = 10 * time.Minute // one reference, to where the supplier reads it
	maxResubmissions = 4                // new submissions after failures of the supplier itself
)

// submit submits one claimed task. When it returns, the task has left the state
// submitting, or its submission is among those of unknown outcome and the submitter is
// blocked until the recovery decides.
func (s *submitter) submit(ctx context.Context, t task.Task) {
	d := s.d
	if t.StartBy > 0 && d.nowMillis() >= t.StartBy { // the sweep that fails late tasks runs only now and then
		s.handleFailure(ctx, t, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.InvalidRequest, Fault: expiredFault()})
		return
	}

	submission, err := d.buildSubmission(ctx, s, t)
	if err != nil {
		s.handleFailure(ctx, t, notAccepted(err))
		return
	}

	d.FailPoint("before-submit")

	// The answer of a submission in flight is waited for even when this process is asked
	// to stop. The lease is checked once more before the first byte is sent: until then
	// the task certainly was not accepted.
	submitCtx, cancel := context.WithTimeout(provider.WithSendCheck(context.WithoutCancel(ctx), s.worker.checkValid), submitTimeout)
	defer cancel()

	startedAt := d.Now()
	remoteID, err := s.up.Provider.Submit(submitCtx, submission)
	d.metrics.submitSeconds.WithLabelValues(s.up.Name).Observe(d.Now().Sub(startedAt).Seconds())
	d.FailPoint("after-submit")

	ctx = context.WithoutCancel(ctx)

	if err == nil {
		s.resetBackoff()
		s.up.resetBreaker()
		s.recordAccepted(ctx, t, remoteID, "accepted", nil)

		return
	}

	// Only what may be the supplier's own trouble counts towards the circuit breaker. A
	// request that it refuses says nothing about the next customer's.
	f := provider.FailureOf(err)
	if f.Class == provider.Transient {
		d.countFailure(ctx, s.up, f)
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
func (s *submitter) recordAccepted(ctx context.Context, t task.Task, remoteID provider.RemoteID, outcome string, heldLease *lease) {
	d := s.d
	d.metrics.submissions.WithLabelValues(s.route.String(), outcome).Inc()

	var updated task.Task

	err := d.retryUntilDurable(ctx, "remote ID", t.ID, func() (err error) {
		updated, err = d.advance(ctx, t.ID, step{
			from:         task.Submitting,
			attempt:      t.Attempt,
			requireLease: heldLease,
			note:         outcome + ": " + string(remoteID),
			inTx: func(ctx context.Context, tx *store.Tx) error {
				return updateAttempt(ctx, tx, t, func(a *store.Attempt) {
					a.RemoteID = string(remoteID)
					a.Outcome = outcome
				})
			},
			edit: func(t *task.Task) {
				t.State = task.Running
				t.RemoteID = string(remoteID)

				if t.StartedAt == 0 {
					t.StartedAt = d.nowMillis()
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

	if s.worker.ctx.Err() != nil { // the next owner, here or elsewhere, is notified of the change
		return
	}

	s.worker.poller.track(updated, s, false)
	d.forwardCancel(ctx, t.ID) // nobody received a cancel that came between the commit and track
}

// recordLateRemoteID records with its attempt an answer that came when the task had moved
// on, unless the recovery gave the attempt another remote ID meanwhile.
func (s *submitter) recordLateRemoteID(ctx context.Context, t task.Task, remoteID provider.RemoteID, cause error) {
	s.d.Log.Warn("a remote ID arrived too late", "task", t.ID, "attempt", t.Attempt, "remote_id", remoteID, "error", cause)

	err := s.d.write(ctx, func(tx *store.Tx) error {
		return updateAttempt(ctx, tx, t, func(a *store.Attempt) {
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
		s.d.Log.Error("cannot record a late remote ID", "task", t.ID, "attempt", t.Attempt, "remote_id", remoteID, "error", err)
	}
}

func updateAttempt(ctx context.Context, tx *store.Tx, t task.Task, edit func(*store.Attempt)) error {
	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}

	edit(&a)

	return tx.SaveAttempt(ctx, a)
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

	s.up.recordFailure(f)
	s.d.metrics.submissions.WithLabelValues(s.route.String(), outcome+", "+f.Class.String()).Inc()
	s.d.Log.Warn("submission failed", "task", t.ID, "attempt", t.Attempt, "route", s.route,
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
	now := s.d.nowMillis()
	_ = s.d.retryUntilDurable(ctx, "uncertain submission", t.ID, func() error {
		return s.d.write(ctx, func(tx *store.Tx) error {
			if fresh, err := tx.Task(ctx, t.ID); err != nil || fresh.State != task.Submitting || fresh.Attempt != t.Attempt {
				return err
			}

			return updateAttempt(ctx, tx, t, func(a *store.Attempt) {
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
	s.d.metrics.blocked.WithLabelValues(s.route.String()).Set(1)
}

// handleNotAccepted handles a submission that the supplier certainly did not accept: the
// task is queued again, or fails if it cannot succeed or has failed too often.
func (s *submitter) handleNotAccepted(ctx context.Context, t task.Task, f *provider.Failure) {
	d := s.d

	// First what the failure means for the route: how long it stays closed. This must come
	// before the task is queued again, or the submitter would claim it back at once.
	switch f.Class {
	case provider.Throttled:
		s.worker.slots.Halve(s.model, d.Now())
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
		permanent = countsAgainstTask && t.Retries >= maxResubmissions || d.pastTaskTimeout(t)
	}

	err := d.retryUntilDurable(ctx, "failed submission", t.ID, func() error {
		_, err := d.advance(ctx, t.ID, step{
			from:         task.Submitting,
			attempt:      t.Attempt,
			requireLease: s.worker.lease,
			note:         "not_accepted: " + f.Class.String() + " " + f.Code,
			inTx: func(ctx context.Context, tx *store.Tx) error {
				return updateAttempt(ctx, tx, t, func(a *store.Attempt) { a.Outcome = "not_accepted" })
			},
			edit: func(t *task.Task) {
				switch {
				case t.CancelRequestedAt > 0:
					t.State = task.Cancelled
				case permanent:
					t.State = task.Failed
					t.Error = customerError(f)
				default:
					t.State = task.Queued
					t.Upstream = ""
					t.QueuedAt = d.nowMillis()

					if countsAgainstTask {
						t.Retries++
					}
				}
			},
		})

		return err
	})
	if errors.Is(err, store.ErrNotOwner) {
		d.Log.Warn("the lease was lost before a failed submission was handled", "task", t.ID, "upstream", s.up.Name)
	}

	s.releaseSlot(t.ID)
}

// pastTaskTimeout reports whether a task is older than TaskTimeout.
func (d *Dispatch) pastTaskTimeout(t task.Task) bool {
	return d.nowMillis()-t.CreatedAt > d.TaskTimeout.Milliseconds()
}

// customerError returns what the customer sees of a supplier's failure.
func customerError(f *provider.Failure) *task.Error {
	shown := f.Fault
	if shown == nil {
		shown = provider.FailureOf(nil).Fault
	}

	return &task.Error{Code: string(shown.Code), Message: shown.Detail, Param: shown.Param}
}

// buildSubmission returns the submission of a task to the supplier: its request, with the
// prepared references where the supplier can read them.
func (d *Dispatch) buildSubmission(ctx context.Context, s *submitter, t task.Task) (provider.Submission, error) {
	r, prepared, err := d.loadRequest(ctx, t.ID)
	if err != nil {
		return provider.Submission{}, err
	}

	submission := provider.Submission{
		TaskID:          t.ID,
		Attempt:         t.Attempt,
		Model:           s.model,
		Mode:            provider.Mode(r.Mode),
		Prompt:          r.Prompt,
		NegativePrompt:  r.NegativePrompt,
		Size:            r.Size,
		Width:           r.Width,
		Height:          r.Height,
		Seconds:         r.Seconds,
		Sound:           r.Sound,
		ShotType:        r.ShotType,
		PromptExpansion: r.PromptExpansion,
		Watermark:       r.Watermark,
		Seed:            r.Seed,
	}

	for _, p := range prepared.References {
		ref, err := d.buildReference(ctx, s, t.ID, p)
		if err != nil {
			return submission, err
		}

		submission.References = append(submission.References, ref)
	}

	if prepared.Audio != nil {
		ref, err := d.buildReference(ctx, s, t.ID, *prepared.Audio)
		if err != nil {
			return submission, err
		}

		submission.Audio = &ref
	}

	return submission, nil
}

// loadRequest returns a task's request and its prepared references.
func (d *Dispatch) loadRequest(ctx context.Context, id string) (catalog.Request, preparedRequest, error) {
	var (
		r catalog.Request
		p preparedRequest
	)

	body, preparedJSON, err := d.Store.Request(ctx, id)
	if err != nil {
		return r, p, fmt.Errorf("read the request of %s: %w", id, err)
	}

	if err := json.Unmarshal(body, &r); err != nil {
		return r, p, fmt.Errorf("request of %s: %w", id, err)
	}

	if len(preparedJSON) > 0 {
		if err := json.Unmarshal(preparedJSON, &p); err != nil {
			return r, p, fmt.Errorf("references of %s: %w", id, err)
		}
	}

	return r, p, nil
}

// buildReference returns a prepared reference as the supplier gets it: by its own URL when
// the supplier can read that, else uploaded to the supplier, else as bytes.
func (d *Dispatch) buildReference(ctx context.Context, s *submitter, id string, p preparedReference) (provider.Reference, error) {
	ref := provider.Reference{
		Kind:           p.Kind,
		Param:          p.Param,
		URL:            p.URL,
		Name:           p.Name,
		MediaType:      p.Type,
		SizeBytes:      p.Bytes,
		DurationMillis: p.Millis,
		Width:          p.Width,
		Height:         p.Height,
		Sound:          p.Sound,
	}
	if p.Blob == "" {
		return ref, nil
	}

	ref.Open = func(ctx context.Context) (io.ReadCloser, error) { return d.Blobs.Open(ctx, p.Blob) }

	uploader, ok := s.up.Provider.(provider.Uploader)
	if ref.URL != "" || !ok {
		return ref, nil
	}

	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()

	bytes, err := ref.Open(ctx)
	if errors.Is(err, blob.ErrNotFound) { // trying again would not help
		return ref, &provider.Failure{Class: provider.InvalidRequest, Err: err, Fault: fault.New(fault.CodeReferenceUnreachable, p.Param,
			"The stored reference of this task is lost. Nothing was charged; create the task again.")}
	}

	if err != nil {
		return ref, fmt.Errorf("reference %s of %s: %w", p.Param, id, err)
	}

	defer func() { _ = bytes.Close() }()

	ref.URL, err = uploader.Upload(ctx, s.model, p.Name, p.Bytes, bytes)
	if err != nil {
		return ref, fmt.Errorf("upload %s of %s: %w", p.Param, id, err)
	}

	return ref, nil
}

// acceptanceUnknownFault is the fault of a task for which it stays unknown whether the
// supplier accepted it.
func acceptanceUnknownFault() *fault.Fault {
	return fault.New(fault.CodeUpstreamUnknown, "", "It could not be determined whether the supplier accepted this task. Nothing was charged; create it again.")
}
