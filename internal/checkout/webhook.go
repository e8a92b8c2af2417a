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

// Bounds of what an account may set up.
const (
	maxEndpoints = 20
	keepMost     = 7 * 24 * time.Hour // that an old secret may still sign
)

// hookEvents are the events that customers can be told of.
func hookEvents() (list []string) {
	for _, s := range task.States() {
		if name := "video." + s.Status(); !slices.Contains(list, name) {
			list = append(list, name)
		}
	}

	return list
}

// Endpoint is what a customer wants of an endpoint; nil leaves a field as it is.
type Endpoint struct {
	URL     *string
	Events  *[]string // none is all
	Enabled *bool
}

// AddEndpoint sets up where an account is told of its tasks. Its signing secret is
// new.
func (c *Checkout) AddEndpoint(ctx context.Context, account string, o Endpoint) (store.Endpoint, error) {
	e := store.Endpoint{ID: c.NewID("hook"), Account: account, Kind: store.SetEndpoint, CreatedAt: c.millis()}
	if o.URL == nil {
		return e, fault.New(fault.CodeMissingField, "url", "Say where events are to be sent: an http(s) URL.")
	}

	if err := c.edit(&e, o); err != nil {
		return e, err
	}

	var err error
	if e.Secret, err = c.newSecret(); err != nil {
		return e, err
	}

	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		there, err := tx.Endpoints(ctx, account)
		if err != nil {
			return err
		}

		if len(there) >= maxEndpoints {
			return fault.New(fault.CodeConflict, "url", fmt.Sprintf("This account has %d endpoints, the most that it may; delete one first.", maxEndpoints))
		}

		if err := tx.InsertEndpoint(ctx, e); err != nil {
			return err
		}

		return tx.SaveEndpoint(ctx, e, c.millis()) // disabled, if it is wished so
	})

	return e, explain(err)
}

// edit makes an endpoint what is wished, or says what is wrong with that.
func (c *Checkout) edit(e *store.Endpoint, o Endpoint) error {
	var faults []fault.Fault

	if o.URL != nil {
		e.URL = *o.URL
		if f := c.checkHook("url", e.URL); f != nil {
			faults = append(faults, *f)
		}
	}

	if o.Events != nil {
		e.Events = *o.Events
		for i, name := range e.Events {
			if param := fmt.Sprintf("events[%d]", i); !slices.Contains(hookEvents(), name) {
				faults = append(faults, *wrong(param, "There is no event of this name; there are %s.", strings.Join(hookEvents(), ", ")))
			} else if slices.Index(e.Events, name) != i {
				faults = append(faults, *wrong(param, "This event stands twice."))
			}
		}
	}

	switch {
	case o.Enabled == nil:
	case *o.Enabled:
		e.DisabledAt = 0
		e.Failures = 0
		e.ParkedUntil = 0
	case e.DisabledAt == 0:
		e.DisabledAt = c.millis()
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	return nil
}

func (c *Checkout) checkHook(param, address string) *fault.Fault {
	if len(address) > catalog.MaxWebhook || !catalog.IsText(address) {
		return wrong(param, "A webhook's URL has at most %d bytes.", catalog.MaxWebhook)
	}

	if f := c.Fetch.Check(address); f != nil { // its first sentence is the trouble, the rest is about files
		trouble, _, _ := strings.Cut(f.Detail, ". ")
		return wrong(param, "No webhook can be sent there. %s. Give an http or https URL on the public internet, at port 80 or 443.", strings.TrimSuffix(trouble, "."))
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

// ChangeEndpoint changes what is wished of an endpoint.
func (c *Checkout) ChangeEndpoint(ctx context.Context, account, id string, o Endpoint) (store.Endpoint, error) {
	return c.changeEndpoint(ctx, account, id, func(e *store.Endpoint) error { return c.edit(e, o) })
}

func (c *Checkout) changeEndpoint(ctx context.Context, account, id string, edit func(*store.Endpoint) error) (e store.Endpoint, err error) {
	now := c.millis()
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if e, err = find(ctx, tx.Reader, account, id); err != nil {
			return err
		}

		if err = edit(&e); err != nil {
			return err
		}

		return tx.SaveEndpoint(ctx, e, now)
	})

	return e, explain(err)
}

// DefaultEndpoint is the id under which customers find what signs for the
// webhook_url of their requests.
const DefaultEndpoint = "default"

// find reads an account's endpoint, or the one that signs for its requests.
func find(ctx context.Context, r store.Reader, account, id string) (e store.Endpoint, err error) {
	if id == DefaultEndpoint {
		e, err = r.DefaultEndpoint(ctx, account)
	} else {
		e, err = r.Endpoint(ctx, account, id)
	}

	if errors.Is(err, store.ErrNotFound) || err == nil && e.Kind == store.AskedEndpoint {
		return e, NoEndpoint()
	}

	return e, err
}

// Endpoint reads an account's endpoint, or DefaultEndpoint, which is made the first
// time that it is asked for.
func (c *Checkout) Endpoint(ctx context.Context, account, id string) (store.Endpoint, error) {
	e, err := find(ctx, c.Store.Reader, account, id)

	var none *fault.Fault
	if id != DefaultEndpoint || !errors.As(err, &none) {
		return e, explain(err)
	}

	signer, err := c.signer(account)
	if err != nil {
		return e, err
	}

	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if err = tx.InsertEndpoint(ctx, signer); err == nil {
			e, err = tx.DefaultEndpoint(ctx, account)
		}

		return err
	})

	return e, explain(err)
}

