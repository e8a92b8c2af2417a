package checkout

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Limits of an account's webhook endpoints.
const (
	maxEndpoints     = 20
	maxSecretOverlap = 7 * 24 * time.Hour // how long an old secret may still sign
)

// eventTypes returns the events that an endpoint can receive.
func eventTypes() (list []string) {
	for _, s := range task.States() {
		if name := "video." + s.Status(); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}

	return list
}

// EndpointSettings has the settings of an endpoint; nil leaves a field unchanged.
type EndpointSettings struct {
	URL     *string
	Events  *[]string // empty: all
	Enabled *bool
}

// CreateEndpoint creates an endpoint that receives an account's events, with a new signing
// secret.
func (c *Checkout) CreateEndpoint(ctx context.Context, account string, settings EndpointSettings) (store.Endpoint, error) {
	e := store.Endpoint{ID: c.NewID("hook"), Account: account, Kind: store.AccountEndpoint, CreatedAt: c.millis()}
	if settings.URL == nil {
		return e, fault.New(fault.CodeMissingField, "url", "Give the http(s) URL that events are to be sent to.")
	}

	if err := c.applySettings(&e, settings); err != nil {
		return e, err
	}

	var err error
	if e.Secret, err = c.newSecret(); err != nil {
		return e, err
	}

	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		existing, err := tx.Endpoints(ctx, account)
		if err != nil {
			return err
		}

		if len(existing) >= maxEndpoints {
			return fault.New(fault.CodeConflictingFields, "url", fmt.Sprintf("This account already has %d endpoints, the maximum; delete one first.", maxEndpoints))
		}

		if err := tx.InsertEndpoint(ctx, e); err != nil {
			return err
		}

		return tx.SaveEndpoint(ctx, e, c.millis()) // InsertEndpoint does not store DisabledAt
	})

	return e, toFault(err)
}

// applySettings changes an endpoint as requested, or returns a fault that lists every
// invalid setting.
func (c *Checkout) applySettings(e *store.Endpoint, settings EndpointSettings) error {
	var faults []fault.Fault

	if settings.URL != nil {
		e.URL = *settings.URL
		if f := c.checkWebhookURL("url", e.URL); f != nil {
			faults = append(faults, *f)
		}
	}

	if settings.Events != nil {
		e.Events = *settings.Events
		for i, name := range e.Events {
			if param := fmt.Sprintf("events[%d]", i); !slices.Contains(eventTypes(), name) {
				faults = append(faults, *invalid(param, "There is no event with this name; the events are %s.", strings.Join(eventTypes(), ", ")))
			} else if slices.Index(e.Events, name) != i {
				faults = append(faults, *invalid(param, "This event is listed twice; remove one."))
			}
		}
	}

	switch {
	case settings.Enabled == nil:
	case *settings.Enabled:
		e.DisabledAt = 0
		e.Failures = 0
		e.SuspendedUntil = 0
	case e.DisabledAt == 0:
		e.DisabledAt = c.millis()
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	return nil
}

func (c *Checkout) checkWebhookURL(param, address string) *fault.Fault {
	if len(address) > catalog.MaxWebhookURL || !catalog.IsText(address) {
		return invalid(param, "A webhook's URL has at most %d bytes.", catalog.MaxWebhookURL)
	}

	if f := c.Fetch.Check(address); f != nil { // its first sentence is the problem, the rest is about references
		problem, _, _ := strings.Cut(f.Detail, ". ")
		return invalid(param, "No webhook can be sent to this URL. %s. Give an http or https URL on the public internet, with port 80 or 443.", strings.TrimSuffix(problem, "."))
	}

	return nil
}

func (c *Checkout) newSecret() (string, error) {
	var random [32]byte
	if _, err := io.ReadFull(c.Random, random[:]); err != nil {
		return "", fmt.Errorf("make secret: %w", err)
	}

	return "whsec_" + base64.StdEncoding.EncodeToString(random[:]), nil
}

// UpdateEndpoint changes the settings of an endpoint.
func (c *Checkout) UpdateEndpoint(ctx context.Context, account, id string, settings EndpointSettings) (store.Endpoint, error) {
	return c.updateEndpoint(ctx, account, id, func(e *store.Endpoint) error { return c.applySettings(e, settings) })
}

func (c *Checkout) updateEndpoint(ctx context.Context, account, id string, edit func(*store.Endpoint) error) (e store.Endpoint, err error) {
	now := c.millis()
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if e, err = findEndpoint(ctx, tx.Reader, account, id); err != nil {
			return err
		}

		if err = edit(&e); err != nil {
			return err
		}

		return tx.SaveEndpoint(ctx, e, now)
	})

	return e, toFault(err)
}

// DefaultEndpoint is the id of the endpoint whose secret signs events that are sent to the
// webhook_url of a request.
const DefaultEndpoint = "default"

// findEndpoint reads an account's endpoint; id may be DefaultEndpoint. The internal
// endpoints for the origins of webhook_urls are not found.
func findEndpoint(ctx context.Context, r store.Reader, account, id string) (e store.Endpoint, err error) {
	if id == DefaultEndpoint {
		e, err = r.DefaultEndpoint(ctx, account)
	} else {
		e, err = r.Endpoint(ctx, account, id)
	}

	if errors.Is(err, store.ErrNotFound) || err == nil && e.Kind == store.RequestEndpoint {
		return e, EndpointNotFound()
	}

	return e, err
}

