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

// webhook is an endpoint as its account sees it. Times are unix seconds. Secret only
// at its making.
type webhook struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	URL         string   `json:"url"`
	Events      []string `json:"events"` // empty: all
	Enabled     bool     `json:"enabled"`
	CreatedAt   int64    `json:"created_at"`
	DisabledAt  *int64   `json:"disabled_at"`
	Failures    int64    `json:"failures"`     // on end, until now
	ParkedUntil *int64   `json:"parked_until"` // nothing is sent before
	Secret      string   `json:"secret,omitempty"`
}

func webhookOf(e store.Endpoint) webhook {
	return webhook{
		ID: e.ID, Object: "webhook", URL: e.URL, Events: append([]string{}, e.Events...), Enabled: e.DisabledAt == 0,
		CreatedAt: e.CreatedAt / 1000, DisabledAt: stamp(e.DisabledAt), Failures: e.Failures, ParkedUntil: stamp(e.ParkedUntil),
	}
}

// webhookSecret is what signs an endpoint's deliveries. Times are unix seconds.
type webhookSecret struct {
	Object       string  `json:"object"`
	Secret       string  `json:"secret"`
	Earlier      *string `json:"earlier_secret"` // signs too, until EarlierUntil
	EarlierUntil *int64  `json:"earlier_until"`
}

func (a *API) secretOf(e store.Endpoint) webhookSecret {
	s := webhookSecret{Object: "webhook.secret", Secret: e.Secret}
	if e.Earlier != "" && a.Now().UnixMilli() < e.EarlierUntil {
		s.Earlier = &e.Earlier
		s.EarlierUntil = stamp(e.EarlierUntil)
	}

	return s
}

// delivery is one event for one endpoint, for who wonders where it is. Times are unix
// seconds.
type delivery struct {
	ID        string  `json:"id"` // the webhook-id that was sent
	Object    string  `json:"object"`
	Type      string  `json:"type"`
	VideoID   *string `json:"video_id"`
	URL       *string `json:"url"` // that the request named
	Status    string  `json:"status"`
	Tries     int64   `json:"tries"`
	NextTryAt *int64  `json:"next_try_at"`
	Answer    *int64  `json:"answer_status"` // the last HTTP status
	Error     *string `json:"error"`         // why the last try failed
	CreatedAt int64   `json:"created_at"`
	TriedAt   *int64  `json:"tried_at"`
	EndedAt   *int64  `json:"ended_at"`
}

func deliveryOf(d store.Delivery) delivery {
	v := delivery{
		ID: d.ID, Object: "webhook.delivery", Type: d.Event, VideoID: orNull(d.Task), URL: orNull(d.URL), Status: string(d.State), Tries: d.Tries,
		Error: orNull(d.Error), CreatedAt: d.CreatedAt / 1000, TriedAt: stamp(d.TriedAt), EndedAt: stamp(d.EndedAt),
	}
	if d.Status > 0 {
		v.Answer = &d.Status
	}

	if d.State == store.Pending {
		v.NextTryAt = stamp(d.Due)
	}

	return v
}

// wishedWebhook is what a body may say of an endpoint.
type wishedWebhook struct {
	URL     *string   `json:"url"`
	Events  *[]string `json:"events"`
	Enabled *bool     `json:"enabled"`
}

// addWebhook is POST /v1/webhooks.
func (a *API) addWebhook(c *call) error {
	var asked wishedWebhook
	if err := c.decode(&asked); err != nil {
		return err
	}

	e, err := a.Checkout.AddEndpoint(c.ctx(), c.key.Account, checkout.Endpoint(asked))
	if err != nil {
		return err
	}

	body := webhookOf(e)
	body.Secret = e.Secret

	return c.json(http.StatusOK, body)
}

// listWebhooks is GET /v1/webhooks: all, oldest first.
func (a *API) listWebhooks(c *call) error {
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
func (a *API) getWebhook(c *call) error {
	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, webhookOf(e))
}

// endpoint is the caller's endpoint of the path.
func (a *API) endpoint(c *call) (store.Endpoint, error) {
	return a.Checkout.Endpoint(c.ctx(), c.key.Account, c.r.PathValue("id"))
}

// changeWebhook is PATCH /v1/webhooks/{id}.
func (a *API) changeWebhook(c *call) error {
	var asked wishedWebhook
	if err := c.decode(&asked); err != nil {
		return err
	}

	if c.r.PathValue("id") == checkout.DefaultEndpoint {
		return checkout.NoEndpoint()
	}

	e, err := a.Checkout.ChangeEndpoint(c.ctx(), c.key.Account, c.r.PathValue("id"), checkout.Endpoint(asked))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, webhookOf(e))
}

