package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// The times of a recovery. The supplier's list may lag behind, so that the absence of a
// task is believed only some time after the submission, and only when it was seen twice.
const (
	recoveryInterval  = 15 * time.Second
	maxClockSkew      = 5 * time.Second   // between our clock and the supplier's
	minListInterval   = 30 * time.Second  // between the two valid lists
	minListDelay      = 120 * time.Second // from the moment at which the outcome became unknown to either of the two lists
	recoveryTimeout   = 30 * time.Minute
	listWindow        = 24 * time.Hour // how far back the supplier's list reaches
	echoedPromptLimit = 1500           // characters of the prompt that a supplier repeats, where its provider does not say
)

// recoveryCase is one search for a lost submission: what was sent, and which of our
// own tasks the supplier's list must or may show.
type recoveryCase struct {
	attempt        store.Attempt
	task           task.Task
	since          time.Time       // candidates were created at or after this, by the supplier's clock
	earlierAttempt store.Attempt   // our newest submission of the model before the lost one: a list that shows it is valid
	knownIDs       map[string]bool // remote IDs that an attempt has
}

// recoverSubmission tries once to find out what became of a submission of unknown
// outcome. It returns how long to wait before the next try, or 0 when the outcome is
// decided and the submitter may go on.
func (s *submitter) recoverSubmission(ctx context.Context, id string) time.Duration {
	env := s.env

	// Another process may have decided meanwhile: a previous owner whose answer came late.
	rc, err := s.loadRecovery(ctx, id)
	if errors.Is(err, record.ErrStateChanged) || errors.Is(err, store.ErrNotFound) {
		if err := s.handleResolved(ctx, id); err != nil {
			env.Tasks.Log.Error("cannot read a submission whose outcome is known now", "task", id, "error", err)
			return recoveryInterval
		}

		s.clearUncertain(id)

		return 0
	}

	if err != nil {
		env.Tasks.Log.Error("cannot read a submission to recover", "task", id, "error", err)
		return recoveryInterval
	}

	// Without a list, or after too long a time, there is nothing left to learn. The list's
	// window is left with an hour to spare.
	finder, ok := s.up.Provider.(provider.Finder)
	age := env.now().Sub(time.UnixMilli(rc.attempt.SentAt))

	if !ok || s.recoveringFor(id) > recoveryTimeout || age > listWindow-time.Hour {
		s.failUncertain(ctx, rc)
		return 0
	}

	callCtx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()

	// The list must reach back to the earlier task that proves that it is valid.
	from := rc.since
	if rc.earlierAttempt.RemoteID != "" {
		proofTime := time.UnixMilli(rc.earlierAttempt.SentAt).Add(-maxClockSkew)
		if proofTime.Before(from) {
			from = proofTime
		}
	}

	found, err := finder.Find(callCtx, s.model, from)
	if err != nil {
		if ctx.Err() == nil {
			env.Tasks.Log.Warn("cannot list the supplier's tasks", "upstream", s.up.Name, "error", err)
		}

		return recoveryInterval
	}

	return s.reconcile(ctx, rc, found)
}

// handleResolved resumes a task whose submission another process resolved, for example
// a previous owner whose answer came late: it is polled here, or its slot is released.
func (s *submitter) handleResolved(ctx context.Context, id string) error {
	err := s.worker.resumeIfRunning(ctx, id)
	if err == nil && !s.worker.poller.tracks(id) || errors.Is(err, store.ErrNotFound) {
		s.releaseSlot(id)
		return nil
	}

	return err
}

// WakeUncertain wakes the submitter that tries to recover a task, since the answer came
// after all.
func (w *Worker) WakeUncertain(id string) {
	for _, s := range w.submitterList() {
		s.mu.Lock()
		uncertain := slices.Contains(s.uncertain, id)
		s.mu.Unlock()

		if uncertain {
			s.wake()
		}
	}
}

