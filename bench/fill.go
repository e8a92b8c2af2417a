package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// upstream is the name of the simulated supplier. queues are the queues of its tasks,
// one for each of its models; tasks without references are in the first.
const upstream = "dashscope"

var queues = []string{upstream + "/wan2.6-t2v", upstream + "/wan2.6-i2v", upstream + "/wan2.6-r2v", upstream + "/wan2.6-r2v-flash"}

// The states of the tasks that fill makes.
const (
	queued    = task.Queued
	completed = task.Completed
)

// openStore opens a stopped server's database.
func (s *server) openStore(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, store.Options{Path: filepath.Join(s.data, "unireel.db"), Database: s.dsn, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// customer is an account that has credit and a key.
type customer struct{ account, key string }

// addCustomers adds n customers to a stopped server's database.
func (b *bench) addCustomers(ctx context.Context, s *server, n int) ([]customer, error) {
	db, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()

	all := make([]customer, n)
	for i := range all {
		all[i] = customer{account: fmt.Sprintf("acct_BENCH%021d", i), key: fmt.Sprintf("sk-bench-customer-%06d", i)}
	}

	for chunk := range slices.Chunk(all, 200) {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for _, c := range chunk {
				if err := c.insert(ctx, tx); err != nil {
					return err
				}
			}

			return nil
		})
		if err != nil {
			return nil, err
		}
	}

	return all, nil
}

// insert adds the customer's account, key and credit.
func (c customer) insert(ctx context.Context, tx *store.Tx) error {
	now := time.Now().UnixMilli()

	if _, err := tx.InsertAccount(ctx, account.Account{ID: c.account, Name: strings.TrimPrefix(c.key, "sk-bench-"), Weight: 1, CreatedAt: now}); err != nil {
		return err
	}

	key := account.Key{
		ID:        "key_" + c.account,
		Account:   c.account,
		Hash:      account.Hash(c.key),
		Hint:      account.Hint(c.key),
		Scopes:    account.CustomerScopes(),
		CreatedAt: now,
	}
	if _, err := tx.InsertKey(ctx, key); err != nil {
		return err
	}

	grant := credit.Entry{
		ID:      "entry_" + c.account,
		Account: c.account,
		Kind:    credit.KindGrant,
		Amount:  1_000_000 * money.Unit,
		Ref:     "opening",
		At:      now,
	}

	balance, err := credit.Grant(credit.Balance{}, grant.Amount)
	if err != nil {
		return err
	}

	return tx.SaveBalance(ctx, c.account, balance, grant)
}

// fillSpec says which tasks fill makes: count tasks in a state, in rotation for these
// customers (none: for the first account) and in these queues. The idPrefix keeps the
// ids of several fills apart; an id has 26 characters with it.
type fillSpec struct {
	idPrefix  string
	count     int
	state     task.State
	customers []customer
	queues    []string
}

// fill writes tasks to a stopped server's database as creates do, and returns their
// ids.
func (b *bench) fill(ctx context.Context, s *server, spec fillSpec) ([]string, error) {
	db, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()

	if len(spec.customers) == 0 {
		accounts, err := db.Accounts(ctx)
		if err != nil {
			return nil, err
		}

		spec.customers = []customer{{account: accounts[0].ID}}
	}

	ids := make([]string, spec.count)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%s%022d", spec.idPrefix, i)
	}

	r := s.runParallel(ctx, 256, spec.count, func(i int) error {
		accountID := spec.customers[i%len(spec.customers)].account
		queue := spec.queues[i/len(spec.customers)%len(spec.queues)]

		_, err := db.Create(ctx, newCreation(ids[i], accountID, queue, spec.state))

		return err
	})

	return ids, checkFailures(r)
}

// runParallel calls do for 0 to n-1 in several workers.
func (s *server) runParallel(ctx context.Context, workers, n int, do func(i int) error) result {
	var next atomic.Int64

	return s.runClients(workers, func(_ *apiClient, record func(time.Duration, error)) {
		for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
			start := time.Now()
			err := do(i)
			record(time.Since(start), err)

			if err != nil {
				return
			}
		}
	})
}

