package s3

import (
	"context"
	"net"
	"net/http"
	"time"
)

// idleTimeout is how long a connection may transfer no byte. It is long because some stores
// assemble the parts of a large blob before they answer.
const idleTimeout = 2 * time.Minute

// newTransport returns a transport that ends connections on which nothing moves, but never
// ones that are merely slow.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}

	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}

			return idleTimeoutConn{conn}, nil
		},
		ForceAttemptHTTP2:     false, // requests in one HTTP/2 connection would share one flow-control window
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // ranges refer to the stored bytes
	}
}

// idleTimeoutConn is a connection that fails when nothing moves on it: bytes in either
// direction extend the deadline.
type idleTimeoutConn struct{ net.Conn }

func (c idleTimeoutConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Read(p)
}

func (c idleTimeoutConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Write(p)
}
