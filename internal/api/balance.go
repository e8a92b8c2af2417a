package api

import (
	"fmt"
	"net/http"

	"github.com/unireel/unireel/internal/credit"
)

// balance is an account's balance: decimal strings in Currency.
type balance struct {
	Object   string `json:"object"`
	Granted  string `json:"granted"`
	Spent    string `json:"spent"`
	Held     string `json:"held"`
	Free     string `json:"free"`
	Currency string `json:"currency"`
}

func (a *API) balance(b credit.Balance) balance {
	return balance{
		Object:   "balance",
		Granted:  b.Granted.String(),
		Spent:    b.Spent.String(),
		Held:     b.Held.String(),
		Free:     b.Free().String(),
		Currency: a.Catalog.Currency(),
	}
}

// getBalance is GET /v1/balance.
func (a *API) getBalance(c *requestContext) error {
	b, err := a.Store.Balance(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("read balance: %w", err)
	}

	return c.json(http.StatusOK, a.balance(b))
}
