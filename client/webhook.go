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

// DefaultWebhook is the id under which the secret is found that signs what goes to
// the WebhookURL of requests, and the deliveries there.
const DefaultWebhook = "default"

// Webhook is an endpoint: where the account is told of its tasks. Times are unix
// seconds, 0 is never.
type Webhook struct {
	ID          string   `json:"id"`
	URL         string   `json:"url"`
	Events      []string `json:"events"` // empty: all
	Enabled     bool     `json:"enabled"`
	CreatedAt   int64    `json:"created_at"`
	DisabledAt  int64    `json:"disabled_at"`
	Failures    int64    `json:"failures"`         // tries that failed on end, until now
	ParkedUntil int64    `json:"parked_until"`     // nothing is sent before
	Secret      string   `json:"secret,omitempty"` // from AddWebhook only
}

// WebhookChange is what to change of an endpoint; nil leaves it as it is.
type WebhookChange struct {
	URL     *string   `json:"url,omitempty"`
	Events  *[]string `json:"events,omitempty"` // empty: all
	Enabled *bool     `json:"enabled,omitempty"`
}

// WebhookSecret is what signs an endpoint's deliveries.
type WebhookSecret struct {
	Secret       string `json:"secret"`
	Earlier      string `json:"earlier_secret"` // signs too, until EarlierUntil; "" for none
	EarlierUntil int64  `json:"earlier_until"`  // unix seconds
}

// Delivery is one event for one endpoint. Times are unix seconds, 0 is never.
type Delivery struct {
	ID        string `json:"id"` // the event's
	Type      string `json:"type"`
	VideoID   string `json:"video_id"` // "" for a test
	URL       string `json:"url"`      // that the request named; "" for the endpoint's
	Status    string `json:"status"`   // "pending", "delivered" or "failed"
	Tries     int64  `json:"tries"`
	NextTryAt int64  `json:"next_try_at"`
	Answer    int64  `json:"answer_status"` // the last HTTP status; 0 for none
	Error     string `json:"error"`         // why the last try failed
	CreatedAt int64  `json:"created_at"`
	TriedAt   int64  `json:"tried_at"`
	EndedAt   int64  `json:"ended_at"`
}

func (c *Client) webhooks(ctx context.Context, method, path string, body, answer any) error {
	call, err := jsonCall(method, pathWebhooks+path, body)
	if err != nil {
		return err
	}

	_, _, err = c.ask(ctx, call, answer)

	return err
}

func webhookPath(id string) string { return "/" + url.PathEscape(id) }

// AddWebhook sets up where the account is told of its tasks: of these events, or of
// all. Its Secret verifies what comes there.
func (c *Client) AddWebhook(ctx context.Context, address string, events ...string) (Webhook, error) {
	var w Webhook

	err := c.webhooks(ctx, http.MethodPost, "", WebhookChange{URL: &address, Events: &events}, &w)

	return w, err
}

// Webhooks lists the account's endpoints, oldest first.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var list struct {
		Data []Webhook `json:"data"`
	}

	err := c.get(ctx, pathWebhooks, nil, &list)

	return list.Data, err
}

// Webhook reads an endpoint.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook

	err := c.get(ctx, pathWebhooks+webhookPath(id), nil, &w)

	return w, err
}

// ChangeWebhook changes an endpoint.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	var w Webhook

	err := c.webhooks(ctx, http.MethodPatch, webhookPath(id), change, &w)

	return w, err
}

// DeleteWebhook takes an endpoint away, and what was to be delivered there.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.webhooks(ctx, http.MethodDelete, webhookPath(id), nil, nil)
}

// WebhookSecret reads what signs an endpoint's deliveries.
func (c *Client) WebhookSecret(ctx context.Context, id string) (WebhookSecret, error) {
	var s WebhookSecret

	err := c.get(ctx, pathWebhooks+webhookPath(id)+"/secret", nil, &s)

	return s, err
}

// RotateWebhookSecret makes a new secret; the old one signs too for as long as keep, in
// whole seconds.
func (c *Client) RotateWebhookSecret(ctx context.Context, id string, keep time.Duration) (WebhookSecret, error) {
	var s WebhookSecret

	err := c.webhooks(ctx, http.MethodPost, webhookPath(id)+"/secret", map[string]int64{"keep_seconds": int64(keep / time.Second)}, &s)

	return s, err
}

// TestWebhook has an endpoint sent an event of the type "webhook.test".
func (c *Client) TestWebhook(ctx context.Context, id string) (Delivery, error) {
	var d Delivery

	err := c.webhooks(ctx, http.MethodPost, webhookPath(id)+"/test", nil, &d)

	return d, err
}

// Deliveries goes through what was sent to an endpoint, newest first: all, or those
// with a status. An error ends it.
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
			if err := c.get(ctx, pathWebhooks+webhookPath(id)+"/deliveries", query, &page); err != nil {
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

// Redeliver has an event that was delivered or given up sent once more.
func (c *Client) Redeliver(ctx context.Context, id, delivery string) (Delivery, error) {
	var d Delivery

	err := c.webhooks(ctx, http.MethodPost, webhookPath(id)+"/deliveries/"+url.PathEscape(delivery)+"/redeliver", nil, &d)

	return d, err
}

// What VerifyWebhook says no with.
var (
	ErrWebhookSignature = errors.New("the webhook's signature is not ours")
	ErrWebhookTime      = errors.New("the webhook is too old, or from the future: its time is more than five minutes away from ours")
)

const webhookTolerance = 5 * time.Minute

// VerifyWebhook reads an event that came to an endpoint as a POST with this header and
// body, if one of the secrets signed it (whsec_..., of AddWebhook or WebhookSecret)
// within five minutes of now; else it is ErrWebhookSignature or ErrWebhookTime. An
// event may come twice: its ID tells. Answer with a status from 200 to 299 when it was
// taken. Event.Task is empty for a "webhook.test".
func VerifyWebhook(header http.Header, body []byte, now time.Time, secrets ...string) (Event, error) {
	id := header.Get("webhook-id")
	at := header.Get("webhook-timestamp")

	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !signedBy(secrets, id+"."+at+".", body, header.Get("webhook-signature")) {
		return Event{}, ErrWebhookSignature
	}

	if away := now.Sub(time.Unix(seconds, 0)).Abs(); away > webhookTolerance {
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

// signedBy says whether one of the signatures is of one of the secrets.
func signedBy(secrets []string, prefix string, body []byte, signatures string) bool {
	good := false

	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			continue
		}

		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(prefix))
		mac.Write(body)
		want := mac.Sum(nil)

		for signature := range strings.FieldsSeq(signatures) {
			text, ours := strings.CutPrefix(signature, "v1,")
			got, err := base64.StdEncoding.DecodeString(text)
			good = ours && err == nil && hmac.Equal(want, got) || good
		}
	}

	return good
}
