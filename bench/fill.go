package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Where tasks without references wait for the simulated supplier.
const (
	upstream = "dashscope"
	model    = "wan2.6-t2v"
	lane     = upstream + "/" + model
)

// What fill makes.
const (
	queued    = task.Queued
	completed = task.Completed
)

// open opens a stopped server's database.
func (s *server) open(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, store.Options{Path: filepath.Join(s.data, "unireel.db"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// fill writes n tasks of the first account into a stopped server's database, by
// the store's own methods, and returns their ids. mark keeps ids apart.
func (b *bench) fill(ctx context.Context, s *server, mark string, n int, state task.State) ([]string, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	accounts, err := db.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%s%022d", mark, i)
	}
	for chunk := range slices.Chunk(ids, 500) {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for _, id := range chunk {
				if err := insert(ctx, tx, id, accounts[0].ID, state); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func insert(ctx context.Context, tx *store.Tx, id, account string, state task.State) error {
	now := time.Now().UnixMilli()
	t := task.Task{
		ID: id, Account: account, Version: 1, State: state, Object: "video.generation.job", Model: "wan2.6-video-720p", Resolved: "wan2.6-video-720p",
		Prompt: sea, Size: "1280*720", Seconds: 5, Billing: "output", Lane: lane, CreatedAt: now, QueuedAt: now,
	}
	if state.Final() {
		t.Progress, t.CompletedAt, t.SweptAt = 100, now, now
	}
	const order = `{"model":"wan2.6-video-720p","resolved_model":"wan2.6-video-720p","mode":"t2v","prompt":"` + sea + `","size":"1280*720","size_asked":"1280*720","width":1280,"height":720,"seconds":5,"sound":true,"shot_type":"single","seed":-1}`
	return tx.InsertTask(ctx, t, []byte(order))
}

// claim takes n tasks out of a stopped server's lane, 32 claims at once as gates
// would, and says how fast that was; then each becomes a running task with a
// ticket.
func (b *bench) claim(ctx context.Context, s *server, n int) (rate float64, err error) {
	db, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	lease := store.Claim{Lane: lane, Upstream: upstream, SupplierAccount: upstream, Model: model, Owner: "bench", At: time.Now().UnixMilli()}
	err = db.Write(ctx, func(tx *store.Tx) (err error) {
		lease.Fence, err = tx.TakeLease(ctx, upstream, lease.Owner, lease.At, lease.At+time.Hour.Milliseconds())
		return err
	})
	if err != nil {
		return 0, err
	}
	claimed := make([]task.Task, n)
	var next atomic.Int64
	r := s.gather(32, func(_ *caller, keep func(time.Duration, error)) {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			err := db.Write(ctx, func(tx *store.Tx) (err error) {
				claimed[i], err = tx.Claim(ctx, lease)
				return err
			})
			keep(0, err)
			if err != nil {
				return
			}
		}
	})
	if err := check(r); err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(claimed, 500) {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for _, t := range chunk {
				if err := ticket(ctx, tx, t); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return r.rate(), nil
}

// ticket makes a claimed task a running one.
func ticket(ctx context.Context, tx *store.Tx, t task.Task) error {
	now := time.Now().UnixMilli()
	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}
	a.Ticket, a.Outcome = "bench-"+t.ID, "taken"
	if err := tx.SaveAttempt(ctx, a); err != nil {
		return err
	}
	_, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: "taken", Edit: func(t *task.Task) {
		t.State, t.Ticket, t.StartedAt = task.Running, a.Ticket, now
	}})
	return err
}
