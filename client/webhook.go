package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const pathWebhooks = "/v1/webhooks"

// DefaultWebhook is the id of the endpoint that stands for the WebhookURL of requests. It
// gives access to the secret that signs those deliveries, and to the deliveries.
const DefaultWebhook = "default"

// Webhook is an endpoint that receives events of the account's tasks. Times are unix
// seconds; 0 means never.
type Webhook struct {
	ID             string   `json:"id"`
	URL            string   `json:"url"`
	Events         []string `json:"events"` // empty means all
	Enabled        bool     `json:"enabled"`
	CreatedAt      int64    `json:"created_at"`
	DisabledAt     int64    `json:"disabled_at"`
	Failures       int64    `json:"failures"`         // consecutive failed attempts
	SuspendedUntil int64    `json:"suspended_until"`  // nothing is sent before this time
	Secret         string   `json:"secret,omitempty"` // set only by AddWebhook
}

// WebhookChange describes a change of an endpoint; nil leaves a field unchanged.
type WebhookChange struct {
	URL     *string   `json:"url,omitempty"`
	Events  *[]string `json:"events,omitempty"` // empty means all
	Enabled *bool     `json:"enabled,omitempty"`
}

// WebhookSecret is the secret that signs an endpoint's deliveries.
type WebhookSecret struct {
	Secret        string `json:"secret"`
	Previous      string `json:"previous_secret"` // also signs until PreviousUntil; "" if there is none
	PreviousUntil int64  `json:"previous_until"`  // unix seconds
}

// Delivery is one event for one endpoint. Times are unix seconds; 0 means never.
type Delivery struct {
	ID             string `json:"id"` // the id of the event
	Type           string `json:"type"`
	VideoID        string `json:"video_id"` // "" for a test
	URL            string `json:"url"`      // the webhook_url of the request; "" for the endpoint's URL
	Status         string `json:"status"`   // "pending", "delivered" or "failed"
	Tries          int64  `json:"tries"`
	NextTryAt      int64  `json:"next_try_at"`
	ResponseStatus int64  `json:"response_status"` // the last HTTP status; 0 if there was no response
	Error          string `json:"error"`           // why the last attempt failed
	CreatedAt      int64  `json:"created_at"`
	TriedAt        int64  `json:"tried_at"`
	EndedAt        int64  `json:"ended_at"`
}

func (c *Client) webhookRequest(ctx context.Context, method, path string, body, out any) error {
	req, err := newJSONRequest(method, pathWebhooks+path, body)
	if err != nil {
		return err
	}

	_, _, err = c.doJSON(ctx, req, out)

	return err
}

func webhookPath(id string) string { return "/" + url.PathEscape(id) }

// AddWebhook adds an endpoint that receives the given events of the account's tasks, or
// all events if none is given. The endpoint's Secret verifies what it receives.
func (c *Client) AddWebhook(ctx context.Context, address string, events ...string) (Webhook, error) {
	var w Webhook

	err := c.webhookRequest(ctx, http.MethodPost, "", WebhookChange{URL: &address, Events: &events}, &w)

	return w, err
}

// Webhooks lists the account's endpoints, oldest first.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var list struct {
		Data []Webhook `json:"data"`
	}

	err := c.getJSON(ctx, pathWebhooks, nil, &list)

	return list.Data, err
}

// Webhook returns an endpoint.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook

	err := c.getJSON(ctx, pathWebhooks+webhookPath(id), nil, &w)

	return w, err
}

// ChangeWebhook changes an endpoint.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	var w Webhook

	err := c.webhookRequest(ctx, http.MethodPatch, webhookPath(id), change, &w)

	return w, err
}

// DeleteWebhook deletes an endpoint and its pending deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.webhookRequest(ctx, http.MethodDelete, webhookPath(id), nil, nil)
}

// WebhookSecret returns the secret that signs an endpoint's deliveries.
func (c *Client) WebhookSecret(ctx context.Context, id string) (WebhookSecret, error) {
	var s WebhookSecret

	err := c.getJSON(ctx, pathWebhooks+webhookPath(id)+"/secret", nil, &s)

	return s, err
}

