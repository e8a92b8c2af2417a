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

// Operator reaches the operator's API of a data folder: through the running
// server's socket, or, when no server has the folder, by taking the folder's
// lock and answering in this process. close gives it back. While the folder is
// locked and nobody answers at the socket, another operator's command has it, or
// a server that is starting: both are waited for.
func Operator(ctx context.Context, cfg config.Config) (http.RoundTripper, func() error, error) {
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()

	for {
		h, err := build(ctx, cfg, io.Discard, false)
		if err == nil {
			return inProcess{h.api.Admin()}, h.close, nil
		}

		if !errors.Is(err, errLocked) {
			return nil, nil, err
		}

		path := folder{path: cfg.Data}.socket()
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return throughSocket(path)
		}

		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-patience.C:
			return nil, nil, err
		case <-time.After(lockPatience / 200):
		}
	}
}

// lockPatience is how long a command waits for the data folder.
const lockPatience = 10 * time.Second

func throughSocket(path string) (http.RoundTripper, func() error, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{
		DisableKeepAlives: true, ResponseHeaderTimeout: 5 * time.Minute,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
	}

	return t, func() error { t.CloseIdleConnections(); return nil }, nil
}

// inProcess answers requests by a handler, without a network.
type inProcess struct{ handler http.Handler }

// RoundTrip is http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}

	w := httptest.NewRecorder()

	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}

	served.RequestURI = r.URL.RequestURI()
	p.handler.ServeHTTP(w, served)
	resp := w.Result()
	resp.Request = r

	return resp, nil
}
