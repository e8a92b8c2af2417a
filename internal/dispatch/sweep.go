package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	sweepInterval            = 15 * time.Second
	unreferencedScanInterval = time.Hour
	unreferencedAge          = 24 * time.Hour // the age at which a blob that no row names is deleted
	attemptRetention         = 48 * time.Hour
	replicaRetention         = time.Hour // after a replica died
	sweepBatch               = 200
)

// runResync resumes, every sweepInterval, the tasks whose changes this replica missed.
func (d *Dispatch) runResync(ctx context.Context) {
	for {
		if err := d.resyncMissed(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot look for missed changes", "error", err)
		}

		if !sleep(ctx, sweepInterval) {
			return
		}
	}
}

// runBackground does the work that one replica does for all. It fails tasks that were not
// submitted in time, and deletes what is past its retention: videos, files, idempotency
// keys, attempts, history, and blobs that no row names.
func (d *Dispatch) runBackground(ctx context.Context) {
	if err := d.handleUnconfigured(ctx); err != nil && ctx.Err() == nil {
		d.Log.Warn("cannot look for tasks of upstreams that are no longer configured", "error", err)
	}

	lastScan := d.Now()
	for sleep(ctx, sweepInterval) {
		d.FailPoint("sweeping")

		sweeps := []struct {
			name string
			run  func(context.Context) error
		}{
			{"late tasks", d.failExpired},
			{"closed routes", d.rerouteClosed},
			{"videos", d.sweepVideos},
			{"files", d.sweepFiles},
			{"rows", d.sweepRows},
			{"deliveries", d.sweepDeliveries},
			{"history", d.sweepHistory},
		}

		for _, sweep := range sweeps {
			if err := sweep.run(ctx); err != nil && ctx.Err() == nil {
				d.Log.Warn("cannot sweep", "operation", sweep.name, "error", err)
			}
		}

		if d.Now().Sub(lastScan) < unreferencedScanInterval {
			continue
		}

		lastScan = d.Now()
		if err := d.sweepUnreferenced(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("cannot sweep", "operation", "unreferenced blobs", "error", err)
		}
	}
}

// handleUnconfigured handles the tasks of upstreams that are no longer configured: it
// alerts the operator, and collects what was rendered there while that is possible.
func (d *Dispatch) handleUnconfigured(ctx context.Context) error {
	for _, s := range stages {
		for after := ""; s.owned; {
			list, err := d.Store.Unfinished(ctx, s.state, after, sweepBatch)
			if err != nil {
				return err
			}

			for _, t := range list {
				after = t.ID
				switch {
				case d.upstream(t.Upstream) != nil:
				case s.state == task.Submitting:
					d.Log.Error("ALERT: the upstream of a submitted task is no longer configured; the task waits for it", "task", t.ID, "upstream", t.Upstream)
				case s.state == task.Running:
					d.Log.Error("ALERT: the upstream of a running task is no longer configured; the task waits for it", "task", t.ID, "upstream", t.Upstream)
				default:
					d.collectQueue.add(t.ID)
				}
			}

			if len(list) < sweepBatch {
				break
			}
		}
	}

	return nil
}

// resyncMissed resumes the tasks whose changes were missed: a slow listener may lose some.
func (d *Dispatch) resyncMissed(ctx context.Context) error {
	preparing, err := d.Store.UnclaimedPreparing(ctx, d.owner, d.nowMillis(), sweepBatch)
	if err != nil {
		return err
	}

	for _, id := range preparing {
		d.prepareQueue.add(id)
	}

	for _, w := range d.coordinator.workers() {
		if err := w.resync(ctx); err != nil {
			return err
		}
	}

	return nil
}

// failExpired fails the tasks that were not submitted by their start_by time.
func (d *Dispatch) failExpired(ctx context.Context) error {
	late, err := d.Store.OverdueTasks(ctx, d.nowMillis(), sweepBatch)
	if err != nil {
		return err
	}

	for _, t := range late {
		err := d.fail(ctx, t, expiredFault(), step{note: "start_by is past"})
		if err != nil && !errors.Is(err, errStateChanged) {
			return err
		}
	}

	return nil
}

// expiredFault is the fault of a task that was not submitted by its start_by time.
func expiredFault() *fault.Fault {
	return fault.New(fault.CodeExpired, "start_by", "The task could not be submitted before its start_by time. Nothing was charged.")
}

// sweepVideos deletes the files of tasks whose retention is over. The rows are written
// first: a blob that then remains is named by no row, and is deleted as unreferenced.
func (d *Dispatch) sweepVideos(ctx context.Context) error {
	list, err := d.Store.ExpiredTasks(ctx, d.nowMillis(), sweepBatch)
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
			inTx: func(ctx context.Context, tx *store.Tx) error { return tx.DeleteArtifacts(ctx, t.ID) },
			edit: func(t *task.Task) { t.SweptAt = d.nowMillis() },
		})
		if err != nil && !errors.Is(err, errStateChanged) {
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
	list, err := d.Store.ExpiredFiles(ctx, d.nowMillis(), sweepBatch)
	if err != nil {
		return err
	}

	for _, f := range list {
		err := d.write(ctx, func(tx *store.Tx) error {
			_, err := tx.DeleteFile(ctx, f.Account, f.ID, d.nowMillis())
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
		if _, err := tx.DeleteIdempotency(ctx, d.nowMillis(), sweepBatch); err != nil {
			return err
		}

		if _, err := tx.DeleteAttempts(ctx, d.Now().Add(-attemptRetention).UnixMilli(), sweepBatch); err != nil {
			return err
		}

		if err := tx.DeleteSpending(ctx, d.nowMillis()); err != nil {
			return err
		}

		return tx.DeleteDeadReplicas(ctx, d.nowMillis(), replicaRetention.Milliseconds())
	})
}

// sweepDeliveries ends the deliveries that expired while their endpoint was suspended, and
// deletes those that ended long ago.
func (d *Dispatch) sweepDeliveries(ctx context.Context) error {
	ended := int64(0)
	if d.History > 0 {
		ended = d.Now().Add(-d.History).UnixMilli()
	}

	for n := int64(1); n > 0; {
		err := d.write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.SweepDeliveries(ctx, d.nowMillis(), ended, sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// sweepHistory deletes the details of tasks that ended long ago.
func (d *Dispatch) sweepHistory(ctx context.Context) error {
	if d.History == 0 {
		return nil
	}

	for n := sweepBatch; n == sweepBatch; {
		err := d.Store.WriteBackground(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.PruneTasks(ctx, d.Now().Add(-d.History).UnixMilli(), sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// sweepUnreferenced deletes the blobs that are a day old and that no row names.
func (d *Dispatch) sweepUnreferenced(ctx context.Context) error {
	var failed error

	err := d.Blobs.List(ctx, func(info blob.Info) bool {
		if d.Now().Sub(info.ModTime) < unreferencedAge {
			return true
		}

		named, err := d.Store.BlobReferenced(ctx, info.Key, blob.ParseKey(info.Key).Owner)
		if err == nil && !named {
			err = d.Blobs.Delete(ctx, info.Key)
		}

		failed = errors.Join(failed, err)

		return failed == nil
	})

	return errors.Join(err, failed)
}
