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

// Clock is a clock that only a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.now = c.now.Add(d)
}

// Server is a simulated supplier on loopback. A test can make it respond in the
// supplier's place.
type Server struct {
	URL      string
	override atomic.Pointer[http.HandlerFunc]
}

// NewServer serves a supplier on loopback until the test ends.
func NewServer(t testing.TB, supplier http.Handler) *Server {
	t.Helper()

	s := &Server{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler := s.override.Load(); handler != nil {
			(*handler)(w, r)
			return
		}

		supplier.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL

	return s
}

// Override handles every further request with handler; nil passes them to the
// supplier again.
func (s *Server) Override(handler http.HandlerFunc) {
	if handler == nil {
		s.override.Store(nil)
		return
	}

	s.override.Store(&handler)
}

// Respond answers every further request with a status and a body.
func (s *Server) Respond(status int, contentType, body string) {
	s.Override(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
}

// Hang makes every further request hang until the test ends.
func (s *Server) Hang(t *testing.T) {
	release := make(chan struct{})

	t.Cleanup(func() { close(release) })
	s.Override(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
}

// LoopbackOptions returns options for a provider that reaches loopback only.
func LoopbackOptions(t testing.TB, address, secret string, now func() time.Time) provider.Options {
	t.Helper()

	client, submit := provider.NewHTTPClients((&net.Dialer{Timeout: 5 * time.Second}).DialContext)
	t.Cleanup(client.CloseIdleConnections)

	return provider.Options{
		Upstream:         "test",
		BaseURL:          address,
		Secret:           secret,
		HTTPClient:       client,
		SubmitHTTPClient: submit,
		Now:              now,
		Log:              slog.New(slog.DiscardHandler),
		Settings:         map[string]string{},
		Folder:           t.TempDir(),
	}
}
