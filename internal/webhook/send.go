package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
)

const (
	// SendTime bounds one try, from the connection to the answer's end.
	SendTime   = 15 * time.Second
	answerMost = 64 << 10      // bytes of an answer that are waited for
	laterMost  = 4 * time.Hour // what a Retry-After is taken for at most
)

// outcome is what a try came to.
type outcome struct {
	status int           // 0 is no answer
	why    string        // it failed, in words for the customer; "" is delivered
	later  time.Duration // what the endpoint asked for; 0 is nothing
}

// deliver tries one delivery and writes down what became of it.
func (c *Courier) deliver(ctx context.Context, e store.Endpoint, d store.Delivery) {
	body, secrets, err := c.message(ctx, e, d)
	if err != nil {
		// Ours to mend, not the customer's: the claim lapses, and it is tried again.
		c.Log.Error("cannot make a webhook", "endpoint", e.ID, "event", d.ID, "error", err)
		return
	}

	url := d.URL
	if url == "" {
		url = e.URL
	}

	o := c.send(ctx, url, d.ID, body, secrets)
	if ctx.Err() != nil && o.status == 0 {
		return // we were in a hurry: it is sent again, by whoever is there then
	}

	if err := c.settle(context.WithoutCancel(ctx), e, d, o); err != nil {
		c.Log.Warn("cannot write what became of a webhook; it is sent again", "endpoint", e.ID, "event", d.ID, "error", err)
	}
}

// message is what is sent, and the secrets that sign it.
func (c *Courier) message(ctx context.Context, e store.Endpoint, d store.Delivery) (body []byte, secrets []string, err error) {
	if body, err = c.Body(ctx, d); err != nil {
		return nil, nil, err
	}

	if e.Kind == store.AskedEndpoint {
		if e, err = c.Store.DefaultEndpoint(ctx, e.Account); err != nil {
			return nil, nil, fmt.Errorf("signing secret of %s: %w", d.Account, err)
		}
	}

	secrets = []string{e.Secret}
	if e.Earlier != "" && c.millis() < e.EarlierUntil {
		secrets = append(secrets, e.Earlier)
	}

	return body, secrets, nil
}

func (c *Courier) send(ctx context.Context, url, id string, body []byte, secrets []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, SendTime)
	defer cancel()

	at := c.Now()

	signature, err := Sign(id, at, body, secrets...)
	if err != nil {
		return outcome{why: "The endpoint's signing secret is broken: rotate it."}
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return outcome{why: "The address is no URL."}
	}

	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Unireel/" + c.Version + " (webhook)",
		"webhook-id": id, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10), "webhook-signature": signature,
	} {
		req.Header.Set(name, value)
	}

	resp, err := c.Client.Do(req)
	if err != nil {
		return outcome{why: trouble(err)}
	}

	defer func() { _ = resp.Body.Close() }()

	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, answerMost)) // what it says is its own business

	o := outcome{status: resp.StatusCode, later: retryAfter(resp.Header.Get("Retry-After"), at)}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		o.why = fmt.Sprintf("The endpoint answered %d; redirects are not followed: give the address that it leads to.", resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode >= 400:
		o.why = fmt.Sprintf("The endpoint answered %d; any status from 200 to 299 says that the event was taken.", resp.StatusCode)
	}

	return o
}

// settle writes down what a try came to: the end, or when the next one is.
func (c *Courier) settle(ctx context.Context, e store.Endpoint, d store.Delivery, o outcome) error {
	now := c.millis()
	d.Status = int64(o.status)
	d.Error = o.why
	word := "delivered"
	parked := int64(0)

	switch next := now + max(pauseAfter(d.Tries), o.later).Milliseconds(); {
	case o.why == "":
		d.State = store.Delivered
		d.EndedAt = now
	case o.status == http.StatusGone || next > d.Until:
		d.State = store.GivenUp
		d.EndedAt = now
		word = "failed"
	default:
		d.Due = next
		word = "again"
	}

	if o.why != "" {
		parked = now + parkedFor(e.Failures+1).Milliseconds()
	}

	c.outcomes.WithLabelValues(word).Inc()

	return c.Store.WriteBackground(ctx, func(tx *store.Tx) error {
		if err := tx.SaveDelivery(ctx, d, parked); err != nil {
			return err
		}

		if o.status != http.StatusGone || e.Kind != store.SetEndpoint {
			return nil
		}

		fresh, err := tx.Endpoint(ctx, e.Account, e.ID) // 410: it wants nothing any more
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}

		if err == nil {
			fresh.DisabledAt = now
			err = tx.SaveEndpoint(ctx, fresh, now)
		}

		return err
	})
}

// retryAfter reads a Retry-After: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}

	return min(max(d, 0), laterMost)
}

// trouble says in plain words why there was no answer: nothing of ours, and no
// address that a name led to.
func trouble(err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		network     *net.OpError
		timeout     interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, fetch.ErrNotAllowed):
		return "The address is not on the public internet, or at a port other than 80 and 443."
	case errors.As(err, &dns):
		return "The host's name leads nowhere."
	case errors.As(err, &certificate), errors.As(err, &record):
		return "The endpoint's TLS certificate is not good for this address."
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("The endpoint did not answer within %d seconds.", int(SendTime.Seconds()))
	case errors.As(err, &network):
		return "There is no connection to the endpoint."
	}

	return "The endpoint cannot be reached, or broke off."
}