// RotateWebhookSecret creates a new secret. The old one also signs for the duration
// keep, in whole seconds.
func (c *Client) RotateWebhookSecret(ctx context.Context, id string, keep time.Duration) (WebhookSecret, error) {
	var s WebhookSecret

	err := c.webhookRequest(ctx, http.MethodPost, webhookPath(id)+"/secret", map[string]int64{"keep_seconds": int64(keep / time.Second)}, &s)

	return s, err
}

// TestWebhook sends an event of the type "webhook.test" to an endpoint.
func (c *Client) TestWebhook(ctx context.Context, id string) (Delivery, error) {
	var d Delivery

	err := c.webhookRequest(ctx, http.MethodPost, webhookPath(id)+"/test", nil, &d)

	return d, err
}

// Deliveries yields the deliveries to an endpoint, newest first: all of them, or only
// those with the given status. An error ends the iteration.
func (c *Client) Deliveries(ctx context.Context, id, status string) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		query := url.Values{"limit": {"100"}}
		if status != "" {
			query.Set("status", status)
		}

		for {
			var page struct {
				Data    []Delivery `json:"data"`
				LastID  string     `json:"last_id"`
				HasMore bool       `json:"has_more"`
			}
			if err := c.getJSON(ctx, pathWebhooks+webhookPath(id)+"/deliveries", query, &page); err != nil {
				yield(Delivery{}, err)
				return
			}

			for _, d := range page.Data {
				if !yield(d, nil) {
					return
				}
			}

			if !page.HasMore {
				return
			}

			query.Set("after", page.LastID)
		}
	}
}

// Redeliver sends an event again that was delivered or has failed for good.
func (c *Client) Redeliver(ctx context.Context, id, delivery string) (Delivery, error) {
	var d Delivery

	err := c.webhookRequest(ctx, http.MethodPost, webhookPath(id)+"/deliveries/"+url.PathEscape(delivery)+"/redeliver", nil, &d)

	return d, err
}

// The errors of VerifyWebhook.
var (
	ErrWebhookSignature = errors.New("the webhook's signature is not valid")
	ErrWebhookTime      = errors.New("the webhook's timestamp differs from the current time by more than five minutes")
)

const webhookTolerance = 5 * time.Minute

// VerifyWebhook decodes an event that an endpoint received as a POST request with this
// header and body. One of the secrets (whsec_..., from AddWebhook or WebhookSecret) must
// have signed it, otherwise the error is ErrWebhookSignature, and its timestamp must be
// within five minutes of now, otherwise it is ErrWebhookTime. An event may arrive twice,
// with the same ID. Respond with a status from 200 to 299 once the event is processed.
// Event.Task is empty for a "webhook.test".
func VerifyWebhook(header http.Header, body []byte, now time.Time, secrets ...string) (Event, error) {
	id := header.Get("webhook-id")
	timestamp := header.Get("webhook-timestamp")

	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || !hasValidSignature(secrets, id+"."+timestamp+".", body, header.Get("webhook-signature")) {
		return Event{}, ErrWebhookSignature
	}

	if skew := now.Sub(time.Unix(seconds, 0)).Abs(); skew > webhookTolerance {
		return Event{}, ErrWebhookTime
	}

	var e struct {
		Type      EventType       `json:"type"`
		CreatedAt int64           `json:"created_at"`
		Data      json.RawMessage `json:"data"`
	}

	event := Event{ID: id}
	if err := json.Unmarshal(body, &e); err != nil {
		return event, fmt.Errorf("read the webhook %s: %w", id, err)
	}

	event.Type = e.Type
	event.CreatedAt = e.CreatedAt

	if strings.HasPrefix(string(e.Type), "video.") {
		if err := json.Unmarshal(e.Data, &event.Task); err != nil {
			return event, fmt.Errorf("read the webhook %s: %w", id, err)
		}

		event.Task.Raw = e.Data
	}

	return event, nil
}

// hasValidSignature reports whether one of the secrets made one of the signatures.
func hasValidSignature(secrets []string, prefix string, body []byte, signatures string) bool {
	valid := false

	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			continue
		}

		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(prefix))
		mac.Write(body)
		wantMAC := mac.Sum(nil)

		for signature := range strings.FieldsSeq(signatures) {
			text, known := strings.CutPrefix(signature, "v1,")
			got, err := base64.StdEncoding.DecodeString(text)
			valid = known && err == nil && hmac.Equal(wantMAC, got) || valid
		}
	}

	return valid
}
