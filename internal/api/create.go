package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/task"
)

// generation is what a task is called that was created in UniAll's dialect.
const generation = "video.generation.job"

// createVideo is POST /v1/video/generations.
func (a *API) createVideo(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	return a.submit(c, root, checkout.Order{Ask: decodeUniAll(root), Object: generation})
}

// submit hands over the order that was decoded from a body, and answers with its
// task.
func (a *API) submit(c *call, body jsonValue, order checkout.Order) error {
	t, err := a.order(c, body, order)
	if err != nil {
		return err
	}

	return a.answer(c, t)
}

// order hands over the order that was decoded from a body.
func (a *API) order(c *call, body jsonValue, order checkout.Order) (task.Task, error) {
	if order.IdempotencyKey = c.r.Header.Get("Idempotency-Key"); order.IdempotencyKey != "" {
		sum := sha256.Sum256(body.canonical(nil))
		order.BodyHash = hex.EncodeToString(sum[:])
	}

	t, replayed, err := a.Checkout.Submit(c.ctx(), c.who(), order)
	if err == nil && replayed {
		c.Header().Set("Idempotent-Replayed", "true")
	}

	return t, err
}

// estimate is what a request would cost. Amounts are decimal strings.
type estimate struct {
	Object        string         `json:"object"`
	Model         string         `json:"model"`
	ResolvedModel string         `json:"resolved_model"`
	Size          string         `json:"size"`
	Seconds       string         `json:"seconds"`
	Billing       string         `json:"billing"`
	BilledSeconds any            `json:"billed_seconds"` // at most
	UnitPrice     string         `json:"unit_price"`     // per second
	Hold          string         `json:"hold"`           // the most that it can cost
	Free          string         `json:"free"`           // what the account can still hold
	Currency      string         `json:"currency"`
	Preview       bool           `json:"preview"`
	Warnings      []videoWarning `json:"warnings"`
}

// estimateVideo is POST /v1/video/generations/estimate: a create's body, nothing
// written.
func (a *API) estimateVideo(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	r, q, err := a.Checkout.Estimate(c.ctx(), c.who(), decodeUniAll(root))
	if err != nil {
		return err
	}

	b, err := a.Store.Balance(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("read balance: %w", err)
	}

	e := estimate{
		Object: "video.estimate", Model: r.Model, ResolvedModel: r.Resolved, Size: r.SizeAsked, Seconds: strconv.Itoa(r.Seconds),
		Billing: string(q.Billing), BilledSeconds: decimal(q.MaxMillis), UnitPrice: q.UnitPrice.String(), Hold: q.Hold.String(),
		Free: b.Free().String(), Currency: a.Catalog.Currency(), Preview: r.Preview, Warnings: []videoWarning{},
	}
	for _, w := range r.Warnings {
		e.Warnings = append(e.Warnings, videoWarning{Code: w.Code, Message: w.Message, Param: orNull(w.Param)})
	}

	return c.json(http.StatusOK, e)
}
