package result

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// linkRefreshPeriod is for how long after rendering a fresh link is requested: a supplier
// that always gives fresh links that never work must not be polled for ever.
const linkRefreshPeriod = 2 * record.RemoteRetention

// refreshLink polls a rendered task whose link is dead. A fresh link is written to the task,
// whose video is then downloaded from it after the delay; without one, the old link is
// tried again while it may still work. lost says that there is nothing left to wait for:
// the link has expired without a later one, or the supplier no longer has the video.
func (c *Collector) refreshLink(ctx context.Context, worker Worker, t task.Task, minDelay time.Duration) (lost bool, delay time.Duration) {
	if c.Tasks.Clock.Millis() > t.RenderedAt+linkRefreshPeriod.Milliseconds() {
		return true, 0
	}

	report, wait, err := worker.Poll(ctx, provider.RemoteID(t.RemoteID))
	if err != nil || ctx.Err() != nil { // it says nothing about the task
		return false, max(minDelay, wait)
	}

	if report.Phase == provider.Unknown { // believed when it is said twice, as while the task runs
		since := c.notFoundSince(t.ID, c.Tasks.Clock.Now())
		return c.Tasks.Clock.Now().Sub(since) >= c.NotFoundConfirmation, max(minDelay, c.NotFoundConfirmation)
	}

	c.notFoundSince(t.ID, time.Time{})

	switch {
	case report.Phase == provider.Failed || report.Phase == provider.Cancelled:
		return true, 0
	case report.Phase == provider.Rendered && report.Result != nil:
		if t, err = c.saveFreshLink(ctx, worker, t, *report.Result); err != nil {
			return false, minDelay
		}
	}

	return c.linkExpired(t), minDelay
}

// saveFreshLink writes a link to the task if it is another one or expires later. What the
// supplier first said about the video and its bill stays.
func (c *Collector) saveFreshLink(ctx context.Context, heldLease record.Lease, t task.Task, fresh provider.Result) (task.Task, error) {
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

	updated, err := c.Tasks.Advance(ctx, t.ID, record.Step{
		From:    task.Collecting,
		Attempt: t.Attempt,
		Lease:   heldLease,
		Note:    "the supplier gave a fresh link",
		Edit:    func(t *task.Task) { t.Result = string(link) },
	})
	if err == nil {
		c.Tasks.Log.Info("a result has a fresh link", "task", t.ID, "upstream", t.Upstream)
		return updated, nil
	}

	if errors.Is(err, store.ErrNotOwner) {
		c.LeaseLost() // to notice that the lease is lost
	} else if !errors.Is(err, record.ErrStateChanged) && ctx.Err() == nil {
		c.Tasks.Log.Error("cannot save a fresh link, trying again", "task", t.ID, "error", err)
	}

	return t, err
}