// recoveringFor returns for how long this process has tried to recover a submission.
// The time does not count from the submission: a process that starts an hour later
// still gets its recoveryTimeout.
func (s *submitter) recoveringFor(id string) time.Duration {
	now := s.env.now()
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.recoveringSince[id].IsZero() {
		s.recoveringSince[id] = now
	}

	return now.Sub(s.recoveringSince[id])
}

func (s *submitter) loadRecovery(ctx context.Context, id string) (*recoveryCase, error) {
	t, err := s.env.store.Task(ctx, id)
	if err != nil {
		return nil, err
	}

	if t.State != task.Submitting || t.Upstream != s.worker.ID {
		return nil, record.ErrStateChanged
	}

	a, err := s.env.store.Attempt(ctx, id, t.Attempt)
	if err != nil {
		return nil, err
	}

	rc := &recoveryCase{
		attempt:  a,
		task:     t,
		since:    time.UnixMilli(a.SentAt).Add(-maxClockSkew),
		knownIDs: map[string]bool{},
	}

	return rc, s.loadKnownIDs(ctx, rc)
}

// loadKnownIDs reads the remote IDs of our attempts in the window of the list. None of
// them is a candidate; the newest one before the lost submission shows whether a list
// is valid.
func (s *submitter) loadKnownIDs(ctx context.Context, rc *recoveryCase) error {
	attempts, err := s.env.store.AttemptsSince(ctx, s.worker.ID, "", rc.attempt.SentAt-listWindow.Milliseconds())
	if err != nil {
		return err
	}

	for _, a := range attempts {
		if a.RemoteID == "" {
			continue
		}

		rc.knownIDs[a.RemoteID] = true

		// Near the end of the window a task may drop out of the list.
		recent := a.SentAt > s.env.Tasks.Clock.Millis()-listWindow.Milliseconds()+time.Minute.Milliseconds()
		if a.Model == s.model && a.SentAt < rc.attempt.SentAt && a.SentAt > rc.earlierAttempt.SentAt && recent {
			rc.earlierAttempt = a
		}
	}

	return nil
}

// reconcile decides what became of a submission from one list of the supplier's tasks.
// To be wrong costs a second video or gives away another customer's, so that it decides
// only on proof:
//
//   - The request ID of the lost answer identifies the task.
//   - A candidate is a task of our key and model that no attempt knows and that is not
//     older than the submission. Where the lost answer had no request ID, a single
//     candidate is ours if no other submission of unknown outcome could have made it,
//     and if the list says which key made it.
//   - Several candidates are told apart by their results.
//   - The absence of a candidate proves that the supplier did not accept the task only
//     in a list that shows an earlier task of ours (where there is one), and only when
//     two such lists agree: see minListDelay and minListInterval.
//
// Until then it returns when to look again.
func (s *submitter) reconcile(ctx context.Context, rc *recoveryCase, found []provider.RemoteTask) time.Duration {
	env := s.env
	keyID := s.learnKeyID(ctx, found, rc.knownIDs)

	var candidates []provider.RemoteTask

	// The candidates, and whether the list is valid: it is when it shows our task before.
	listValid := rc.earlierAttempt.RemoteID == ""
	for _, f := range found {
		if string(f.RemoteID) == rc.earlierAttempt.RemoteID {
			listValid = true
		}

		if rc.knownIDs[string(f.RemoteID)] || f.CreatedAt.Before(rc.since) || (keyID != "" && f.KeyID != keyID) {
			continue
		}

		if rc.attempt.RequestID != "" && f.RequestID == rc.attempt.RequestID {
			return s.acceptRecovered(ctx, rc, f.RemoteID, "identified by its request ID")
		}

		candidates = append(candidates, f)
	}

	// One candidate is enough only while nothing else could have made it. Without the key
	// ID it may be another program's; with a request ID that does not match, it is not the
	// task whose answer was lost; with two uncertain submissions it may be the other one's.
	switch {
	case len(candidates) == 1 && keyID != "" && rc.attempt.RequestID == "" && s.onlyOneUncertain():
		return s.acceptRecovered(ctx, rc, candidates[0].RemoteID, "the only candidate")
	case len(candidates) > 0:
		return s.matchByResult(ctx, rc, candidates)
	case !listValid:
		return recoveryInterval
	}

	// No candidate in a valid list. It counts when the supplier had time to list the task,
	// and when an earlier valid list had no candidate either.
	now := env.now()
	if now.Sub(time.UnixMilli(rc.attempt.UncertainAt)) < env.scaled(minListDelay) {
		return recoveryInterval
	}

	// The first such list only starts the clock. One list could come from a replica of the
	// supplier that lags behind; two, minListInterval apart, agree.
	s.mu.Lock()

	absentSince, seen := s.absentSince[rc.task.ID]
	if !seen {
		s.absentSince[rc.task.ID] = now
	}
	s.mu.Unlock()

	if !seen || now.Sub(absentSince) < env.scaled(minListInterval) {
		return recoveryInterval
	}

	env.metrics.recoveries.WithLabelValues("not_accepted").Inc()
	s.handleNotAccepted(ctx, rc.task, &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.Transient})
	s.clearUncertain(rc.task.ID)

	return 0
}

