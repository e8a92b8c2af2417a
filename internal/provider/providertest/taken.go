package providertest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/unireel/unireel/internal/provider"
)

// taken is the rule that nothing is ever ordered twice by: what a connection that
// breaks says about an order. Once a byte may have gone out it is unsure; where
// none did, it is not taken.
func taken(t *testing.T, h Harness) {
	if h.At == nil {
		t.Log("its orders go over no wire")
		return
	}

	ctx := patient(t)

	for name, answer := range map[string]http.HandlerFunc{
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
		server := httptest.NewServer(answer)

		_, err := h.At(t, server.URL).Submit(ctx, h.order(1))
		if f := h.failure(t, err); f.Taken != provider.Unsure || f.Class != provider.Passing {
			t.Errorf("%s: taken %d, %v; want unsure", name, f.Taken, f)
		}

		server.Close()
	}

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	_, err := h.At(t, closed.URL).Submit(ctx, h.order(1))
	if f := h.failure(t, err); f.Taken != provider.NotTaken || f.Class != provider.Passing {
		t.Errorf("no connection: taken %d, %v", f.Taken, f)
	}

	came := false
	open := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came = true }))
	_, err = h.At(t, open.URL).Submit(provider.WithGuard(ctx, func() error { return errors.New("the lease is lost") }), h.order(1))
	open.Close()

	if f := h.failure(t, err); f.Taken != provider.NotTaken || came {
		t.Errorf("kept back: taken %d, it came there: %v", f.Taken, came)
	}
}
