package dispatch

import (
	"context"
	"errors"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// sweepRoutes looks after what waits for upstreams that take nothing new: queued
// tasks whose lane has no other route go to a lane that has one. Where there is
// none they wait for a draining upstream to be resumed, and are ended, free of
// charge, when it was removed. A removed upstream is forgotten when nothing is in
// progress there.
func (d *Dispatch) sweepRoutes(ctx context.Context) error {
	rows, err := d.Store.Upstreams(ctx)
	if err != nil {
		return err
	}

	closing := map[string]bool{}
	removed := map[string]bool{}

	for _, row := range rows {
		closing[row.ID] = row.Wish == store.WishDrain || row.Wish == store.WishRemove
		removed[row.ID] = row.Wish == store.WishRemove
	}

	lanes, err := d.Store.Lanes(ctx)
	if err != nil {
		return err
	}

	for _, lane := range lanes {
		if lane.Queued == 0 || !onlyBy(lane.ID, closing) {
			continue
		}

		if err := d.reroute(ctx, lane.ID, onlyBy(lane.ID, removed)); err != nil {
			return err
		}
	}

	for id := range removed {
		if err := d.forget(ctx, id, removed[id]); err != nil {
			return err
		}
	}

	return nil
}

// onlyBy says whether every route of a lane goes to one of these upstreams.
func onlyBy(lane string, upstreams map[string]bool) bool {
	for route := range strings.SplitSeq(lane, "|") {
		name, _, _ := strings.Cut(route, "/")
		if !upstreams[plainName(name)] {
			return false
		}
	}

	return true
}

// reroute moves what is queued in a lane of closed routes; ends says that what
// cannot be moved never will be.
func (d *Dispatch) reroute(ctx context.Context, lane string, ends bool) error {
	for last := (task.Task{}); ; {
		list, err := d.Store.QueuedIn(ctx, lane, last, sweepAtOnce)
		if err != nil {
			return err
		}

		for _, t := range list {
			last = t
			if err := d.moveTask(ctx, t, ends); err != nil && !errors.Is(err, errDecided) {
				return err
			}
		}

		if len(list) < sweepAtOnce {
			return nil
		}
	}
}

func (d *Dispatch) moveTask(ctx context.Context, t task.Task, ends bool) error {
	r, _, err := d.read(ctx, t.ID)
	if err != nil {
		return err
	}

	lane, refused := d.Route(r)
	switch {
	case refused == nil && lane != t.Lane:
		_, err = d.advance(ctx, t.ID, step{from: task.Queued, note: "its upstream takes nothing new; it goes by " + lane, edit: func(t *task.Task) { t.Lane = lane }})
	case refused != nil && ends:
		err = d.fail(ctx, t, fault.New(fault.CodeNoRoute, "", "The supplier that this task waited for was removed, and no other can make it. Nothing was charged."), step{note: "its upstream was removed"})
	}

	return err
}

// forget ends the removal of an upstream.
func (d *Dispatch) forget(ctx context.Context, id string, removed bool) error {
	up := d.upstream(id)
	if !removed || up == nil || up.setup == "" {
		return nil
	}

	done := false

	err := d.write(ctx, func(tx *store.Tx) (err error) { done, err = tx.Forget(ctx, id); return err })
	if err == nil && done {
		d.keeper.wake()
	}

	return err
}