// learnKeyID returns the supplier's id of our API key, "" while it is unknown. It learns
// the id from a list that shows a task of ours, and saves it.
func (s *submitter) learnKeyID(ctx context.Context, found []provider.RemoteTask, known map[string]bool) string {
	keyID := s.up.KeyID()
	if keyID != "" {
		return keyID
	}

	for _, f := range found {
		if known[string(f.RemoteID)] && f.KeyID != "" {
			keyID = f.KeyID
			break
		}
	}

	if keyID == "" {
		return ""
	}

	s.up.SetKeyID(keyID)

	if err := s.env.Tasks.Write(ctx, func(tx *store.Tx) error { return tx.SaveSupplierKeyID(ctx, s.worker.ID, keyID) }); err != nil {
		s.env.Tasks.Log.Warn("cannot save the supplier's id of our key", "upstream", s.up.Name, "error", err)
	}

	return keyID
}

// acceptRecovered records a found remote ID as the task's own. Its result is verified
// before anything is delivered: see verifyRecovered.
func (s *submitter) acceptRecovered(ctx context.Context, rc *recoveryCase, remoteID provider.RemoteID, reason string) time.Duration {
	s.env.Tasks.Log.Warn("recovered the remote ID of a submission whose answer was lost", "task", rc.task.ID, "remote_id", remoteID, "reason", reason)
	s.env.metrics.recoveries.WithLabelValues("recovered").Inc()
	s.recordAccepted(context.WithoutCancel(ctx), rc.task, remoteID, "recovered", s.worker.Lease)
	s.clearUncertain(rc.task.ID)

	return 0
}

// matchByResult polls several candidates to their end and accepts the one whose result
// is what the task asked for, if exactly one is.
func (s *submitter) matchByResult(ctx context.Context, rc *recoveryCase, candidates []provider.RemoteTask) time.Duration {
	var matching []provider.RemoteID

	for _, c := range candidates {
		callCtx, cancel := context.WithTimeout(ctx, pollTimeout)
		report, err := s.up.Provider.Poll(callCtx, c.RemoteID)

		cancel()

		if err != nil || report.Phase == provider.Queued || report.Phase == provider.Rendering {
			return recoveryInterval // not finished yet
		}

		if report.Phase != provider.Rendered || report.Result == nil {
			continue
		}

		result := *report.Result
		if report.Prompt != "" {
			result.Prompt = report.Prompt
		}

		// An error of our own decides nothing: a candidate that could not be compared may be
		// the right one.
		matches, err := s.worker.resultMatches(ctx, rc.task, rc.attempt.Model, result)
		if err != nil {
			return recoveryInterval
		}

		if matches {
			matching = append(matching, c.RemoteID)
		}
	}

	// Two results that match cannot be told apart. To choose one could deliver another
	// customer's video, so that the task waits for its time to end.
	if len(matching) == 1 {
		return s.acceptRecovered(ctx, rc, matching[0], "the only candidate that matches")
	}

	return recoveryInterval
}