// deleteWebhook is DELETE /v1/webhooks/{id}.
func (a *API) deleteWebhook(c *call) error {
	id := c.r.PathValue("id")
	if err := a.Checkout.RemoveEndpoint(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deleted{ID: id, Object: "webhook.deleted", Deleted: true})
}

// getWebhookSecret is GET /v1/webhooks/{id}/secret.
func (a *API) getWebhookSecret(c *call) error {
	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.secretOf(e))
}

// rotateWebhookSecret is POST /v1/webhooks/{id}/secret.
func (a *API) rotateWebhookSecret(c *call) error {
	asked := struct {
		Keep int64 `json:"keep_seconds"`
	}{Keep: int64((24 * time.Hour).Seconds())}
	if err := c.decode(&asked); err != nil {
		return err
	}

	keep := time.Duration(min(max(asked.Keep, -1), maxTime/1000)) * time.Second

	e, err := a.Checkout.RotateSecret(c.ctx(), c.key.Account, c.r.PathValue("id"), keep)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.secretOf(e))
}

// testWebhook is POST /v1/webhooks/{id}/test.
func (a *API) testWebhook(c *call) error {
	d, err := a.Checkout.TestEndpoint(c.ctx(), c.key.Account, c.r.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, deliveryOf(d))
}

// listDeliveries is GET /v1/webhooks/{id}/deliveries, newest first.
func (a *API) listDeliveries(c *call) error {
	query := c.r.URL.Query()

	e, err := a.endpoint(c)
	if err != nil {
		return err
	}

	f := store.DeliveryFilter{Account: c.key.Account, State: store.DeliveryState(query.Get("status"))}
	if e.Kind != store.DefaultEndpoint {
		f.Endpoint = e.ID
	}

	var faults []fault.Fault

	limit, wrong := limitOf(query)
	if wrong != nil {
		faults = append(faults, *wrong)
	}

	f.Limit = limit
	switch f.State {
	case "", store.Pending, store.Delivered, store.GivenUp:
	default:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "status", "A delivery is pending, delivered or failed."))
	}

	if after := query.Get("after"); after != "" {
		if f.After, err = a.Store.Delivery(c.ctx(), f.Account, f.Endpoint, after); errors.Is(err, store.ErrNotFound) {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, "after", "There is no delivery of this id here any more: begin without it."))
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
func (a *API) redeliver(c *call) error {
	d, err := a.Checkout.Redeliver(c.ctx(), c.key.Account, c.r.PathValue("id"), c.r.PathValue("delivery"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, deliveryOf(d))
}

// deliveryBody is what an endpoint is sent. CreatedAt is unix seconds, Timestamp the same
// time as Standard Webhooks writes it.
type deliveryBody struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Type      string `json:"type"`
	CreatedAt int64  `json:"created_at"`
	Timestamp string `json:"timestamp"`
	Data      any    `json:"data"`
}

// DeliveryBody is the body of a delivery: the video as it was when it came to this, with
// links that are good from now on; of one that has ended, as it is. root is how
// customers reach this server.
func (a *API) DeliveryBody(ctx context.Context, root string, d store.Delivery) ([]byte, error) {
	o := deliveryBody{
		ID: d.ID, Object: "event", Type: d.Event, CreatedAt: d.CreatedAt / 1000, Timestamp: time.UnixMilli(d.CreatedAt).UTC().Format(time.RFC3339),
		Data: map[string]string{"id": d.Endpoint, "object": "webhook"},
	}
	if d.Task != "" {
		t, err := a.Store.Task(ctx, d.Task)
		if err != nil {
			return nil, fmt.Errorf("webhook of %s: %w", d.Task, err)
		}

		o.Data = a.videoFor(seenBy{root: root}, asOf(t, strings.TrimPrefix(d.Event, "video.")))
	}

	var b bytes.Buffer

	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(o); err != nil {
		return nil, fmt.Errorf("webhook of %s: %w", d.Task, err)
	}

	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// asOf is a task as it was when its status became this one, if it is beyond it by now.
func asOf(t task.Task, status string) task.Task {
	if t.State.Status() == status {
		return t
	}

	was := t
	was.CompletedAt = 0
	was.ExpiresAt = 0
	was.RenderedAt = 0
	was.Error = nil
	was.Progress = 0
	was.Billed = 0
	was.Cost = 0

	was.State = task.Running
	if status == task.Queued.Status() {
		was.State = task.Queued
		was.StartedAt = 0
	}

	return was
}
