package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// linkRefreshPeriod is for how long after rendering a fresh link is requested: a supplier
// that always gives fresh links that never work must not be polled for ever.
const linkRefreshPeriod = 2 * remoteRetention

// refreshLink polls a rendered task whose link is dead. A fresh link is written to the task,
// whose video is then downloaded from it after the delay; without one, the old link is
// tried again while it may still work. lost says that there is nothing left to wait for:
// the link has expired without a later one, or the supplier no longer has the video.
func (d *Dispatch) refreshLink(ctx context.Context, w *worker, t task.Task, minDelay time.Duration) (lost bool, delay time.Duration) {
	if d.nowMillis() > t.RenderedAt+linkRefreshPeriod.Milliseconds() {
		return true, 0
	}

	if ok, budgetDelay := w.poller.takeBudget(); !ok {
		return false, max(minDelay, budgetDelay)
	}

	callCtx, cancel := context.WithTimeout(ctx, pollTimeout)
	report, err := w.up.Provider.Poll(callCtx, provider.RemoteID(t.RemoteID))

	cancel()

	if ctx.Err() != nil {
		return false, minDelay
	}

	if err != nil { // it says nothing about the task
		d.metrics.polls.WithLabelValues(w.up.Name, "error").Inc()

		f := provider.FailureOf(err)
		w.up.recordFailure(f)

		return false, max(minDelay, f.RetryAfter)
	}

	d.metrics.polls.WithLabelValues(w.up.Name, string(report.Phase)).Inc()

	if report.Phase == provider.Unknown { // believed when it is said twice, as while the task runs
		since := d.live.notFoundSince(t.ID, d.Now())
		return d.Now().Sub(since) >= d.scaled(notFoundConfirmation), max(minDelay, d.scaled(notFoundConfirmation))
	}

	d.live.notFoundSince(t.ID, time.Time{})

	switch {
	case report.Phase == provider.Failed || report.Phase == provider.Cancelled:
		return true, 0
	case report.Phase == provider.Rendered && report.Result != nil:
		if t, err = d.saveFreshLink(ctx, w.lease, t, *report.Result); err != nil {
			return false, minDelay
		}
	}

	return d.linkExpired(t), minDelay
}

// saveFreshLink writes a link to the task if it is another one or expires later. What the
// supplier first said about the video and its bill stays.
func (d *Dispatch) saveFreshLink(ctx context.Context, heldLease *lease, t task.Task, fresh provider.Result) (task.Task, error) {
	var result provider.Result
	if err := json.Unmarshal([]byte(t.Result), &result); err != nil {
		return t, err
	}

	if fresh.URL == "" || fresh.URL == result.URL && fresh.ExpiresAt <= result.ExpiresAt {
		return t, nil
	}

	result.URL = fresh.URL
	result.ExpiresAt = fresh.ExpiresAt

	link, err := json.Marshal(result)
	if err != nil {
		return t, err
	}

	updated, err := d.advance(ctx, t.ID, step{
		from:         task.Collecting,
		attempt:      t.Attempt,
		requireLease: heldLease,
		note:         "the supplier gave a fresh link",
		edit:         func(t *task.Task) { t.Result = string(link) },
	})
	if err == nil {
		d.Log.Info("a result has a fresh link", "task", t.ID, "upstream", t.Upstream)
		return updated, nil
	}

	if errors.Is(err, store.ErrNotOwner) {
		d.coordinator.wake() // to notice that the lease is lost
	} else if !errors.Is(err, errStateChanged) && ctx.Err() == nil {
		d.Log.Error("cannot save a fresh link, trying again", "task", t.ID, "error", err)
	}

	return t, err
}
