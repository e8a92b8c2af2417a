package worker

import (
	"context"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// orphanScanInterval is how often a supplier's list is searched for tasks of our key
// that no attempt accounts for.
const orphanScanInterval = 10 * time.Minute

// runOrphanScan counts tasks under our key that Unireel did not submit, and cancels those
// that have not started: a process that was stopped between the check of its lease and
// the submission may leave one.
func (w *Worker) runOrphanScan(ctx context.Context) {
	finder, ok := w.up.Provider.(provider.Finder)
	actor := w.env.Tasks.Clock.Actor("orphans of " + w.ID + " at " + w.env.Owner)

	for ok && actor.Sleep(ctx, orphanScanInterval) {
		for _, s := range w.submitterList() {
			if _, uncertain := s.firstUncertain(); uncertain {
				continue
			}

			if err := s.scanOrphans(ctx, finder); err != nil && ctx.Err() == nil {
				w.env.Tasks.Log.Warn("cannot search for orphans", "route", s.route, "error", err)
			}
		}
	}
}

func (s *submitter) scanOrphans(ctx context.Context, finder provider.Finder) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()

	now := s.env.now()

	found, err := finder.Find(ctx, s.model, now.Add(-orphanScanInterval*2))
	if err != nil {
		return err
	}

	attempts, err := s.env.store.AttemptsSince(ctx, s.worker.ID, "", now.Add(-listWindow).UnixMilli())
	if err != nil {
		return err
	}

	known := map[string]bool{}
	for _, a := range attempts {
		known[a.RemoteID] = true
	}

	keyID := s.learnKeyID(ctx, found, known)

	seen := map[provider.RemoteID]bool{} // consecutive lists overlap; each orphan is counted once
	defer func() { s.knownOrphans = seen }()

	for _, f := range found {
		if keyID == "" || f.KeyID != keyID || known[string(f.RemoteID)] || now.Sub(f.CreatedAt) < 2*time.Minute {
			continue
		}

		cancelled := false
		if c, ok := s.up.Provider.(provider.Canceler); ok && f.Phase == provider.Queued {
			cancelled, _ = c.Cancel(ctx, f.RemoteID)
		}

		seen[f.RemoteID] = true
		if s.knownOrphans[f.RemoteID] {
			continue
		}

		s.env.metrics.orphans.WithLabelValues(s.up.Name).Inc()
		s.env.Tasks.Log.Error("ALERT: the supplier has a task under our key that Unireel did not submit",
			"upstream", s.up.Name, "remote_id", f.RemoteID, "created_at", f.CreatedAt, "cancelled", cancelled)
	}

	return nil
}
