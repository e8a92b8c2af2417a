package providertest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/unireel/unireel/internal/provider"
)

// brokenConnection tests the rule that prevents double submissions: what a broken
// connection says about a submission. Once a byte may have been sent, its
// acceptance is unknown; if no byte was sent, it was not accepted.
func brokenConnection(t *testing.T, h Harness) {
	if h.ConnectTo == nil {
		t.Log("it submits without a network")
		return
	}

	ctx := suiteContext(t)

	for name, respond := range map[string]http.HandlerFunc{
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut in the body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	} {
		server := httptest.NewServer(respond)

		_, err := h.ConnectTo(t, server.URL).Submit(ctx, h.variant(1))
		if f := h.asFailure(t, err); f.Acceptance != provider.AcceptanceUnknown || f.Class != provider.Transient {
			t.Errorf("%s: acceptance %d, %v; want unknown", name, f.Acceptance, f)
		}

		server.Close()
	}

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	_, err := h.ConnectTo(t, closed.URL).Submit(ctx, h.variant(1))
	if f := h.asFailure(t, err); f.Acceptance != provider.NotAccepted || f.Class != provider.Transient {
		t.Errorf("no connection: acceptance %d, %v; want not accepted", f.Acceptance, f)
	}

	arrived := false
	open := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived = true }))
	_, err = h.ConnectTo(t, open.URL).Submit(provider.WithSendCheck(ctx, func() error { return errors.New("the lease is lost") }), h.variant(1))
	open.Close()

	if f := h.asFailure(t, err); f.Acceptance != provider.NotAccepted || arrived {
		t.Errorf("stopped by the send check: acceptance %d, request arrived: %v", f.Acceptance, arrived)
	}
}