// Endpoint reads an account's endpoint. DefaultEndpoint is created when it is first read.
func (c *Checkout) Endpoint(ctx context.Context, account, id string) (store.Endpoint, error) {
	e, err := findEndpoint(ctx, c.Store.Reader, account, id)

	var notFound *fault.Fault
	if id != DefaultEndpoint || !errors.As(err, &notFound) {
		return e, toFault(err)
	}

	signer, err := c.newDefaultEndpoint(account)
	if err != nil {
		return e, err
	}

	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if err = tx.InsertEndpoint(ctx, signer); err == nil {
			e, err = tx.DefaultEndpoint(ctx, account)
		}

		return err
	})

	return e, toFault(err)
}

// newDefaultEndpoint returns an account's DefaultEndpoint with a new secret, without
// writing it.
func (c *Checkout) newDefaultEndpoint(account string) (store.Endpoint, error) {
	secret, err := c.newSecret()
	return store.Endpoint{ID: c.NewID("hook"), Account: account, Kind: store.DefaultEndpoint, Secret: secret, CreatedAt: c.millis()}, err
}

// RotateSecret gives an endpoint a new signing secret. For the duration of overlap the old
// secret signs too.
func (c *Checkout) RotateSecret(ctx context.Context, account, id string, overlap time.Duration) (store.Endpoint, error) {
	if overlap < 0 || overlap > maxSecretOverlap {
		return store.Endpoint{}, invalid("keep_seconds", "The old secret can stay valid for 0 to %d seconds.", int(maxSecretOverlap.Seconds()))
	}

	secret, err := c.newSecret()
	if err != nil {
		return store.Endpoint{}, err
	}

	// Reading the default endpoint creates it if it does not exist yet.
	if _, err := c.Endpoint(ctx, account, id); err != nil {
		return store.Endpoint{}, err
	}

	return c.updateEndpoint(ctx, account, id, func(e *store.Endpoint) error {
		e.PreviousSecret = e.Secret
		e.PreviousSecretUntil = c.millis() + overlap.Milliseconds()
		e.Secret = secret

		if overlap == 0 {
			e.PreviousSecret = ""
			e.PreviousSecretUntil = 0
		}

		return nil
	})
}

// DeleteEndpoint deletes an endpoint and its pending deliveries.
func (c *Checkout) DeleteEndpoint(ctx context.Context, account, id string) error {
	return toFault(c.Store.Write(ctx, func(tx *store.Tx) error {
		existed, err := tx.DeleteEndpoint(ctx, account, id)
		if err == nil && !existed {
			return EndpointNotFound()
		}

		return err
	}))
}

// SendTestEvent sends a test event to an endpoint, in the same way as every other event.
func (c *Checkout) SendTestEvent(ctx context.Context, account, id string) (store.Delivery, error) {
	event := strings.TrimPrefix(c.NewID("evt"), "evt_")
	d := store.Delivery{ID: "evt_" + event + "_test", Account: account, Event: "webhook.test", CreatedAt: c.millis()}
	err := c.Store.Write(ctx, func(tx *store.Tx) error {
		e, err := findEndpoint(ctx, tx.Reader, account, id)
		switch {
		case err != nil:
			return err
		case e.Kind == store.DefaultEndpoint:
			return EndpointNotFound()
		case e.DisabledAt > 0:
			return fault.New(fault.CodeConflictingFields, "id", "This endpoint is disabled; enable it first.")
		}

		d.Endpoint = e.ID
		if err := tx.InsertDelivery(ctx, d); err != nil {
			return err
		}

		d, err = tx.Delivery(ctx, account, e.ID, d.ID)

		return err
	})

	return d, toFault(err)
}

// Redeliver tries a finished delivery again, like a new one.
func (c *Checkout) Redeliver(ctx context.Context, account, endpoint, id string) (d store.Delivery, err error) {
	now := c.millis()
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if d, err = c.findDelivery(ctx, tx.Reader, account, endpoint, id); err != nil {
			return err
		}

		requeued, err := tx.Redeliver(ctx, d.Endpoint, d.ID, now)
		if err == nil && !requeued {
			return fault.New(fault.CodeConflictingFields, "delivery", "This delivery is not finished yet: it is retried automatically.")
		}

		if err == nil {
			d, err = tx.Delivery(ctx, account, d.Endpoint, d.ID)
		}

		return err
	})

	return d, toFault(err)
}

func (c *Checkout) findDelivery(ctx context.Context, r store.Reader, account, endpoint, id string) (store.Delivery, error) {
	if endpoint == DefaultEndpoint {
		endpoint = ""
	}

	d, err := r.Delivery(ctx, account, endpoint, id)
	if errors.Is(err, store.ErrNotFound) {
		return d, fault.New(fault.CodeDeliveryNotFound, "delivery", "There is no delivery with this id here; deliveries are deleted some time after they end.")
	}

	return d, err
}

// EndpointNotFound is the fault for an endpoint that does not exist or belongs to another
// account. The two cases are indistinguishable for the caller.
func EndpointNotFound() *fault.Fault {
	return fault.New(fault.CodeWebhookNotFound, "id", "This account has no webhook endpoint with this id. GET /v1/webhooks lists those it has.")
}

// newHook returns the webhook of a request with a webhook_url, or nil without one. All
// requests to one origin share the origin's endpoint, so that its failures are counted
// together; the account's default endpoint signs.
func (c *Checkout) newHook(caller Caller, address string) (*store.TaskWebhook, error) {
	if address == "" {
		return nil, nil
	}

	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("webhook_url: %w", err)
	}

	signer, err := c.newDefaultEndpoint(caller.Account)
	if err != nil {
		return nil, err
	}

	origin := store.Endpoint{
		ID:        c.NewID("hook"),
		Account:   caller.Account,
		Kind:      store.RequestEndpoint,
		URL:       u.Scheme + "://" + strings.ToLower(u.Host),
		CreatedAt: c.millis(),
	}

	return &store.TaskWebhook{Origin: origin, Signer: signer, URL: address}, nil
}
