package providertest

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Clock is a time that only a test moves.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock starts at a fixed time.
func NewClock() *Clock { return &Clock{at: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.at
}

// Pass moves it on.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.at = c.at.Add(d)
}

// Front is a simulated supplier on loopback, and what stands between it and its
// callers: it can be told to answer in the supplier's place.
type Front struct {
	URL     string
	instead atomic.Pointer[http.HandlerFunc]
}

// Serve puts a supplier on loopback until the test ends.
func Serve(t testing.TB, supplier http.Handler) *Front {
	t.Helper()

	f := &Front{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if do := f.instead.Load(); do != nil {
			(*do)(w, r)
			return
		}

		supplier.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL

	return f
}

// Instead has every further call answered so; nil lets them through again.
func (f *Front) Instead(do http.HandlerFunc) {
	if do == nil {
		f.instead.Store(nil)
		return
	}

	f.instead.Store(&do)
}

// Say has every further call answered with a status and a body.
func (f *Front) Say(status int, kind, body string) {
	f.Instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
}

// Stall has every further call hang until the test ends.
func (f *Front) Stall(t *testing.T) {
	release := make(chan struct{})

	t.Cleanup(func() { close(release) })
	f.Instead(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
}

// Options are those of a provider that reaches loopback only.
func Options(t testing.TB, address, secret string, now func() time.Time) provider.Options {
	t.Helper()

	client, submit := provider.NewClients((&net.Dialer{Timeout: 5 * time.Second}).DialContext)
	t.Cleanup(client.CloseIdleConnections)

	return provider.Options{
		Upstream: "test", BaseURL: address, Secret: secret, Client: client, Submit: submit, Now: now, Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{}, Folder: t.TempDir(),
	}
}
