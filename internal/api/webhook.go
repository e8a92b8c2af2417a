package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// webhook is an endpoint as its account sees it. Times are unix seconds. Secret is set
// only in the response that creates the endpoint.
type webhook struct {
	ID             string   `json:"id"`
	Object         string   `json:"object"`
	URL            string   `json:"url"`
	Events         []string `json:"events"` // empty means all
	Enabled        bool     `json:"enabled"`
	CreatedAt      int64    `json:"created_at"`
	DisabledAt     *int64   `json:"disabled_at"`
	Failures       int64    `json:"failures"`        // consecutive failures so far
	SuspendedUntil *int64   `json:"suspended_until"` // nothing is sent before this time
	Secret         string   `json:"secret,omitempty"`
}

func webhookOf(e store.Endpoint) webhook {
	return webhook{
		ID:             e.ID,
		Object:         "webhook",
		URL:            e.URL,
		Events:         append([]string{}, e.Events...),
		Enabled:        e.DisabledAt == 0,
		CreatedAt:      e.CreatedAt / 1000,
		DisabledAt:     unixSeconds(e.DisabledAt),
		Failures:       e.Failures,
		SuspendedUntil: unixSeconds(e.SuspendedUntil),
	}
}

// webhookSecret is the secret that signs an endpoint's deliveries. Times are unix seconds.
type webhookSecret struct {
	Object         string  `json:"object"`
	Secret         string  `json:"secret"`
	PreviousSecret *string `json:"previous_secret"` // also signs, until PreviousUntil
	PreviousUntil  *int64  `json:"previous_until"`
}

func (a *API) secretOf(e store.Endpoint) webhookSecret {
	s := webhookSecret{Object: "webhook.secret", Secret: e.Secret}
	if e.PreviousSecret != "" && a.Now().UnixMilli() < e.PreviousSecretUntil {
		s.PreviousSecret = &e.PreviousSecret
		s.PreviousUntil = unixSeconds(e.PreviousSecretUntil)
	}

	return s
}

// delivery is one event for one endpoint, so that customers can see what happened to it.
// Times are unix seconds.
type delivery struct {
	ID             string  `json:"id"` // the webhook-id that was sent
	Object         string  `json:"object"`
	Type           string  `json:"type"`
	VideoID        *string `json:"video_id"`
	URL            *string `json:"url"` // the URL that the request named
	Status         string  `json:"status"`
	Tries          int64   `json:"tries"`
	NextTryAt      *int64  `json:"next_try_at"`
	ResponseStatus *int64  `json:"response_status"` // the last HTTP status
	Error          *string `json:"error"`           // why the last try failed
	CreatedAt      int64   `json:"created_at"`
	TriedAt        *int64  `json:"tried_at"`
	EndedAt        *int64  `json:"ended_at"`
}

func deliveryOf(d store.Delivery) delivery {
	v := delivery{
		ID:        d.ID,
		Object:    "webhook.delivery",
		Type:      d.Event,
		VideoID:   orNull(d.Task),
		URL:       orNull(d.URL),
		Status:    string(d.State),
		Tries:     d.Tries,
		Error:     orNull(d.Error),
		CreatedAt: d.CreatedAt / 1000,
		TriedAt:   unixSeconds(d.LastTriedAt),
		EndedAt:   unixSeconds(d.EndedAt),
	}
	if d.ResponseStatus > 0 {
		v.ResponseStatus = &d.ResponseStatus
	}

	if d.State == store.DeliveryPending {
		v.NextTryAt = unixSeconds(d.DueAt)
	}

	return v
}

// webhookRequest is the body of a request that creates or changes an endpoint.
type webhookRequest struct {
	URL     *string   `json:"url"`
	Events  *[]string `json:"events"`
	Enabled *bool     `json:"enabled"`
}

// createWebhook is POST /v1/webhooks.
func (a *API) createWebhook(c *requestContext) error {
	var req webhookRequest
	if err := c.decode(&req); err != nil {
		return err
	}

	e, err := a.Checkout.CreateEndpoint(c.ctx(), c.key.Account, checkout.EndpointSettings(req))
	if err != nil {
		return err
	}

	body := webhookOf(e)
	body.Secret = e.Secret

	return c.json(http.StatusOK, body)
}

// listWebhooks is GET /v1/webhooks: all endpoints, oldest first.
func (a *API) listWebhooks(c *requestContext) error {
	list, err := a.Store.Endpoints(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("list webhooks: %w", err)
	}

	all := make([]webhook, 0, len(list))
	for _, e := range list {
		all = append(all, webhookOf(e))
	}

	return c.json(http.StatusOK, newPage(all, false, func(w webhook) string { return w.ID }))
}

// getWebhook is GET /v1/webhooks/{id}.
func (a *API) getWebhook(c *requestContext) error {
	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, webhookOf(e))
}

// endpoint returns the caller's endpoint that the path names.
func (a *API) endpoint(c *requestContext) (store.Endpoint, error) {
	return a.Checkout.Endpoint(c.ctx(), c.key.Account, c.req.PathValue("id"))
}

