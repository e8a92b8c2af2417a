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

// generationObject is the object name of a task that was created in UniAll's dialect.
const generationObject = "video.generation.job"

// createVideo is POST /v1/video/generations.
func (a *API) createVideo(c *requestContext) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	return a.createAndRespond(c, root, checkout.CreateRequest{Raw: decodeUniAll(root), Object: generationObject})
}

// createAndRespond creates a task from a decoded body and responds with it.
func (a *API) createAndRespond(c *requestContext, body jsonValue, req checkout.CreateRequest) error {
	t, err := a.createTask(c, body, req)
	if err != nil {
		return err
	}

	return a.respondVideo(c, t)
}

// createTask passes a decoded body to checkout, which creates the task.
//
// The idempotency hash is of the canonical body, so that a client library that orders or
// formats the same fields differently on a retry still sends the same request.
func (a *API) createTask(c *requestContext, body jsonValue, req checkout.CreateRequest) (task.Task, error) {
	if req.IdempotencyKey = c.req.Header.Get("Idempotency-Key"); req.IdempotencyKey != "" {
		sum := sha256.Sum256(body.canonical(nil))
		req.BodyHash = hex.EncodeToString(sum[:])
	}

	t, replayed, err := a.Checkout.Create(c.ctx(), c.caller(), req)
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
	BilledSeconds any            `json:"billed_seconds"` // the maximum
	UnitPrice     string         `json:"unit_price"`     // per second
	Hold          string         `json:"hold"`           // the maximum cost
	Free          string         `json:"free"`           // what the account can still hold
	Currency      string         `json:"currency"`
	Preview       bool           `json:"preview"`
	Warnings      []videoWarning `json:"warnings"`
}

// estimateVideo is POST /v1/video/generations/estimate. It takes the body of a create
// request and writes nothing.
func (a *API) estimateVideo(c *requestContext) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	r, q, err := a.Checkout.Estimate(c.ctx(), c.caller(), decodeUniAll(root))
	if err != nil {
		return err
	}

	b, err := a.Store.Balance(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("read balance: %w", err)
	}

	e := estimate{
		Object:        "video.estimate",
		Model:         r.Model,
		ResolvedModel: r.Resolved,
		Size:          r.RequestedSize,
		Seconds:       strconv.Itoa(r.Seconds),
		Billing:       string(q.Billing),
		BilledSeconds: decimal(q.MaxMillis),
		UnitPrice:     q.UnitPrice.String(),
		Hold:          q.Hold.String(),
		Free:          b.Free().String(),
		Currency:      a.Catalog.Currency(),
		Preview:       r.Preview,
		Warnings:      []videoWarning{},
	}
	for _, w := range r.Warnings {
		e.Warnings = append(e.Warnings, videoWarning{Code: w.Code, Message: w.Message, Param: orNull(w.Param)})
	}

	return c.json(http.StatusOK, e)
}
