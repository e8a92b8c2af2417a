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

// Dial opens a connection. It is the only way in which a provider reaches the
// network.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewHTTPClients makes the two clients of Options over one dialer (nil: the
// system's). Both ignore proxy variables, since a proxy could replay a request.
// client reuses connections and follows at most three redirects. submit is for
// submissions only: no redirects, no keep-alive, HTTP/1.1, so that nothing in it
// ever sends a request twice. Its connections record whether a byte was sent.
func NewHTTPClients(dial Dial) (client, submit *http.Client) {
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

				return &trackedConn{Conn: conn}, nil
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

// ErrNotSent says that a request was stopped before its first byte was sent.
var ErrNotSent = errors.New("stopped before the first byte was sent")

type sendCheckKey struct{}

// WithSendCheck makes Submit call check before the first byte is written. An error
// stops the request, which is then not accepted. dispatch checks its lease this
// way.
func WithSendCheck(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, sendCheckKey{}, check)
}

// CheckSend runs the check, for a provider that submits without a network.
func CheckSend(ctx context.Context) error {
	if check, ok := ctx.Value(sendCheckKey{}).(func() error); ok {
		return check()
	}

	return nil
}

// WriteTracker follows one request to find out whether a byte of it may have
// reached the supplier.
type WriteTracker struct {
	state     atomic.Int32
	sendCheck func() error
}

const (
	nothingWritten int32 = iota // no connection yet, or nothing written
	writeStarted                // a byte may have been sent
	writeBlocked                // nothing was sent, and nothing will be
)

// TrackWrites returns a context whose next request over the submit client is
// tracked, and its tracker. Over any other client, getting a connection already
// counts as having sent something.
func TrackWrites(ctx context.Context) (context.Context, *WriteTracker) {
	w := &WriteTracker{}
	w.sendCheck, _ = ctx.Value(sendCheckKey{}).(func() error)

	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			conn := info.Conn
			if tlsConn, ok := conn.(*tls.Conn); ok {
				conn = tlsConn.NetConn()
			}

			if tracked, ok := conn.(*trackedConn); ok {
				tracked.tracker.Store(w)
				return
			}

			w.state.CompareAndSwap(nothingWritten, writeStarted)
		},
	}), w
}

// NothingSent reports that no byte of the request was sent, and makes sure that
// none will be. A write that races with this call is either stopped or counted:
// the one compare-and-swap from nothingWritten decides which came first.
func (w *WriteTracker) NothingSent() bool {
	return w.state.CompareAndSwap(nothingWritten, writeBlocked) || w.state.Load() == writeBlocked
}

// beforeWrite returns an error when the next bytes must not be sent.
func (w *WriteTracker) beforeWrite() error {
	if w.state.Load() == writeStarted {
		return nil
	}

	if w.sendCheck != nil {
		if err := w.sendCheck(); err != nil {
			w.state.CompareAndSwap(nothingWritten, writeBlocked)
			return fmt.Errorf("%w: %w", ErrNotSent, err)
		}
	}

	// From here on NothingSent returns false. If NothingSent came first, the state is
	// writeBlocked and this write must not happen.
	if w.state.CompareAndSwap(nothingWritten, writeStarted) || w.state.Load() == writeStarted {
		return nil
	}

	return ErrNotSent
}

// trackedConn is a connection that asks its tracker before each write. Before a
// request uses the connection (during the TLS handshake) it writes freely. A
// failed write is not reported: the server may have responded before it read
// everything, and net/http would drop that response. If there is no response, the
// read fails too.
type trackedConn struct {
	net.Conn
	tracker     atomic.Pointer[WriteTracker]
	writeFailed atomic.Bool
}

func (c *trackedConn) Write(b []byte) (int, error) {
	if w := c.tracker.Load(); w != nil {
		if err := w.beforeWrite(); err != nil {
			return 0, err
		}
	}

	if c.writeFailed.Load() {
		return len(b), nil
	}

	n, err := c.Conn.Write(b)
	if err == nil || c.tracker.Load() == nil || errors.Is(err, net.ErrClosed) {
		return n, err
	}

	c.writeFailed.Store(true)

	return len(b), nil
}
