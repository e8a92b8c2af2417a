// Package cleanup deletes what is past its retention: videos, files, idempotency keys,
// attempts, deliveries, history, and blobs that no row names. It also fails tasks that were
// not submitted in time. One replica runs it for all, under the lease of the background
// work.
package cleanup

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	interval                 = 15 * time.Second
	unreferencedScanInterval = time.Hour
	unreferencedAge          = 24 * time.Hour // the age at which a blob that no row names is deleted
	attemptRetention         = 48 * time.Hour
	replicaRetention         = time.Hour // after a replica died
	batch                    = 200       // rows of one kind in one transaction
)

// Sweep is one kind of clearing up.
type Sweep struct {
	Name string // for the log
	Run  func(context.Context) error
}

// Options are what a Sweeper needs.
type Options struct {
	Tasks     *record.Tasks
	Blobs     blob.Store
	Clock     clock.Clock
	Log       *slog.Logger
	History   time.Duration // of events, attempts and requests, after the end of a task; 0: for ever
	FailPoint func(name string)
	Further   []Sweep // sweeps of other packages, done with the others
}

// Sweeper clears up.
type Sweeper struct {
	Options
	store  *store.Store
	sweeps []Sweep
}

// New returns a sweeper; Run runs it.
func New(o Options) *Sweeper {
	s := &Sweeper{Options: o, store: o.Tasks.Store}
	s.sweeps = append([]Sweep{
		{"late tasks", s.failExpired},
		{"videos", s.sweepVideos},
		{"files", s.sweepFiles},
		{"rows", s.sweepRows},
		{"deliveries", s.sweepDeliveries},
		{"history", s.sweepHistory},
	}, o.Further...)

	return s
}

// Run clears up every 15 seconds until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	actor := s.Clock.Actor("cleanup")

	lastScan := s.Clock.Now()
	for actor.Sleep(ctx, interval) {
		s.FailPoint("sweeping")

		for _, sweep := range s.sweeps {
			s.run(ctx, sweep)
		}

		if s.Clock.Now().Sub(lastScan) >= unreferencedScanInterval {
			lastScan = s.Clock.Now()
			s.run(ctx, Sweep{"unreferenced blobs", s.DeleteUnreferenced})
		}
	}
}

// run runs one sweep. One that fails keeps no other from running, and is tried again with
// the next round.
func (s *Sweeper) run(ctx context.Context, sweep Sweep) {
	if err := sweep.Run(ctx); err != nil && ctx.Err() == nil {
		s.Log.Warn("cannot sweep", "operation", sweep.Name, "error", err)
	}
}

// failExpired fails the tasks that were not submitted by their start_by time.
func (s *Sweeper) failExpired(ctx context.Context) error {
	late, err := s.store.OverdueTasks(ctx, s.Clock.Millis(), batch)
	if err != nil {
		return err
	}

	for _, t := range late {
		err := s.Tasks.Fail(ctx, t, record.StartByPassed(), record.Step{Note: "start_by is past"})
		if err != nil && !errors.Is(err, record.ErrStateChanged) {
			return err
		}
	}

	return nil
}

// sweepVideos deletes the files of tasks whose retention is over. The rows are written
// first: a blob that then remains is named by no row, and is deleted as unreferenced.
func (s *Sweeper) sweepVideos(ctx context.Context) error {
	list, err := s.store.ExpiredTasks(ctx, s.Clock.Millis(), batch)
	if err != nil {
		return err
	}

	for _, t := range list {
		artifacts, err := s.store.Artifacts(ctx, t.ID)
		if err != nil {
			return err
		}

		_, err = s.Tasks.Advance(ctx, t.ID, record.Step{
			From: t.State, Note: "swept",
			InTx: func(ctx context.Context, tx *store.Tx) error { return tx.DeleteArtifacts(ctx, t.ID) },
			Edit: func(t *task.Task) { t.SweptAt = s.Clock.Millis() },
		})
		if err != nil && !errors.Is(err, record.ErrStateChanged) {
			return err
		}

		for _, a := range artifacts {
			if err := s.Blobs.Delete(ctx, a.Blob); err != nil {
				return err
			}
		}
	}

	return nil
}

func (s *Sweeper) sweepFiles(ctx context.Context) error {
	list, err := s.store.ExpiredFiles(ctx, s.Clock.Millis(), batch)
	if err != nil {
		return err
	}

	for _, f := range list {
		err := s.Tasks.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.DeleteFile(ctx, f.Account, f.ID, s.Clock.Millis())
			return err
		})
		if err != nil {
			return err
		}

		if err := s.Blobs.Delete(ctx, f.Blob); err != nil {
			return err
		}
	}

	return nil
}

func (s *Sweeper) sweepRows(ctx context.Context) error {
	return s.Tasks.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.DeleteIdempotency(ctx, s.Clock.Millis(), batch); err != nil {
			return err
		}

		if _, err := tx.DeleteAttempts(ctx, s.Clock.Now().Add(-attemptRetention).UnixMilli(), batch); err != nil {
			return err
		}

		if err := tx.DeleteSpending(ctx, s.Clock.Millis()); err != nil {
			return err
		}

		return tx.DeleteDeadReplicas(ctx, s.Clock.Millis(), replicaRetention.Milliseconds())
	})
}

// sweepDeliveries ends the deliveries that expired while their endpoint was suspended, and
// deletes those that ended long ago.
func (s *Sweeper) sweepDeliveries(ctx context.Context) error {
	ended := int64(0)
	if s.History > 0 {
		ended = s.Clock.Now().Add(-s.History).UnixMilli()
	}

	for n := int64(1); n > 0; {
		err := s.Tasks.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.SweepDeliveries(ctx, s.Clock.Millis(), ended, batch)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// sweepHistory deletes the details of tasks that ended long ago.
func (s *Sweeper) sweepHistory(ctx context.Context) error {
	if s.History == 0 {
		return nil
	}

	for n := batch; n == batch; {
		err := s.Tasks.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.PruneTasks(ctx, s.Clock.Now().Add(-s.History).UnixMilli(), batch)
			return err
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// DeleteUnreferenced deletes the blobs that are a day old and that no row names.
func (s *Sweeper) DeleteUnreferenced(ctx context.Context) error {
	var failed error

	err := s.Blobs.List(ctx, func(info blob.Info) bool {
		if s.Clock.Now().Sub(info.ModTime) < unreferencedAge {
			return true
		}

		named, err := s.store.BlobReferenced(ctx, info.Key, blob.ParseKey(info.Key).Owner)
		if err == nil && !named {
			err = s.Blobs.Delete(ctx, info.Key)
		}

		failed = errors.Join(failed, err)

		return failed == nil
	})

	return errors.Join(err, failed)
}