// signer drafts an account's DefaultEndpoint.
func (c *Checkout) signer(account string) (store.Endpoint, error) {
	secret, err := c.newSecret()
	return store.Endpoint{ID: c.NewID("hook"), Account: account, Kind: store.DefaultEndpoint, Secret: secret, CreatedAt: c.millis()}, err
}

// RotateSecret gives an endpoint another signing secret; the old one signs too for as
// long as keep.
func (c *Checkout) RotateSecret(ctx context.Context, account, id string, keep time.Duration) (store.Endpoint, error) {
	if keep < 0 || keep > keepMost {
		return store.Endpoint{}, wrong("keep_seconds", "The old secret can sign on for 0 to %d seconds.", int(keepMost.Seconds()))
	}

	secret, err := c.newSecret()
	if err != nil {
		return store.Endpoint{}, err
	}

	if _, err := c.Endpoint(ctx, account, id); err != nil {
		return store.Endpoint{}, err
	}

	return c.changeEndpoint(ctx, account, id, func(e *store.Endpoint) error {
		e.Earlier = e.Secret
		e.EarlierUntil = c.millis() + keep.Milliseconds()

		e.Secret = secret
		if keep == 0 {
			e.Earlier = ""
			e.EarlierUntil = 0
		}

		return nil
	})
}

// RemoveEndpoint takes an endpoint away, and what was to be delivered there.
func (c *Checkout) RemoveEndpoint(ctx context.Context, account, id string) error {
	return explain(c.Store.Write(ctx, func(tx *store.Tx) error {
		there, err := tx.DeleteEndpoint(ctx, account, id)
		if err == nil && !there {
			return NoEndpoint()
		}

		return err
	}))
}

// TestEndpoint has an endpoint told of a test, in the way of every event.
func (c *Checkout) TestEndpoint(ctx context.Context, account, id string) (store.Delivery, error) {
	event := strings.TrimPrefix(c.NewID("evt"), "evt_")
	d := store.Delivery{ID: "evt_" + event + "_test", Account: account, Event: "webhook.test", CreatedAt: c.millis()}
	err := c.Store.Write(ctx, func(tx *store.Tx) error {
		e, err := find(ctx, tx.Reader, account, id)
		switch {
		case err != nil:
			return err
		case e.Kind == store.DefaultEndpoint:
			return NoEndpoint()
		case e.DisabledAt > 0:
			return fault.New(fault.CodeConflict, "id", "This endpoint is disabled; enable it first.")
		}

		d.Endpoint = e.ID
		if err := tx.InsertDelivery(ctx, d); err != nil {
			return err
		}

		d, err = tx.Delivery(ctx, account, e.ID, d.ID)

		return err
	})

	return d, explain(err)
}

// Redeliver has a delivery that ended tried once more, as a new one is.
func (c *Checkout) Redeliver(ctx context.Context, account, endpoint, id string) (d store.Delivery, err error) {
	now := c.millis()
	err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if d, err = c.delivery(ctx, tx.Reader, account, endpoint, id); err != nil {
			return err
		}

		again, err := tx.Redeliver(ctx, d.Endpoint, d.ID, now)
		if err == nil && !again {
			return fault.New(fault.CodeConflict, "delivery", "This delivery has not ended: it is tried again by itself.")
		}

		if err == nil {
			d, err = tx.Delivery(ctx, account, d.Endpoint, d.ID)
		}

		return err
	})

	return d, explain(err)
}

func (c *Checkout) delivery(ctx context.Context, r store.Reader, account, endpoint, id string) (store.Delivery, error) {
	if endpoint == DefaultEndpoint {
		endpoint = ""
	}

	d, err := r.Delivery(ctx, account, endpoint, id)
	if errors.Is(err, store.ErrNotFound) {
		return d, fault.New(fault.CodeNoDelivery, "delivery", "There is no delivery of this id here; deliveries are forgotten some time after their end.")
	}

	return d, err
}

// NoEndpoint is what every question about an endpoint of somebody else, or of nobody,
// is answered with.
func NoEndpoint() *fault.Fault {
	return fault.New(fault.CodeNoEndpoint, "id", "This account has no webhook endpoint with this id. GET /v1/webhooks lists those it has.")
}

// hook is where a request wants to be told, or nil.
func (c *Checkout) hook(who Caller, address string) (*store.Hook, error) {
	if address == "" {
		return nil, nil
	}

	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("webhook_url: %w", err)
	}

	signer, err := c.signer(who.Account)
	if err != nil {
		return nil, err
	}

	origin := store.Endpoint{ID: c.NewID("hook"), Account: who.Account, Kind: store.AskedEndpoint, URL: u.Scheme + "://" + strings.ToLower(u.Host), CreatedAt: c.millis()}

	return &store.Hook{Origin: origin, Signer: signer, URL: address}, nil
}
