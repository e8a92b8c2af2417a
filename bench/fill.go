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

// upstream is the simulated supplier's name; lanes are where its tasks wait, one
// for each of its models. Tasks without references wait in the first.
const upstream = "dashscope"

var lanes = []string{upstream + "/wan2.6-t2v", upstream + "/wan2.6-i2v", upstream + "/wan2.6-r2v", upstream + "/wan2.6-r2v-flash"}

// What fill makes.
const (
	queued    = task.Queued
	completed = task.Completed
)

// open opens a stopped server's database.
func (s *server) open(ctx context.Context) (*store.Store, error) {
	return store.Open(ctx, store.Options{Path: filepath.Join(s.data, "unireel.db"), Database: s.dsn, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// customer is an account with credit and a key.
type customer struct{ account, key string }

// customers adds n of them to a stopped server's database.
func (b *bench) customers(ctx context.Context, s *server, n int) ([]customer, error) {
	db, err := s.open(ctx)
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

func (c customer) insert(ctx context.Context, tx *store.Tx) error {
	now := time.Now().UnixMilli()
	if _, err := tx.InsertAccount(ctx, account.Account{ID: c.account, Name: strings.TrimPrefix(c.key, "sk-bench-"), Weight: 1, CreatedAt: now}); err != nil {
		return err
	}

	k := account.Key{ID: "key_" + c.account, Account: c.account, Hash: account.Hash(c.key), Hint: account.Hint(c.key), Scopes: account.CustomerScopes(), CreatedAt: now}
	if _, err := tx.InsertKey(ctx, k); err != nil {
		return err
	}

	grant := credit.Entry{ID: "entry_" + c.account, Account: c.account, Kind: credit.KindGrant, Amount: 1_000_000 * money.Unit, Ref: "opening", At: now}

	b, err := credit.Grant(credit.Balance{}, grant.Amount)
	if err != nil {
		return err
	}

	return tx.SaveBalance(ctx, c.account, b, grant)
}

// order is what fill makes: n tasks in a state, in turn of these accounts (none:
// the first there is) and in these lanes. mark keeps ids apart.
type order struct {
	mark  string
	n     int
	state task.State
	of    []customer
	lanes []string
}

// fill writes tasks into a stopped server's database, as creates do, and returns
// their ids.
func (b *bench) fill(ctx context.Context, s *server, o order) ([]string, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()

	if len(o.of) == 0 {
		accounts, err := db.Accounts(ctx)
		if err != nil {
			return nil, err
		}

		o.of = []customer{{account: accounts[0].ID}}
	}

	ids := make([]string, o.n)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%s%022d", o.mark, i)
	}

	r := s.work(ctx, 256, o.n, func(i int) error {
		_, err := db.Create(ctx, creation(ids[i], o.of[i%len(o.of)].account, o.lanes[i/len(o.of)%len(o.lanes)], o.state))
		return err
	})

	return ids, check(r)
}

// work does n things, some at a time.
func (s *server) work(ctx context.Context, some, n int, do func(i int) error) result {
	var next atomic.Int64

	return s.gather(some, func(_ *caller, keep func(time.Duration, error)) {
		for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
			begin := time.Now()
			err := do(i)
			keep(time.Since(begin), err)

			if err != nil {
				return
			}
		}
	})
}

func creation(id, account, lane string, state task.State) *store.Creation {
	now := time.Now().UnixMilli()

	t := task.Task{
		ID: id, Account: account, Version: 1, State: state, Object: "video.generation.job", Model: "wan2.6-video-720p", Resolved: "wan2.6-video-720p",
		Prompt: sea, Size: "1280*720", Seconds: 5, Billing: "output", Lane: lane, CreatedAt: now, QueuedAt: now,
	}
	if state.Final() {
		t.Progress = 100
		t.CompletedAt = now
		t.SweptAt = now
	}

	const order = `{"model":"wan2.6-video-720p","resolved_model":"wan2.6-video-720p","mode":"t2v","prompt":"` + sea + `","size":"1280*720","size_asked":"1280*720","width":1280,"height":720,"seconds":5,"sound":true,"shot_type":"single","seed":-1}`

	return &store.Creation{Task: t, Request: []byte(order)}
}

// claim takes n tasks out of a stopped server's lanes, 32 claims at once as gates
// would, and says how fast that was; then each becomes a running task with a
// ticket.
func (b *bench) claim(ctx context.Context, s *server, n int) (rate float64, err error) {
	db, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()

	lease := store.Claim{Upstream: upstream, SupplierAccount: upstream, Owner: "bench", At: time.Now().UnixMilli()}

	err = db.Write(ctx, func(tx *store.Tx) (err error) {
		lease.Fence, err = tx.TakeLease(ctx, upstream, lease.Owner, lease.At, lease.At+time.Hour.Milliseconds())
		return err
	})
	if err != nil {
		return 0, err
	}

	claimed := make([]task.Task, n)

	r := s.work(ctx, 32, n, func(i int) (err error) {
		c := lease
		c.Lane = lanes[i%len(lanes)]
		c.Model = c.Lane[len(upstream)+1:]
		claimed[i], err = claimOne(ctx, db, c)

		return err
	})
	if err := check(r); err != nil {
		return 0, err
	}

	parts := slices.Collect(slices.Chunk(claimed, 250))
	if err := check(s.work(ctx, 8, len(parts), func(i int) error { return tickets(ctx, db, parts[i]) })); err != nil {
		return 0, err
	}

	return r.rate(), db.Write(ctx, func(tx *store.Tx) error { return tx.DropLease(ctx, upstream, lease.Owner, lease.Fence) })
}

// claimOne tries again, as a gate does, while others hold all that is ready.
func claimOne(ctx context.Context, db *store.Store, c store.Claim) (t task.Task, err error) {
	for {
		err = db.Write(ctx, func(tx *store.Tx) (err error) {
			t, err = tx.Claim(ctx, c)
			return err
		})
		if !errors.Is(err, store.ErrBusy) || !pause(ctx, rand.N(4*time.Millisecond)) {
			return t, err
		}
	}
}

// tickets makes claimed tasks running ones.
func tickets(ctx context.Context, db *store.Store, claimed []task.Task) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		for _, t := range claimed {
			if err := ticket(ctx, tx, t); err != nil {
				return err
			}
		}

		return nil
	})
}

// ticket makes a claimed task a running one.
func ticket(ctx context.Context, tx *store.Tx, t task.Task) error {
	now := time.Now().UnixMilli()

	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}

	a.Ticket = "bench-" + t.ID

	a.Outcome = "taken"
	if err := tx.SaveAttempt(ctx, a); err != nil {
		return err
	}

	_, err = task.Advance(ctx, tx, t, task.Step{At: now, Note: "taken", Edit: func(t *task.Task) {
		t.State = task.Running
		t.Ticket = a.Ticket
		t.StartedAt = now
	}})

	return err
}
