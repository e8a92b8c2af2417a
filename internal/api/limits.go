package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

// optional is a field of a change request: left out, a value, or null.
type optional[T any] struct {
	set   bool
	value *T
}

// UnmarshalJSON is called only for a field that is present.
func (m *optional[T]) UnmarshalJSON(text []byte) error {
	m.set = true
	return json.Unmarshal(text, &m.value)
}

// pointer returns nil for a field that was left out, and a pointer to zero for null.
func (m optional[T]) pointer(zero T) *T {
	if m.set && m.value == nil {
		return &zero
	}

	return m.value
}

// parseOptional is like pointer for a field that is written as a string.
func parseOptional[T any](m optional[string], parse func(string) (T, error)) (*T, error) {
	if m.value == nil {
		return optional[T]{set: m.set}.pointer(*new(T)), nil
	}

	v, err := parse(*m.value)

	return &v, err
}

// keyLimitsRequest is what an operator sets of a key's limits; null means no limit.
type keyLimitsRequest struct{ budgetDay, budgetMonth, rateCreate, rateRead optional[string] }

func (k keyLimitsRequest) parse() (l checkout.KeyLimits, err error) {
	var faults []fault.Fault

	check := func(param, detail string, err error) {
		if err != nil {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, param, detail))
		}
	}

	const budgetFormat = `A budget is a decimal above zero in a string, like "10.00", with at most six digits after the point; null means no budget.`

	l.BudgetDay, err = parseOptional(k.budgetDay, parseBudget)
	check("budget_day", budgetFormat, err)
	l.BudgetMonth, err = parseOptional(k.budgetMonth, parseBudget)
	check("budget_month", budgetFormat, err)

	rateFormat := fmt.Sprintf(`A rate is a count and a time, like "10/s", "600/m" or "100/h", from 1 to %d; null means no rate of its own.`, account.MaxRate)
	l.Creates, err = parseOptional(k.rateCreate, parseRate)
	check("rate_create", rateFormat, err)
	l.Reads, err = parseOptional(k.rateRead, parseRate)
	check("rate_read", rateFormat, err)

	if f := fault.Join(faults); f != nil {
		return l, f
	}

	return l, nil
}

func parseBudget(text string) (money.Amount, error) {
	sum, err := money.Parse(text)
	if err == nil && sum <= 0 {
		err = errors.New("not above zero")
	}

	return sum, err
}

func parseRate(text string) (account.Rate, error) {
	rate, err := account.ParseRate(text)
	if err == nil && rate == (account.Rate{}) {
		err = errors.New("no rate")
	}

	return rate, err
}

// keyLimitsBody is a key's limits as the operator sees them; null means no limit.
type keyLimitsBody struct {
	BudgetDay   *string                          `json:"budget_day"`
	BudgetMonth *string                          `json:"budget_month"`
	RateCreate  *string                          `json:"rate_create"`
	RateRead    *string                          `json:"rate_read"`
	Spending    map[account.Period]*spendingBody `json:"spending,omitempty"` // of each budget
}

// spendingBody is what a key has spent of a budget.
type spendingBody struct {
	Spent    string `json:"spent"`
	Held     string `json:"held"`
	Left     string `json:"left"`
	Currency string `json:"currency"`
	RenewsAt int64  `json:"renews_at"` // unix seconds
}

func keyLimitsBodyOf(k account.Key) keyLimitsBody {
	bound := func(b money.Amount) string {
		if b == 0 {
			return ""
		}

		return b.String()
	}

	return keyLimitsBody{
		BudgetDay: orNull(bound(k.Budget.Day)), BudgetMonth: orNull(bound(k.Budget.Month)),
		RateCreate: orNull(k.CreateRate.String()), RateRead: orNull(k.ReadRate.String()),
	}
}

// keyBody is a key with what it has spent of its budgets so far.
func (a *API) keyBody(c *requestContext, k account.Key) (keyBody, error) {
	body := keyBodyOf(k)
	if k.Budget == (account.Budget{}) {
		return body, nil
	}

	now := a.Now().UnixMilli()

	sums, err := a.Store.Spending(c.ctx(), k, now)
	if err != nil {
		return body, fmt.Errorf("read spending of %s: %w", k.ID, err)
	}

	body.Spending = map[account.Period]*spendingBody{}

	for p, sum := range sums {
		if budget := k.Budget.For(p); budget > 0 {
			body.Spending[p] = &spendingBody{
				Spent:    sum.Spent.String(),
				Held:     sum.Held.String(),
				Left:     max(0, sum.Remaining(budget)).String(),
				Currency: a.Catalog.Currency(),
				RenewsAt: p.End(now) / 1000,
			}
		}
	}

	return body, nil
}

// updateKey is PATCH /admin/v1/keys/{id}. Fields that are left out stay unchanged. New
// rates and models apply at once on this instance, and within seconds on the others.
func (a *API) updateKey(c *requestContext) error {
	var req struct {
		Name      optional[string]   `json:"name"`
		Models    optional[[]string] `json:"models"`
		ExpiresAt optional[int64]    `json:"expires_at"`

		BudgetDay   optional[string] `json:"budget_day"`
		BudgetMonth optional[string] `json:"budget_month"`
		RateCreate  optional[string] `json:"rate_create"`
		RateRead    optional[string] `json:"rate_read"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}

	limits, err := keyLimitsRequest{req.BudgetDay, req.BudgetMonth, req.RateCreate, req.RateRead}.parse()
	if err != nil {
		return err
	}

	change := checkout.KeyUpdate{Name: req.Name.pointer(""), Models: req.Models.pointer(nil), ExpiresAt: req.ExpiresAt.pointer(0), KeyLimits: limits}
	if at := change.ExpiresAt; at != nil {
		if f := checkTime(*at); f != nil {
			return f
		}

		*at *= 1000
	}

	k, err := a.Checkout.UpdateKey(c.ctx(), c.req.PathValue("id"), change)
	if err != nil {
		return err
	}

	a.keys.invalidate()

	body, err := a.keyBody(c, k)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, body)
}

// updateAccount is PATCH /admin/v1/accounts/{id}. Fields that are left out stay unchanged.
func (a *API) updateAccount(c *requestContext) error {
	var req struct {
		Weight optional[int64] `json:"weight"`
		Cap    optional[int64] `json:"cap"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}

	acct, err := a.Checkout.UpdateAccount(c.ctx(), c.req.PathValue("id"), req.Weight.pointer(1), req.Cap.pointer(0))
	if err != nil {
		return err
	}

	body, err := a.accountBody(c, acct)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, body)
}
