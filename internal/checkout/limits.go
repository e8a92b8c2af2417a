package checkout

import (
	"context"
	"errors"
	"reflect"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
)

// KeyLimits is how much a key may spend and how often it may ask. nil leaves what it
// has, at first no bound; a pointer to nothing takes a bound away.
type KeyLimits struct {
	BudgetDay, BudgetMonth *money.Amount
	Creates, Reads         *account.Rate
}

func (l KeyLimits) give(k *account.Key) {
	set(&k.Budget.Day, l.BudgetDay)
	set(&k.Budget.Month, l.BudgetMonth)
	set(&k.Creates, l.Creates)
	set(&k.Reads, l.Reads)
}

// KeyChange is what shall be different of a key; nil leaves it.
type KeyChange struct {
	Name      *string
	Models    *[]string // none: all
	ExpiresAt *int64    // unix milliseconds; 0 is never
	KeyLimits
}

func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

// ChangeKey changes a key. Its budgets hold from now on, for what it spent before of
// the day and the month too.
func (c *Checkout) ChangeKey(ctx context.Context, id string, change KeyChange) (account.Key, error) {
	var o KeyOrder
	set(&o.Name, change.Name)
	set(&o.Models, change.Models)
	set(&o.ExpiresAt, change.ExpiresAt)

	if f := c.checkKey(o); f != nil {
		return account.Key{}, f
	}

	var k account.Key

	line := c.audited("key.change", id, nil)

	err := c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var was map[string]any

		k, err = tx.ChangeKey(ctx, id, func(k *account.Key) {
			was = keyDetail(*k)
			set(&k.Name, change.Name)
			set(&k.Models, change.Models)
			set(&k.ExpiresAt, change.ExpiresAt)
			change.give(k)
		})
		if line.Detail = keyDetail(k); err != nil || reflect.DeepEqual(was, line.Detail) {
			return err
		}

		return tx.NoteAudit(ctx, line)
	})
	if errors.Is(err, store.ErrNotFound) {
		return k, noKey()
	}

	return k, explain(err)
}

// ChangeAccount gives an account another share in the fair order and another bound of
// tasks that run at once in one lane; nil leaves it. What waits follows at once.
func (c *Checkout) ChangeAccount(ctx context.Context, idOrName string, weight, limit *int64) (account.Account, error) {
	asked := account.Account{Weight: 1}
	set(&asked.Weight, weight)
	set(&asked.Cap, limit)

	if f := fault.Join(checkShare(asked.Weight, asked.Cap)); f != nil {
		return asked, f
	}

	a, err := c.account(ctx, idOrName)
	if err != nil {
		return a, err
	}

	line := c.audited("account.change", a.ID, nil)
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var was account.Account

		a, err = tx.ChangeAccount(ctx, a.ID, func(a *account.Account) {
			was = *a
			set(&a.Weight, weight)
			set(&a.Cap, limit)
		})
		if err != nil || a == was {
			return err
		}

		line.Detail = map[string]any{"name": a.Name, "weight": a.Weight, "cap": a.Cap}

		return tx.NoteAudit(ctx, line)
	})

	return a, explain(err)
}

// keyDetail is what the audit log tells of a key.
func keyDetail(k account.Key) map[string]any {
	d := map[string]any{"account": k.Account, "name": k.Name, "scopes": k.Scopes, "models": append([]string{}, k.Models...), "expires_at": k.ExpiresAt / 1000}
	for name, amount := range map[string]money.Amount{"budget_day": k.Budget.Day, "budget_month": k.Budget.Month} {
		if amount > 0 {
			d[name] = amount.String()
		}
	}

	for name, rate := range map[string]account.Rate{"rate_create": k.Creates, "rate_read": k.Reads} {
		if rate != (account.Rate{}) {
			d[name] = rate.String()
		}
	}

	return d
}

func checkShare(weight, limit int64) (faults []fault.Fault) {
	if weight < 1 || weight > maxWeight {
		faults = append(faults, *wrong("weight", "The weight is a whole number from 1 to %d; 1 is normal.", maxWeight))
	}

	if limit < 0 || limit > maxCap {
		faults = append(faults, *wrong("cap", "The cap is a whole number from 0 (none) to %d.", maxCap))
	}

	return faults
}

func noKey() *fault.Fault {
	return fault.New(fault.CodeNoAPIKey, "id", "There is no key with this id.")
}
