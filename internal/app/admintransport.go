package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/unireel/unireel/internal/config"
)

// AdminTransport returns a transport to the operator's API of a data folder. It goes
// through the socket of the running server. If no server runs, it locks the folder and
// serves the API within this process; the returned function closes it and releases the
// lock. A folder that is locked although nobody listens on the socket belongs to another
// operator's command or to a server that is starting; AdminTransport waits for both.
func AdminTransport(ctx context.Context, cfg config.Config) (http.RoundTripper, func() error, error) {
	timeout := time.NewTimer(lockTimeout)
	defer timeout.Stop()

	for {
		a, err := build(ctx, cfg, io.Discard, false)
		if err == nil {
			return handlerTransport{a.api.Admin()}, a.close, nil
		}

		if !errors.Is(err, errLocked) {
			return nil, nil, err
		}

		path := folder{path: cfg.Data}.socket()
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return socketTransport(path)
		}

		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-timeout.C:
			return nil, nil, err
		case <-time.After(lockTimeout / 200):
		}
	}
}

// lockTimeout is how long a command waits for the data folder's lock.
const lockTimeout = 10 * time.Second

func socketTransport(path string) (http.RoundTripper, func() error, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{
		DisableKeepAlives:     true,
		ResponseHeaderTimeout: 5 * time.Minute,
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
	}

	return t, func() error { t.CloseIdleConnections(); return nil }, nil
}

// handlerTransport passes requests to a handler without a network.
type handlerTransport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}

	recorder := httptest.NewRecorder()

	serverReq := r.Clone(r.Context())
	if serverReq.Body == nil {
		serverReq.Body = http.NoBody
	}

	serverReq.RequestURI = r.URL.RequestURI()
	t.handler.ServeHTTP(recorder, serverReq)
	resp := recorder.Result()
	resp.Request = r

	return resp, nil
}
