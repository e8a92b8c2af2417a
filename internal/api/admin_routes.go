package api

import (
	"fmt"
	"net/http"

	"github.com/unireel/unireel/internal/catalog"
)

// ModelRoutes are a model's routes to upstreams in one mode, in order of preference.
// Without any route, no configured upstream serves the model.
type ModelRoutes struct {
	Model  string       `json:"model"`
	Mode   catalog.Mode `json:"mode"`
	Routes []ModelRoute `json:"routes"`
}

// ModelRoute is one route and the status of its upstream.
type ModelRoute struct {
	Upstream      string            `json:"upstream"`
	Provider      string            `json:"provider"`
	SupplierModel string            `json:"supplier_model"` // the supplier's name for the model
	Order         int               `json:"order"`          // the lowest comes first
	Weight        int               `json:"weight"`         // its share among those of the same order
	Unsupported   []catalog.Feature `json:"unsupported"`    // features that the route does not have
	DesiredState  string            `json:"desired_state"`  // "", "paused", "draining", "removed"
	Submissions   string            `json:"submissions"`    // "open", or why nothing is submitted
}

// listRoutes is GET /admin/v1/routes. Routes are changed through the configuration of
// upstreams and the models' files.
func (a *API) listRoutes(c *requestContext) error {
	all, err := a.Engine.Routes(c.ctx())
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}

	return c.json(http.StatusOK, listBody[ModelRoutes]{Data: append([]ModelRoutes{}, all...)})
}

// priceBody is the price of a model and how it was determined.
type priceBody struct {
	Model     string          `json:"model"`
	PerSecond string          `json:"per_second"` // what customers pay, a decimal
	Currency  string          `json:"currency"`
	Billing   catalog.Billing `json:"billing"`
	ListPrice *string         `json:"list_price"` // per second; null if the model's file has none in this currency
	Markup    *string         `json:"markup"`     // factor on the list price; null for a custom price
	Custom    bool            `json:"custom"`     // from the operator's price table
}

// listPrices is GET /admin/v1/prices. Prices come from the models' files and the
// configuration, which are read at start.
func (a *API) listPrices(c *requestContext) error {
	response := listBody[priceBody]{Data: []priceBody{}}
	currency := a.Catalog.Currency()

	markup := a.Catalog.Markup()
	for _, m := range a.Catalog.Models() {
		p := priceBody{
			Model:     m.ID,
			PerSecond: m.UnitPrice.String(),
			Currency:  currency,
			Billing:   m.Price.Billing,
			ListPrice: orNull(m.Price.PerSecond[currency]),
			Custom:    m.CustomPrice,
		}
		if !p.Custom {
			p.Markup = &markup
		}

		response.Data = append(response.Data, p)
	}

	return c.json(http.StatusOK, response)
}
