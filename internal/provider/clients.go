package provider

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Dial opens a connection; the whole world of a provider's network.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClients makes the two clients of Options over one dialer (nil: the
// system's). Both ignore proxy variables, since a proxy could replay a request.
// client keeps connections and follows at most three redirects. submit is for
// orders alone: no redirects, no keep-alive, HTTP/1.1, so that nothing in it ever
// sends a request twice, and its connections can tell whether a byte went out.
func NewClients(dial Dial) (client, submit *http.Client) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}

	client = &http.Client{
		Transport: &http.Transport{
			DialContext:           dial,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 60 * time.Second,
			IdleConnTimeout:       60 * time.Second,
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   16,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("more than three redirects")
			}

			return nil
		},
	}
	submit = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}

				return &watchedConn{Conn: conn}, nil
			},
			DisableKeepAlives:     true,
			TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 120 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	return client, submit
}

// ErrUnsent says that a request was kept back before its first byte went out.
var ErrUnsent = errors.New("kept back before the first byte")

type guardKey struct{}

// WithGuard has Submit ask may before it writes: an error keeps the request
// back, and the order is then not taken. dispatch checks its lease with it.
func WithGuard(ctx context.Context, may func() error) context.Context {
	return context.WithValue(ctx, guardKey{}, may)
}

// May asks the guard, for a provider whose orders go over no wire.
func May(ctx context.Context) error {
	if may, ok := ctx.Value(guardKey{}).(func() error); ok {
		return may()
	}

	return nil
}

// Wire watches one request on its way out, to tell whether a byte of it may have
// reached the supplier.
type Wire struct {
	state atomic.Int32
	may   func() error
}

const (
	wireWaiting int32 = iota // no connection yet, or nothing written
	wireTouched              // a byte may have gone out
	wireSealed               // nothing went out, and nothing will
)

// Watch returns a context whose next request over the submit client is watched,
// and its Wire. Over any other client a connection alone counts as touched.
func Watch(ctx context.Context) (context.Context, *Wire) {
	w := &Wire{}
	w.may, _ = ctx.Value(guardKey{}).(func() error)

	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			conn := info.Conn
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn()
			}

			if watched, ok := conn.(*watchedConn); ok {
				watched.wire.Store(w)
				return
			}

			w.state.CompareAndSwap(wireWaiting, wireTouched)
		},
	}), w
}

// Untouched says that no byte of the request went out, and sees to it that none
// will: a write that races with the question is kept back or has been counted.
func (w *Wire) Untouched() bool {
	return w.state.CompareAndSwap(wireWaiting, wireSealed) || w.state.Load() == wireSealed
}

// pass asks whether the next bytes may go out.
func (w *Wire) pass() error {
	if w.state.Load() == wireTouched {
		return nil
	}

	if w.may != nil {
		if err := w.may(); err != nil {
			w.state.CompareAndSwap(wireWaiting, wireSealed)
			return fmt.Errorf("%w: %w", ErrUnsent, err)
		}
	}

	if w.state.CompareAndSwap(wireWaiting, wireTouched) || w.state.Load() == wireTouched {
		return nil
	}

	return ErrUnsent
}

// watchedConn is a connection that asks its Wire before it writes. Until a
// request is given the connection (the TLS handshake) it writes freely. A write
// that breaks is not told: the server may have answered before it read all, and
// net/http would drop that answer; where there is none, the read breaks too.
type watchedConn struct {
	net.Conn
	wire   atomic.Pointer[Wire]
	broken atomic.Bool
}

func (c *watchedConn) Write(b []byte) (int, error) {
	if w := c.wire.Load(); w != nil {
		if err := w.pass(); err != nil {
			return 0, err
		}
	}

	if c.broken.Load() {
		return len(b), nil
	}

	n, err := c.Conn.Write(b)
	if err == nil || c.wire.Load() == nil || errors.Is(err, net.ErrClosed) {
		return n, err
	}

	c.broken.Store(true)

	return len(b), nil
}
