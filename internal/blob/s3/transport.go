package s3

import (
	"context"
	"net"
	"net/http"
	"time"
)

// stalled is how long a connection may move no byte at all: some stores put a
// large blob's parts together before they answer.
const stalled = 2 * time.Minute

// newTransport gives up on whatever does not move, and never on what moves
// slowly.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}

	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}

			return moved{conn}, nil
		},
		ForceAttemptHTTP2:     false, // one connection for all would share one window
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // ranges are of the bytes as they are kept
	}
}

// moved is a connection that ends when nothing moves on it: bytes in either
// direction give it more time.
type moved struct{ net.Conn }

func (m moved) Read(p []byte) (int, error) {
	if err := m.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}

	return m.Conn.Read(p)
}

func (m moved) Write(p []byte) (int, error) {
	if err := m.SetDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}

	return m.Conn.Write(p)
}
