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

// maybe is a field of a change: left out, or given, as a value or as null.
type maybe[T any] struct {
	given bool
	value *T
}

// UnmarshalJSON is called for what is given only.
func (m *maybe[T]) UnmarshalJSON(text []byte) error {
	m.given = true
	return json.Unmarshal(text, &m.value)
}

// or is nil for what was left out, and a pointer to none for null.
func (m maybe[T]) or(none T) *T {
	if m.given && m.value == nil {
		return &none
	}

	return m.value
}

// readAs is or for what is written as text.
func readAs[T any](m maybe[string], parse func(string) (T, error)) (*T, error) {
	if m.value == nil {
		return maybe[T]{given: m.given}.or(*new(T)), nil
	}

	v, err := parse(*m.value)

	return &v, err
}

// keyLimitsAsked is what an operator sets of a key's limits; null is no bound.
type keyLimitsAsked struct{ budgetDay, budgetMonth, rateCreate, rateRead maybe[string] }

func (k keyLimitsAsked) read() (l checkout.KeyLimits, err error) {
	var faults []fault.Fault

	check := func(param, detail string, err error) {
		if err != nil {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, param, detail))
		}
	}

	const aBudget = `A budget is a decimal above zero in a string, like "10.00", with at most six places; null is none.`

	l.BudgetDay, err = readAs(k.budgetDay, parseBudget)
	check("budget_day", aBudget, err)
	l.BudgetMonth, err = readAs(k.budgetMonth, parseBudget)
	check("budget_month", aBudget, err)

	aRate := fmt.Sprintf(`A rate is a count and a time, like "10/s", "600/m" or "100/h", from 1 to %d; null is none.`, account.MaxRate)
	l.Creates, err = readAs(k.rateCreate, parseRate)
	check("rate_create", aRate, err)
	l.Reads, err = readAs(k.rateRead, parseRate)
	check("rate_read", aRate, err)

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

// keyLimitsBody is a key's limits as the operator sees them; null is no bound.
type keyLimitsBody struct {
	BudgetDay   *string                          `json:"budget_day"`
	BudgetMonth *string                          `json:"budget_month"`
	RateCreate  *string                          `json:"rate_create"`
	RateRead    *string                          `json:"rate_read"`
	Spending    map[account.Period]*spendingBody `json:"spending,omitempty"` // of each budget
}

// spendingBody is what a key spent of a budget.
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
		RateCreate: orNull(k.Creates.String()), RateRead: orNull(k.Reads.String()),
	}
}

// keyBody is a key with what it spent of its budgets by now.
func (a *API) keyBody(c *call, k account.Key) (keyBody, error) {
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
		if most := k.Budget.Of(p); most > 0 {
			body.Spending[p] = &spendingBody{
				Spent: sum.Spent.String(), Held: sum.Held.String(), Left: max(0, sum.Left(most)).String(), Currency: a.Catalog.Currency(), RenewsAt: p.End(now) / 1000,
			}
		}
	}

	return body, nil
}

// changeKey is PATCH /admin/v1/keys/{id}: what is left out stays. Its rates and its
// models hold at once here, and within seconds on the other instances.
func (a *API) changeKey(c *call) error {
	var asked struct {
		Name      maybe[string]   `json:"name"`
		Models    maybe[[]string] `json:"models"`
		ExpiresAt maybe[int64]    `json:"expires_at"`

		BudgetDay   maybe[string] `json:"budget_day"`
		BudgetMonth maybe[string] `json:"budget_month"`
		RateCreate  maybe[string] `json:"rate_create"`
		RateRead    maybe[string] `json:"rate_read"`
	}
	if err := c.decode(&asked); err != nil {
		return err
	}

	limits, err := keyLimitsAsked{asked.BudgetDay, asked.BudgetMonth, asked.RateCreate, asked.RateRead}.read()
	if err != nil {
		return err
	}

	change := checkout.KeyChange{Name: asked.Name.or(""), Models: asked.Models.or(nil), ExpiresAt: asked.ExpiresAt.or(0), KeyLimits: limits}
	if at := change.ExpiresAt; at != nil {
		if f := checkTime(*at); f != nil {
			return f
		}

		*at *= 1000
	}

	k, err := a.Checkout.ChangeKey(c.ctx(), c.r.PathValue("id"), change)
	if err != nil {
		return err
	}

	a.keys.forget()

	body, err := a.keyBody(c, k)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, body)
}

// changeAccount is PATCH /admin/v1/accounts/{id}: what is left out stays.
func (a *API) changeAccount(c *call) error {
	var asked struct {
		Weight maybe[int64] `json:"weight"`
		Cap    maybe[int64] `json:"cap"`
	}
	if err := c.decode(&asked); err != nil {
		return err
	}

	acct, err := a.Checkout.ChangeAccount(c.ctx(), c.r.PathValue("id"), asked.Weight.or(1), asked.Cap.or(0))
	if err != nil {
		return err
	}

	body, err := a.accountBody(c, acct)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, body)
}