// updateWebhook is PATCH /v1/webhooks/{id}.
func (a *API) updateWebhook(c *requestContext) error {
	var req webhookRequest
	if err := c.decode(&req); err != nil {
		return err
	}

	if c.req.PathValue("id") == checkout.DefaultEndpoint {
		return checkout.EndpointNotFound()
	}

	e, err := a.Checkout.UpdateEndpoint(c.ctx(), c.key.Account, c.req.PathValue("id"), checkout.EndpointSettings(req))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, webhookOf(e))
}

// deleteWebhook is DELETE /v1/webhooks/{id}.
func (a *API) deleteWebhook(c *requestContext) error {
	id := c.req.PathValue("id")
	if err := a.Checkout.DeleteEndpoint(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deletedBody{ID: id, Object: "webhook.deleted", Deleted: true})
}

// getWebhookSecret is GET /v1/webhooks/{id}/secret.
func (a *API) getWebhookSecret(c *requestContext) error {
	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.secretOf(e))
}

// rotateWebhookSecret is POST /v1/webhooks/{id}/secret.
func (a *API) rotateWebhookSecret(c *requestContext) error {
	req := struct {
		Keep int64 `json:"keep_seconds"`
	}{Keep: int64((24 * time.Hour).Seconds())}
	if err := c.decode(&req); err != nil {
		return err
	}

	validFor := time.Duration(min(max(req.Keep, -1), maxTime/1000)) * time.Second

	e, err := a.Checkout.RotateSecret(c.ctx(), c.key.Account, c.req.PathValue("id"), validFor)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.secretOf(e))
}

// testWebhook is POST /v1/webhooks/{id}/test.
func (a *API) testWebhook(c *requestContext) error {
	d, err := a.Checkout.SendTestEvent(c.ctx(), c.key.Account, c.req.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, deliveryOf(d))
}

// listDeliveries is GET /v1/webhooks/{id}/deliveries, newest first.
func (a *API) listDeliveries(c *requestContext) error {
	query := c.req.URL.Query()

	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	f := store.DeliveryFilter{Account: c.key.Account, State: store.DeliveryState(query.Get("status"))}
	if e.Kind != store.DefaultEndpoint {
		f.Endpoint = e.ID
	}

	var faults []fault.Fault

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		faults = append(faults, *limitFault)
	}

	f.Limit = limit
	switch f.State {
	case "", store.DeliveryPending, store.DeliveryDelivered, store.DeliveryFailed:
	default:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "status", "The status must be pending, delivered or failed."))
	}

	if after := query.Get("after"); after != "" {
		if f.After, err = a.Store.Delivery(c.ctx(), f.Account, f.Endpoint, after); errors.Is(err, store.ErrNotFound) {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, "after", "There is no delivery with this id here any more: leave out after to start from the newest."))
		} else if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	list, more, err := a.Store.Deliveries(c.ctx(), f)
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}

	all := make([]delivery, 0, len(list))
	for _, d := range list {
		all = append(all, deliveryOf(d))
	}

	return c.json(http.StatusOK, newPage(all, more, func(d delivery) string { return d.ID }))
}

// redeliver is POST /v1/webhooks/{id}/deliveries/{delivery}/redeliver.
func (a *API) redeliver(c *requestContext) error {
	d, err := a.Checkout.Redeliver(c.ctx(), c.key.Account, c.req.PathValue("id"), c.req.PathValue("delivery"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, deliveryOf(d))
}

// deliveryBody is the body that an endpoint receives. CreatedAt is unix seconds; Timestamp
// is the same time in the format of Standard Webhooks.
type deliveryBody struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Type      string `json:"type"`
	CreatedAt int64  `json:"created_at"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

// DeliveryBody returns the body of a delivery: the video as it was at the event, with
// links whose lifetime begins now. If the event is the task's last one, the video is shown
// as it is now. root is the base URL at which customers reach this server.
func (a *API) DeliveryBody(ctx context.Context, root string, d store.Delivery) ([]byte, error) {
	o := deliveryBody{
		ID:        d.ID,
		Object:    "event",
		Type:      d.Event,
		CreatedAt: d.CreatedAt / 1000,
		Timestamp: time.UnixMilli(d.CreatedAt).UTC().Format(time.RFC3339),
		Data:      map[string]string{"id": d.Endpoint, "object": "webhook"},
	}
	if d.Task != "" {
		t, err := a.Store.Task(ctx, d.Task)
		if err != nil {
			return nil, fmt.Errorf("webhook of %s: %w", d.Task, err)
		}

		o.Data = a.videoFor(viewOptions{root: root}, taskAtStatus(t, strings.TrimPrefix(d.Event, "video.")))
	}

	var b bytes.Buffer

	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(o); err != nil {
		return nil, fmt.Errorf("webhook of %s: %w", d.Task, err)
	}

	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// taskAtStatus returns a task as it was when it reached a status that it may have left
// since.
func taskAtStatus(t task.Task, status string) task.Task {
	if t.State.Status() == status {
		return t
	}

	earlier := t
	earlier.CompletedAt = 0
	earlier.ExpiresAt = 0
	earlier.RenderedAt = 0
	earlier.Error = nil
	earlier.Progress = 0
	earlier.Billed = 0
	earlier.Cost = 0
	earlier.State = task.Running

	if status == task.Queued.Status() {
		earlier.State = task.Queued
		earlier.StartedAt = 0
	}

	return earlier
}
