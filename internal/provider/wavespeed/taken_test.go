package wavespeed

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// What a broken connection says about an order, and what is true of it.
func TestWhetherAnOrderWasTaken(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut in the body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	} {
		p := connect(t, recorded(t, answer), time.Now, map[string]string{"submit_timeout": "300ms"})
		_, err := p.Submit(t.Context(), small())
		if f := failureOf(t, err); f.Taken != provider.Unsure || f.Class != provider.Passing {
			t.Errorf("%s: taken %d, %v; want unsure", name, f.Taken, f)
		}
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	_, err := connect(t, closed.URL, time.Now, nil).Submit(t.Context(), small())
	if f := failureOf(t, err); f.Taken != provider.NotTaken || f.Class != provider.Passing {
		t.Errorf("no connection: taken %d, %v", f.Taken, f)
	}
	s := simulate(t)
	_, err = s.Submit(provider.WithGuard(t.Context(), func() error { return errors.New("the lease is lost") }), small())
	if f := failureOf(t, err); f.Taken != provider.NotTaken || s.sim.Accepted("") != 0 {
		t.Errorf("kept back: taken %d, %d accepted", f.Taken, s.sim.Accepted(""))
	}
}

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"storage": "x", "query_timeout": "5", "silence_timeout": "-1s"} {
		if _, err := readSettings(map[string]string{key: value}); err == nil {
			t.Errorf("setting %s = %q is taken", key, value)
		}
	}
	o := provider.Options{BaseURL: home, Client: http.DefaultClient, Submit: http.DefaultClient, Now: time.Now}
	if _, err := New(o); err == nil {
		t.Error("no key is taken")
	}
	s, err := readSettings(map[string]string{"query_timeout": "5s"})
	if err != nil || s.queryTimeout != 5*time.Second || s.submitTimeout != time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
}