// newCreation returns a task as a create writes it.
func newCreation(id, account, queue string, state task.State) *store.Creation {
	now := time.Now().UnixMilli()

	t := task.Task{
		ID:            id,
		Account:       account,
		Version:       1,
		State:         state,
		Object:        "video.generation.job",
		Model:         "wan2.6-video-720p",
		ResolvedModel: "wan2.6-video-720p",
		Prompt:        samplePrompt,
		Size:          "1280*720",
		Seconds:       5,
		Billing:       "output",
		Queue:         queue,
		CreatedAt:     now,
		QueuedAt:      now,
	}

	if state.Final() {
		t.Progress = 100
		t.CompletedAt = now
		t.SweptAt = now
	}

	const requestJSON = `{"model":"wan2.6-video-720p","resolved_model":"wan2.6-video-720p","mode":"t2v","prompt":"` + samplePrompt + `","size":"1280*720","size_asked":"1280*720","width":1280,"height":720,"seconds":5,"sound":true,"shot_type":"single","seed":-1}`

	return &store.Creation{Task: t, Request: []byte(requestJSON)}
}

// claimTasks claims n tasks from a stopped server's queues, 32 at a time as submitters
// would, and returns the claims per second. Then it makes each a running task with a
// remote ID.
func (b *bench) claimTasks(ctx context.Context, s *server, n int) (rate float64, err error) {
	db, err := s.openStore(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()

	lease := store.Claim{Upstream: upstream, SupplierAccount: upstream, Owner: "bench", At: time.Now().UnixMilli()}

	err = db.Write(ctx, func(tx *store.Tx) (err error) {
		lease.Fence, err = tx.AcquireLease(ctx, upstream, lease.Owner, lease.At, lease.At+time.Hour.Milliseconds())
		return err
	})
	if err != nil {
		return 0, err
	}

	claimed := make([]task.Task, n)

	r := s.runParallel(ctx, 32, n, func(i int) (err error) {
		c := lease
		c.Queue = queues[i%len(queues)]
		c.Model = c.Queue[len(upstream)+1:]
		claimed[i], err = claimOne(ctx, db, c)

		return err
	})
	if err := checkFailures(r); err != nil {
		return 0, err
	}

	batches := slices.Collect(slices.Chunk(claimed, 250))
	if err := checkFailures(s.runParallel(ctx, 8, len(batches), func(i int) error { return markAllRunning(ctx, db, batches[i]) })); err != nil {
		return 0, err
	}

	return r.rate(), db.Write(ctx, func(tx *store.Tx) error { return tx.ReleaseLease(ctx, upstream, lease.Owner, lease.Fence) })
}

// claimOne claims one task. As a submitter does, it tries again while concurrent
// claims hold all tasks that are ready.
func claimOne(ctx context.Context, db *store.Store, c store.Claim) (t task.Task, err error) {
	for {
		err = db.Write(ctx, func(tx *store.Tx) (err error) {
			t, err = tx.Claim(ctx, c)
			return err
		})
		if !errors.Is(err, store.ErrBusy) || !sleep(ctx, rand.N(4*time.Millisecond)) {
			return t, err
		}
	}
}

// markAllRunning makes claimed tasks running, in one transaction.
func markAllRunning(ctx context.Context, db *store.Store, claimed []task.Task) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		for _, t := range claimed {
			if err := markRunning(ctx, tx, t); err != nil {
				return err
			}
		}

		return nil
	})
}

// markRunning makes a claimed task running, as an accepted submission does.
func markRunning(ctx context.Context, tx *store.Tx, t task.Task) error {
	now := time.Now().UnixMilli()

	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}

	a.RemoteID = "bench-" + t.ID
	a.Outcome = "accepted"

	if err := tx.SaveAttempt(ctx, a); err != nil {
		return err
	}

	_, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: "accepted", Edit: func(t *task.Task) {
		t.State = task.Running
		t.RemoteID = a.RemoteID
		t.StartedAt = now
	}})

	return err
}