// failUncertain fails a task for which it cannot be determined whether the supplier
// accepted it.
func (s *submitter) failUncertain(ctx context.Context, rc *recoveryCase) {
	env := s.env
	env.metrics.recoveries.WithLabelValues("unknown").Inc()
	env.Tasks.Log.Error("ALERT: it could not be determined whether the supplier accepted a task; check the supplier's list",
		"task", rc.task.ID, "upstream", s.up.Name, "sent_at", time.UnixMilli(rc.attempt.SentAt), "request_id", rc.attempt.RequestID)

	_ = env.Tasks.UntilDurable(ctx, "unrecoverable submission", rc.task.ID, func() error {
		return env.Tasks.Fail(ctx, rc.task, acceptanceUnknownFault(), record.Step{
			Note:  "unrecoverable",
			Lease: s.worker.Lease,
			InTx: func(ctx context.Context, tx *store.Tx) error {
				return record.EditAttempt(ctx, tx, rc.task, func(a *store.Attempt) { a.Outcome = "unknown" })
			},
		})
	})

	s.releaseSlot(rc.task.ID)
	s.clearUncertain(rc.task.ID)
}

// clearUncertain removes a submission from those of unknown outcome; without any, the
// submitter is no longer blocked.
func (s *submitter) clearUncertain(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.uncertain = slices.DeleteFunc(s.uncertain, func(uncertain string) bool { return uncertain == id })
	delete(s.absentSince, id)
	delete(s.recoveringSince, id)

	if len(s.uncertain) == 0 {
		s.env.metrics.blocked.WithLabelValues(s.route.String()).Set(0)
	}
}

// verifyRecovered reports whether a result belongs to the task. Only recovered remote IDs
// need that check: the others were answers to the task's own submission.
func (w *Worker) verifyRecovered(ctx context.Context, t task.Task, result provider.Result) (bool, error) {
	a, err := w.env.store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return false, err
	}

	if a.Outcome != "recovered" {
		return true, nil
	}

	return w.resultMatches(ctx, t, a.Model, result)
}

// resultMatches reports whether a result is what the task asked for: the prompt as the
// supplier repeats it, the size and the duration.
func (w *Worker) resultMatches(ctx context.Context, t task.Task, model string, result provider.Result) (bool, error) {
	r, err := w.env.Tasks.Request(ctx, t.ID)
	if err != nil {
		return false, err
	}

	if w.echoedPrompt(model, r) != result.Prompt {
		return false, nil
	}

	if result.Size != "" && r.Mode != catalog.I2V && result.Size != r.Size {
		return false, nil
	}

	durationUnknown := result.Usage == nil || result.Usage.Output == 0

	return durationUnknown || result.Usage.Output == int64(r.Seconds)*1000, nil
}

// echoedPrompt returns the prompt of a request as the supplier repeats it.
func (w *Worker) echoedPrompt(model string, r record.Request) string {
	if p, ok := w.up.Provider.(provider.PromptEcho); ok {
		submission := provider.Submission{Model: model, Mode: provider.Mode(r.Mode), Prompt: r.Prompt}
		for _, ref := range r.Prepared.References {
			submission.References = append(submission.References, provider.Reference{Kind: ref.Kind, MediaType: ref.Type, Name: ref.Name, URL: ref.URL})
		}

		return p.EchoedPrompt(submission)
	}

	sent := []rune(r.Prompt)

	return string(sent[:min(len(sent), echoedPromptLimit)])
}

// onlyOneUncertain reports whether there is only one submission of unknown outcome: a
// single candidate can then only be its task.
func (s *submitter) onlyOneUncertain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return len(s.uncertain) == 1
}
