package dispatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/task"
)

// What customers and operators are told must not depend on the replica that they
// happen to ask. Of tasks at upstreams that another replica serves, each replica
// estimates progress and end by itself, from the same past durations.

// lookShare bounds the part of the time that is spent on looking: a fleet may
// have very much in progress.
const lookShare = 20

// lookElsewhere reads the tasks that are in progress at upstreams that are served
// by others, or by nobody at the moment, and notes how far they may be.
func (d *Dispatch) lookElsewhere(ctx context.Context) ([]task.Task, error) {
	list := d.seenElsewhere()
	switch begin := d.Now(); {
	case d.Alone || d.servesAll():
		return nil, nil
	case !begin.Before(d.nextLook):
		all, err := d.Store.InProgress(ctx)
		if err != nil {
			return nil, err
		}

		list = slices.DeleteFunc(all, func(t task.Task) bool {
			served := d.keeper.tenure(t.Upstream)
			return served != nil && served.isOpen()
		})
		d.nextLook = d.Now().Add(lookShare*d.Now().Sub(begin) - snapshotEvery)
	}

	for _, t := range list {
		progress := t.Progress
		if t.State == task.Running {
			progress = max(progress, d.paces.progress(t, d.millis()-t.StartedAt))
		}

		d.live.note(t.ID, min(progress, mostGuess))
	}

	return list, nil
}

// servesAll says whether this replica serves every upstream, and nobody else
// renders.
func (d *Dispatch) servesAll() bool {
	for _, up := range d.roster.list() {
		if t := d.keeper.tenure(up.lease); t == nil || !t.isOpen() {
			return false
		}
	}

	return d.keeper.living() <= 1
}

// seenElsewhere is what the latest snapshot saw there.
func (d *Dispatch) seenElsewhere() []task.Task {
	if list := d.elsewhere.Load(); list != nil {
		return *list
	}

	return nil
}

// slotsOf is how many tasks a route takes at once: what its gate allows at the
// moment, else what is configured. A renderer counts once for each replica.
func (d *Dispatch) slotsOf(route string) (slots int64) {
	name, model, _ := strings.Cut(route, "/")

	up := d.upstream(name)
	if up == nil || !up.serves(model) {
		return 0
	}

	each := int64(up.Limits.InProgress)
	if up.lease != up.Name {
		return each * int64(max(1, d.keeper.living()))
	}

	if t := d.keeper.tenure(up.lease); t != nil && t.isOpen() {
		return int64(t.slots.Limit(route))
	}

	return each
}

// refreshEvery is how often a replica learns the durations that others saw, and
// forgets progress of which it did not hear the end.
const refreshEvery = time.Minute

// refresh reads again what other replicas add to.
func (d *Dispatch) refresh(ctx context.Context) {
	for !d.Alone && wait(ctx, refreshEvery) {
		if err := d.paces.refresh(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot read how long renders take", "error", err)
		}

		for _, id := range d.live.ids() {
			if t, err := d.Store.Task(ctx, id); err == nil && t.State.Final() {
				d.live.forget(id)
			}
		}
	}
}

// ids lists the tasks of which something is known.
func (l *live) ids() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()

	list := make([]string, 0, len(l.tasks))
	for id := range l.tasks {
		list = append(list, id)
	}

	return list
}
