package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/task"
)

// endedTask is one task of the fixture.
type endedTask struct {
	account, model, key string
	state               task.State
	at                  int64
	cost                money.Amount
}

func TestUsage(t *testing.T) {
	const day = dayMillis

	tasks := []endedTask{
		{"acct_a", "m1", "k1", task.Completed, 10 * day, 2},
		{"acct_a", "m1", "k1", task.Completed, 11*day - 1, 3},
		{"acct_a", "m1", "k2", task.Failed, 10*day + 5, 0},
		{"acct_a", "m2", "k1", task.Completed, 11 * day, 7},
		{"acct_a", "m2", "k1", task.Cancelled, 12 * day, 0},
		{"acct_a", "m1", "k1", task.Running, 0, 0},
		{"acct_b", "m1", "k3", task.Completed, 10 * day, 100},
	}
	inAccount := func(f UsageFilter) UsageFilter {
		f.Account = "acct_a"
		f.Limit = 100

		if f.Until == 0 {
			f.Until = 100 * day
		}

		return f
	}
	cases := map[string]struct {
		filter UsageFilter
		want   []Usage
	}{
		"all":              {inAccount(UsageFilter{}), []Usage{{Completed: 3, Failed: 1, Cancelled: 1, Seconds: 15, Billed: 15_000, Cost: 12}}},
		"nothing":          {inAccount(UsageFilter{From: 50 * day}), []Usage{{}}},
		"by day":           {inAccount(UsageFilter{ByDay: true}), []Usage{{Day: 10 * day, Completed: 2, Failed: 1, Seconds: 10, Billed: 10_000, Cost: 5}, {Day: 11 * day, Completed: 1, Seconds: 5, Billed: 5_000, Cost: 7}, {Day: 12 * day, Cancelled: 1}}},
		"by model and key": {inAccount(UsageFilter{ByModel: true, ByKey: true}), []Usage{{Model: "m1", Key: "k1", Completed: 2, Seconds: 10, Billed: 10_000, Cost: 5}, {Model: "m1", Key: "k2", Failed: 1}, {Model: "m2", Key: "k1", Completed: 1, Cancelled: 1, Seconds: 5, Billed: 5_000, Cost: 7}}},
		"within a day":     {inAccount(UsageFilter{From: 11 * day, Until: 12 * day, ByModel: true}), []Usage{{Model: "m2", Completed: 1, Seconds: 5, Billed: 5_000, Cost: 7}}},
		"of one key":       {inAccount(UsageFilter{Key: "k2"}), []Usage{{Failed: 1}}},
		"of one model":     {inAccount(UsageFilter{Model: "m2", ByKey: true}), []Usage{{Key: "k1", Completed: 1, Cancelled: 1, Seconds: 5, Billed: 5_000, Cost: 7}}},
	}

	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, a := range []string{"acct_a", "acct_b"} {
			addAccount(t, s, a, 1, 0, 1000)
		}

		for i, e := range tasks {
			c := creation(fmt.Sprintf("task_%d", i), e.account, fmt.Sprintf("i%d", i), e.state)
			c.Task.ResolvedModel = e.model
			c.Task.Key = e.key
			c.Task.CompletedAt = e.at
			c.Task.Cost = e.cost
			c.Task.Seconds = 5

			if e.state == task.Completed {
				c.Task.Billed = 5_000
			}

			if _, err := s.Create(ctx, c); err != nil {
				t.Fatal(err)
			}
		}

		for name, c := range cases {
			got, err := s.Usage(ctx, c.filter)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}
