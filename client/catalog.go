package client

import (
	"context"
	"encoding/json"
	"fmt"
)

// Model is a model that can be requested.
type Model struct {
	ID  string          `json:"id"`
	Raw json.RawMessage `json:"-"` // the server's complete description of the model

	Families []string `json:"families"` // names that resolve to this model by size and sound
	Modes    []Mode   `json:"modes"`
	Tier     string   `json:"tier"`  // "720p"
	Sizes    []string `json:"sizes"` // the first is the default
	Seconds  struct {
		Min     int `json:"min"`
		Max     int `json:"max"`
		Default int `json:"default"`
	} `json:"seconds"`
	Sound     bool     `json:"sound"`
	ShotTypes []string `json:"shot_types"`
	PromptMax int      `json:"prompt_max"` // characters
	Price     Price    `json:"price"`
}

// Mode is a way in which a model generates videos.
type Mode struct {
	Mode       string `json:"mode"` // "r2v": from references; "i2v": from an image; "t2v": from the prompt alone
	References struct {
		Min    int `json:"min"`
		Max    int `json:"max"`
		Images int `json:"images"` // at most
		Videos int `json:"videos"` // at most
	} `json:"references"`
	GuideAudio bool `json:"guide_audio"`
}

// Price is the price of a model.
type Price struct {
	PerSecond string `json:"per_second"` // a decimal
	Currency  string `json:"currency"`
	Billing   string `json:"billing"` // "output", "input+output" or "free"
}

// Models lists the models that can be requested.
func (c *Client) Models(ctx context.Context) ([]Model, error) {
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := c.getJSON(ctx, "/v1/models", nil, &list); err != nil {
		return nil, err
	}

	models := make([]Model, len(list.Data))
	for i, raw := range list.Data {
		if err := json.Unmarshal(raw, &models[i]); err != nil {
			return nil, fmt.Errorf("read a model: %w", err)
		}

		models[i].Raw = raw
	}

	return models, nil
}

// Balance is an account's credit, in decimals of the currency.
type Balance struct {
	Granted  string `json:"granted"`
	Spent    string `json:"spent"`
	Held     string `json:"held"` // for tasks that are not final yet
	Free     string `json:"free"`
	Currency string `json:"currency"`
}

// Balance returns the account's credit.
func (c *Client) Balance(ctx context.Context) (Balance, error) {
	var b Balance

	err := c.getJSON(ctx, "/v1/balance", nil, &b)

	return b, err
}

// Quote is the price of a request; amounts are decimals in Currency.
type Quote struct {
	Model         string          `json:"model"`
	ResolvedModel string          `json:"resolved_model"`
	Size          string          `json:"size"`
	Seconds       string          `json:"seconds"`
	Billing       string          `json:"billing"`
	BilledSeconds json.Number     `json:"billed_seconds"` // at most
	UnitPrice     string          `json:"unit_price"`     // per second
	Hold          string          `json:"hold"`           // the most that the request can cost; a create would hold it
	Free          string          `json:"free"`           // the account's free credit now
	Currency      string          `json:"currency"`
	Preview       bool            `json:"preview"`
	Warnings      []Warning       `json:"warnings"`
	Raw           json.RawMessage `json:"-"`
}

// Estimate returns the price of a request without creating a task. If fields are
// invalid it returns an *Error, as Create would.
func (c *Client) Estimate(ctx context.Context, r Request) (Quote, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return Quote{}, fmt.Errorf("encode the request: %w", err)
	}

	return c.EstimateRaw(ctx, text)
}

// EstimateRaw is like Estimate, with a body that is already JSON.
func (c *Client) EstimateRaw(ctx context.Context, body []byte) (Quote, error) {
	var q Quote

	req := newRawRequest(pathEstimate, body)
	req.idempotent = true
	raw, _, err := c.doJSON(ctx, req, &q)
	q.Raw = raw

	return q, err
}
