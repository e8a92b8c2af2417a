package dispatch

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	sweepEvery   = 15 * time.Second
	strayEvery   = time.Hour
	strayAge     = 24 * time.Hour // what nothing names is deleted after
	attemptsKept = 48 * time.Hour
	replicasKept = time.Hour // after their death
	sweepAtOnce  = 200
)

// catchUps takes up, now and then, what no change told this replica of.
func (d *Dispatch) catchUps(ctx context.Context) {
	for {
		if err := d.sweepMissed(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot look for missed changes", "error", err)
		}

		if !wait(ctx, sweepEvery) {
			return
		}
	}
}

// background is the work that one replica does for all: it takes away what is past
// its time: tasks that were not begun in time, videos and files after their
// retention, old idempotency keys and attempts, blobs that nothing names.
func (d *Dispatch) background(ctx context.Context) {
	if err := d.takeStrangers(ctx); err != nil && ctx.Err() == nil {
		d.Log.Warn("cannot look for tasks of upstreams that are not configured any more", "error", err)
	}

	stray := d.Now()
	for wait(ctx, sweepEvery) {
		d.Point("sweeping")

		for _, sweep := range []struct {
			what string
			do   func(context.Context) error
		}{{"late tasks", d.sweepLate}, {"closed routes", d.sweepRoutes}, {"videos", d.sweepVideos}, {"files", d.sweepFiles}, {"rows", d.sweepRows}, {"deliveries", d.sweepDeliveries}, {"history", d.sweepHistory}} {
			if err := sweep.do(ctx); err != nil && ctx.Err() == nil {
				d.Log.Warn("cannot sweep", "what", sweep.what, "error", err)
			}
		}

		if d.Now().Sub(stray) < strayEvery {
			continue
		}

		stray = d.Now()
		if err := d.sweepStray(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot sweep", "what", "stray blobs", "error", err)
		}
	}
}

// takeStrangers meets the tasks of upstreams that are not configured any more: the
// operator is told, and what was rendered there is collected if it still can be.
func (d *Dispatch) takeStrangers(ctx context.Context) error {
	for _, s := range stages {
		for after := ""; s.owned; {
			list, err := d.Store.Unfinished(ctx, s.state, after, sweepAtOnce)
			if err != nil {
				return err
			}

			for _, t := range list {
				after = t.ID
				switch {
				case d.upstream(t.Upstream) != nil:
				case s.state == task.Submitting:
					d.Log.Error("ALERT: a submitted task's upstream is not configured any more; it waits for it", "task", t.ID, "upstream", t.Upstream)
				case s.state == task.Running:
					d.Log.Error("ALERT: a running task's upstream is not configured any more; it waits for it", "task", t.ID, "upstream", t.Upstream)
				default:
					d.collects.add(t.ID)
				}
			}

			if len(list) < sweepAtOnce {
				break
			}
		}
	}

	return nil
}

// sweepMissed takes up what no change told of: who listens may fall behind.
func (d *Dispatch) sweepMissed(ctx context.Context) error {
	preparing, err := d.Store.Unprepared(ctx, d.owner, d.millis(), sweepAtOnce)
	if err != nil {
		return err
	}

	for _, id := range preparing {
		d.prepares.add(id)
	}

	for _, t := range d.keeper.tenures() {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
	}

	return nil
}

// sweepLate fails tasks that were not submitted by their start_by.
func (d *Dispatch) sweepLate(ctx context.Context) error {
	late, err := d.Store.TooLate(ctx, d.millis(), sweepAtOnce)
	if err != nil {
		return err
	}

	for _, t := range late {
		err := d.fail(ctx, t, expired(), step{note: "start_by is past"})
		if err != nil && !errors.Is(err, errDecided) {
			return err
		}
	}

	return nil
}

// expired is what a customer hears whose task was not submitted by its start_by.
func expired() *fault.Fault {
	return fault.New(fault.CodeExpired, "start_by", "The task could not be submitted before its start_by time. Nothing was charged.")
}

// sweepVideos deletes the files of tasks whose retention is over. The row is
// written first: what is then left of the blobs is stray.
func (d *Dispatch) sweepVideos(ctx context.Context) error {
	list, err := d.Store.Sweepable(ctx, d.millis(), sweepAtOnce)
	if err != nil {
		return err
	}

	for _, t := range list {
		artifacts, err := d.Store.Artifacts(ctx, t.ID)
		if err != nil {
			return err
		}

		_, err = d.advance(ctx, t.ID, step{
			from: t.State, note: "swept",
			with: func(ctx context.Context, tx *store.Tx) error { return tx.DeleteArtifacts(ctx, t.ID) },
			edit: func(t *task.Task) { t.SweptAt = d.millis() },
		})
		if err != nil && !errors.Is(err, errDecided) {
			return err
		}

		for _, a := range artifacts {
			if err := d.Blobs.Delete(ctx, a.Blob); err != nil {
				return err
			}
		}
	}

	return nil
}

func (d *Dispatch) sweepFiles(ctx context.Context) error {
	list, err := d.Store.ExpiredFiles(ctx, d.millis(), sweepAtOnce)
	if err != nil {
		return err
	}

	for _, f := range list {
		err := d.write(ctx, func(tx *store.Tx) error {
			_, err := tx.DeleteFile(ctx, f.Account, f.ID, d.millis())
			return err
		})
		if err != nil {
			return err
		}

		if err := d.Blobs.Delete(ctx, f.Blob); err != nil {
			return err
		}
	}

	return nil
}

func (d *Dispatch) sweepRows(ctx context.Context) error {
	return d.write(ctx, func(tx *store.Tx) error {
		if _, err := tx.DeleteIdempotency(ctx, d.millis(), sweepAtOnce); err != nil {
			return err
		}

		if _, err := tx.DeleteAttempts(ctx, d.Now().Add(-attemptsKept).UnixMilli(), sweepAtOnce); err != nil {
			return err
		}

		if err := tx.DeleteSpending(ctx, d.millis()); err != nil {
			return err
		}

		return tx.DeleteReplicas(ctx, d.millis(), replicasKept.Milliseconds())
	})
}

// sweepDeliveries ends deliveries whose time is over while their endpoint was left
// alone, and forgets those that ended long ago.
func (d *Dispatch) sweepDeliveries(ctx context.Context) error {
	ended := int64(0)
	if d.History > 0 {
		ended = d.Now().Add(-d.History).UnixMilli()
	}

	for n := int64(1); n > 0; {
		err := d.write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.SweepDeliveries(ctx, d.millis(), ended, sweepAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// sweepHistory thins what is kept of tasks that ended long ago.
func (d *Dispatch) sweepHistory(ctx context.Context) error {
	if d.History == 0 {
		return nil
	}

	for n := sweepAtOnce; n == sweepAtOnce; {
		err := d.Store.WriteBackground(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Thin(ctx, d.Now().Add(-d.History).UnixMilli(), sweepAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// sweepStray deletes blobs that are a day old and that nothing names.
func (d *Dispatch) sweepStray(ctx context.Context) error {
	var failed error

	err := d.Blobs.List(ctx, func(info blob.Info) bool {
		if d.Now().Sub(info.ModTime) < strayAge {
			return true
		}

		owner, _, _ := strings.Cut(info.Key, "/")

		named, err := d.Store.BlobNamed(ctx, info.Key, owner)
		if err == nil && !named {
			err = d.Blobs.Delete(ctx, info.Key)
		}

		failed = errors.Join(failed, err)

		return failed == nil
	})

	return errors.Join(err, failed)
}
