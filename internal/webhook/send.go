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
	// SendTimeout bounds one try, from connecting to the end of the response.
	SendTimeout      = 15 * time.Second
	maxResponseBytes = 64 << 10      // bytes of a response that are read
	maxRetryAfter    = 4 * time.Hour // the longest Retry-After that is respected
)

// outcome is the result of one try.
type outcome struct {
	status     int           // HTTP status; 0 if there was no response
	reason     string        // why the try failed, for the customer; "" if it was delivered
	retryAfter time.Duration // the endpoint's Retry-After; 0 if there was none
}

// deliver tries one delivery and records the outcome.
func (w *Dispatcher) deliver(ctx context.Context, e store.Endpoint, d store.Delivery) {
	body, secrets, err := w.buildMessage(ctx, e, d)
	if err != nil {
		// This is our fault, not the customer's: the claim expires, and the delivery is tried again.
		w.Log.Error("cannot build a webhook message", "endpoint", e.ID, "event", d.ID, "error", err)
		return
	}

	url := d.URL
	if url == "" {
		url = e.URL
	}

	o := w.send(ctx, url, d.ID, body, secrets)
	if ctx.Err() != nil && o.status == 0 {
		return // shutdown cut the try off: the claim expires, and the delivery is sent again
	}

	if err := w.recordOutcome(context.WithoutCancel(ctx), e, d, o); err != nil {
		w.Log.Warn("cannot record the outcome of a webhook delivery; it will be sent again", "endpoint", e.ID, "event", d.ID, "error", err)
	}
}

// buildMessage returns the body to send and the secrets that sign it.
func (w *Dispatcher) buildMessage(ctx context.Context, e store.Endpoint, d store.Delivery) (body []byte, secrets []string, err error) {
	if body, err = w.Body(ctx, d); err != nil {
		return nil, nil, err
	}

	if e.Kind == store.RequestEndpoint {
		if e, err = w.Store.DefaultEndpoint(ctx, e.Account); err != nil {
			return nil, nil, fmt.Errorf("signing secret of %s: %w", d.Account, err)
		}
	}

	secrets = []string{e.Secret}
	if e.PreviousSecret != "" && w.millis() < e.PreviousSecretUntil {
		secrets = append(secrets, e.PreviousSecret)
	}

	return body, secrets, nil
}

func (w *Dispatcher) send(ctx context.Context, url, id string, body []byte, secrets []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()

	now := w.Now()

	signature, err := Sign(id, now, body, secrets...)
	if err != nil {
		return outcome{reason: "The endpoint's signing secret is invalid: rotate it."}
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return outcome{reason: "The address is not a valid URL."}
	}

	for name, value := range map[string]string{
		"Content-Type":      "application/json",
		"User-Agent":        "Unireel/" + w.Version + " (webhook)",
		"webhook-id":        id,
		"webhook-timestamp": strconv.FormatInt(now.Unix(), 10),
		"webhook-signature": signature,
	} {
		req.Header.Set(name, value)
	}

	resp, err := w.Client.Do(req)
	if err != nil {
		return outcome{reason: connectionError(err)}
	}

	defer func() { _ = resp.Body.Close() }()

	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxResponseBytes)) // only the status counts; reading lets the connection be reused

	o := outcome{status: resp.StatusCode, retryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		o.reason = fmt.Sprintf("The endpoint answered %d; redirects are not followed: set the endpoint to the address that it redirects to.", resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode >= 400:
		o.reason = fmt.Sprintf("The endpoint answered %d; any status from 200 to 299 acknowledges the event.", resp.StatusCode)
	}

	return o
}

// recordOutcome writes the result of a try: the delivery's final state, or when it is
// retried. 410 Gone ends the delivery and disables an endpoint that the account has
// registered. The endpoint's failures and suspension are updated in the same
// transaction as the delivery.
func (w *Dispatcher) recordOutcome(ctx context.Context, e store.Endpoint, d store.Delivery, o outcome) error {
	now := w.millis()
	d.ResponseStatus = int64(o.status)
	d.Error = o.reason
	label := "delivered"
	suspendedUntil := int64(0)

	switch next := now + max(retryDelay(d.Tries), o.retryAfter).Milliseconds(); {
	case o.reason == "":
		d.State = store.DeliveryDelivered
		d.EndedAt = now
	case o.status == http.StatusGone || next > d.GiveUpAt:
		d.State = store.DeliveryFailed
		d.EndedAt = now
		label = "failed"
	default:
		d.DueAt = next
		label = "retry"
	}

	if o.reason != "" {
		suspendedUntil = now + suspendFor(e.Failures+1).Milliseconds()
	}

	w.outcomes.WithLabelValues(label).Inc()

	return w.Store.WriteBackground(ctx, func(tx *store.Tx) error {
		if err := tx.SaveDelivery(ctx, d, suspendedUntil); err != nil {
			return err
		}

		if o.status != http.StatusGone || e.Kind != store.AccountEndpoint {
			return nil
		}

		current, err := tx.Endpoint(ctx, e.Account, e.ID) // 410: the endpoint wants no more events
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}

		if err == nil {
			current.DisabledAt = now
			err = tx.SaveEndpoint(ctx, current, now)
		}

		return err
	})
}

// retryAfter parses a Retry-After header: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}

	return min(max(d, 0), maxRetryAfter)
}

// connectionError explains to the customer why there was no response. It reveals neither
// our own addresses nor the address that the host name resolved to.
func connectionError(err error) string {
	var (
		dnsErr     *net.DNSError
		certErr    *tls.CertificateVerificationError
		recordErr  tls.RecordHeaderError
		netErr     *net.OpError
		timeoutErr interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, fetch.ErrNotAllowed):
		return "The address is not on the public internet, or its port is not 80 or 443."
	case errors.As(err, &dnsErr):
		return "The host name does not resolve."
	case errors.As(err, &certErr), errors.As(err, &recordErr):
		return "The endpoint's TLS certificate is not valid for this address."
	case errors.As(err, &timeoutErr) && timeoutErr.Timeout():
		return fmt.Sprintf("The endpoint did not answer within %d seconds.", int(SendTimeout.Seconds()))
	case errors.As(err, &netErr):
		return "Cannot connect to the endpoint."
	}

	return "The endpoint cannot be reached, or it closed the connection."
}
