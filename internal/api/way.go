package api

import (
	"fmt"
	"net/http"

	"github.com/unireel/unireel/internal/catalog"
)

// ModelRoutes is a model's ways to upstreams in one mode, the first first. Without
// any, nobody who is configured here makes it.
type ModelRoutes struct {
	Model  string        `json:"model"`
	Mode   catalog.Mode  `json:"mode"`
	Routes []ModelsRoute `json:"routes"`
}

// ModelsRoute is one of them, and how its upstream stands.
type ModelsRoute struct {
	Upstream string            `json:"upstream"`
	Provider string            `json:"provider"`
	As       string            `json:"as"`     // the supplier's name of the model
	Order    int               `json:"order"`  // the lowest comes first
	Weight   int               `json:"weight"` // its share among those of the same order
	Lacks    []catalog.Feature `json:"lacks"`  // what it cannot do
	Wish     string            `json:"wish"`   // "", "paused", "draining", "removed"
	Gate     string            `json:"gate"`   // "open", or why nothing is submitted
}

// listRoutes is GET /admin/v1/routes. What is changed of routes is changed where
// upstreams are set up, and in the models' files.
func (a *API) listRoutes(c *call) error {
	all, err := a.Engine.Routes(c.ctx())
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}

	return c.json(http.StatusOK, list[ModelRoutes]{Data: append([]ModelRoutes{}, all...)})
}

// priceBody is what a model costs, and why.
type priceBody struct {
	Model     string          `json:"model"`
	PerSecond string          `json:"per_second"` // that customers pay, a decimal
	Currency  string          `json:"currency"`
	Billing   catalog.Billing `json:"billing"`
	ListPrice *string         `json:"list_price"` // per second; null where its file has none in this currency
	Markup    *string         `json:"markup"`     // that the list price was multiplied by; null for a price of the operator's own
	Own       bool            `json:"own"`        // from the operator's price table
}

// listPrices is GET /admin/v1/prices. They come from the models' files and the
// configuration, and change with these at a start.
func (a *API) listPrices(c *call) error {
	answer := list[priceBody]{Data: []priceBody{}}
	currency := a.Catalog.Currency()

	markup := a.Catalog.Markup()
	for _, m := range a.Catalog.Models() {
		p := priceBody{Model: m.ID, PerSecond: m.UnitPrice.String(), Currency: currency, Billing: m.Price.Billing, ListPrice: orNull(m.Price.PerSecond[currency]), Own: m.OwnPrice}
		if !p.Own {
			p.Markup = &markup
		}

		answer.Data = append(answer.Data, p)
	}

	return c.json(http.StatusOK, answer)
}
