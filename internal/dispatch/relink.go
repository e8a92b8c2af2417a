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

// relinks is how long after its end a result's link is asked for again: a supplier
// that always gives a fresh link, and never a good one, must not be asked for ever.
const relinks = 2 * upstreamForgets

// relink asks the supplier again about a rendered ticket whose link is dead. A
// fresh link is written to the task, which collects with it after the pause; so it
// does with the old one while that may come alive. lost says that there is nothing
// left to wait for: the link's time is over and there is no later one, or the
// supplier has the video no more.
func (d *Dispatch) relink(ctx context.Context, served *tenure, t task.Task, pause time.Duration) (lost bool, next time.Duration) {
	if d.millis() > t.RenderedAt+relinks.Milliseconds() {
		return true, 0
	}

	if ok, until := served.polls.afford(); !ok {
		return false, max(pause, until)
	}

	asking, done := context.WithTimeout(ctx, pollTime)
	report, err := served.up.Provider.Poll(asking, provider.Ticket(t.Ticket))

	done()

	if ctx.Err() != nil {
		return false, pause
	}

	if err != nil { // it says nothing about the ticket
		d.stats.polls.WithLabelValues(served.up.Name, "no answer").Inc()

		f := provider.FailureOf(err)
		served.up.note(f)

		return false, max(pause, f.After)
	}

	d.stats.polls.WithLabelValues(served.up.Name, string(report.Phase)).Inc()

	if report.Phase == provider.Unknown { // believed when it is said twice, as while it rendered
		since := d.live.unknown(t.ID, d.Now())
		return d.Now().Sub(since) >= d.hasty(unknownTwice), max(pause, d.hasty(unknownTwice))
	}

	d.live.unknown(t.ID, time.Time{})

	switch {
	case report.Phase == provider.Broken || report.Phase == provider.Stopped:
		return true, 0
	case report.Phase == provider.Rendered && report.Result != nil:
		if t, err = d.renew(ctx, served.lease, t, *report.Result); err != nil {
			return false, pause
		}
	}

	return d.linkIsDead(t), pause
}

// renew writes a link to the task if it is another one or lives longer. What the
// supplier said of the video and its bill stays as it was first told.
func (d *Dispatch) renew(ctx context.Context, by *lease, t task.Task, fresh provider.Result) (task.Task, error) {
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

	next, err := d.advance(ctx, t.ID, step{
		from: task.Collecting, attempt: t.Attempt, fenced: by, note: "the supplier gave a fresh link",
		edit: func(t *task.Task) { t.Result = string(link) },
	})
	if err == nil {
		d.Log.Info("a result has a fresh link", "task", t.ID, "upstream", t.Upstream)
		return next, nil
	}

	if errors.Is(err, store.ErrNotOwner) {
		d.keeper.wake() // to see that the lease is gone
	} else if !errors.Is(err, errDecided) && ctx.Err() == nil {
		d.Log.Error("cannot write a fresh link, asking again", "task", t.ID, "error", err)
	}

	return t, err
}
