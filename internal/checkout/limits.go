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

// KeyLimits limits how much a key may spend and how many requests it may make. nil leaves
// a limit unchanged (a new key has none); a pointer to the zero value removes it.
type KeyLimits struct {
	BudgetDay, BudgetMonth *money.Amount
	Creates, Reads         *account.Rate
}

func (l KeyLimits) apply(k *account.Key) {
	setIf(&k.Budget.Day, l.BudgetDay)
	setIf(&k.Budget.Month, l.BudgetMonth)
	setIf(&k.CreateRate, l.Creates)
	setIf(&k.ReadRate, l.Reads)
}

// KeyUpdate has the new values of a key; nil leaves a value unchanged.
type KeyUpdate struct {
	Name      *string
	Models    *[]string // empty: all
	ExpiresAt *int64    // unix milliseconds; 0: never
	KeyLimits
}

func setIf[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// UpdateKey changes a key. New budgets apply at once, and what the key already spent in the
// current day and month counts.
func (c *Checkout) UpdateKey(ctx context.Context, id string, update KeyUpdate) (account.Key, error) {
	var req CreateKeyRequest
	setIf(&req.Name, update.Name)
	setIf(&req.Models, update.Models)
	setIf(&req.ExpiresAt, update.ExpiresAt)

	if f := c.validateKey(req); f != nil {
		return account.Key{}, f
	}

	var k account.Key

	line := c.newAuditLine("key.change", id, nil)

	err := c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var before map[string]any

		k, err = tx.UpdateKey(ctx, id, func(k *account.Key) {
			before = keyDetail(*k)
			setIf(&k.Name, update.Name)
			setIf(&k.Models, update.Models)
			setIf(&k.ExpiresAt, update.ExpiresAt)
			update.apply(k)
		})
		if line.Detail = keyDetail(k); err != nil || reflect.DeepEqual(before, line.Detail) {
			return err
		}

		return tx.InsertAuditEntry(ctx, line)
	})
	if errors.Is(err, store.ErrNotFound) {
		return k, keyNotFound()
	}

	return k, toFault(err)
}

// UpdateAccount changes an account's weight in the fair order and its limit of tasks that
// run at once in one queue; nil leaves a value unchanged. The change applies at once, to
// waiting tasks too.
func (c *Checkout) UpdateAccount(ctx context.Context, idOrName string, weight, limit *int64) (account.Account, error) {
	requested := account.Account{Weight: 1}
	setIf(&requested.Weight, weight)
	setIf(&requested.Cap, limit)

	if f := fault.Join(validateShare(requested.Weight, requested.Cap)); f != nil {
		return requested, f
	}

	a, err := c.account(ctx, idOrName)
	if err != nil {
		return a, err
	}

	line := c.newAuditLine("account.change", a.ID, nil)
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var before account.Account

		a, err = tx.UpdateAccount(ctx, a.ID, func(a *account.Account) {
			before = *a
			setIf(&a.Weight, weight)
			setIf(&a.Cap, limit)
		})
		if err != nil || a == before {
			return err
		}

		line.Detail = map[string]any{"name": a.Name, "weight": a.Weight, "cap": a.Cap}

		return tx.InsertAuditEntry(ctx, line)
	})

	return a, toFault(err)
}

// keyDetail returns the detail of a key for the audit log.
func keyDetail(k account.Key) map[string]any {
	d := map[string]any{
		"account":    k.Account,
		"name":       k.Name,
		"scopes":     k.Scopes,
		"models":     append([]string{}, k.Models...), // a list in JSON, never null
		"expires_at": k.ExpiresAt / 1000,              // unix seconds
	}

	for name, amount := range map[string]money.Amount{"budget_day": k.Budget.Day, "budget_month": k.Budget.Month} {
		if amount > 0 {
			d[name] = amount.String()
		}
	}

	for name, rate := range map[string]account.Rate{"rate_create": k.CreateRate, "rate_read": k.ReadRate} {
		if rate != (account.Rate{}) {
			d[name] = rate.String()
		}
	}

	return d
}

func validateShare(weight, limit int64) (faults []fault.Fault) {
	if weight < 1 || weight > maxWeight {
		faults = append(faults, *invalid("weight", "The weight is a whole number from 1 to %d; 1 is normal.", maxWeight))
	}

	if limit < 0 || limit > maxCap {
		faults = append(faults, *invalid("cap", "The cap is a whole number from 0 (none) to %d.", maxCap))
	}

	return faults
}

func keyNotFound() *fault.Fault {
	return fault.New(fault.CodeKeyNotFound, "id", "There is no key with this id.")
}
