package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contractRouter reads openapi.yaml as everybody does who downloads it.
func contractRouter(t testing.TB) routers.Router {
	t.Helper()
	text, err := specJSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// checked holds every exchange of a test against openapi.yaml: an answer must be
// as described, and a request that is taken must be one that may be sent.
func checked(t testing.TB, next http.Handler) http.Handler {
	router := contractRouter(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/admin/") || r.Method == http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		sent := r
		if r.Method == http.MethodHead {
			sent = r.Clone(r.Context())
			sent.Method = http.MethodGet
		}
		route, params, err := router.FindRoute(sent)
		if err != nil { // unknown paths and methods have their own tests
			next.ServeHTTP(w, r)
			return
		}
		var body []byte
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && r.ContentLength > 0 {
			body, _ = io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		tee := &teeWriter{ResponseWriter: w, status: 200}
		next.ServeHTTP(tee, r)
		in := &openapi3filter.RequestValidationInput{
			Request: sent.Clone(context.Background()), PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, ExcludeRequestBody: body == nil},
		}
		in.Request.Body = io.NopCloser(bytes.NewReader(body))
		if tee.status == 200 {
			if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
				t.Errorf("%s %s was taken, but openapi.yaml forbids it: %v", r.Method, r.URL.Path, err)
			}
		}
		if r.Method == http.MethodHead || tee.status == 304 {
			return
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: tee.status, Header: tee.Header(), Options: in.Options}
		out.SetBodyBytes(tee.body.Bytes())
		if tee.Header().Get("Content-Type") != "application/json" {
			in.Options.ExcludeResponseBody = true // bytes and pages have no schema
		}
		if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
			t.Errorf("%s %s answered %d, which is not as openapi.yaml says: %v", r.Method, r.URL.Path, tee.status, err)
		}
	})
}

// teeWriter keeps what is answered.
type teeWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *teeWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *teeWriter) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

func (w *teeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestEveryRouteIsDescribed holds the route table and openapi.yaml to each other.
func TestEveryRouteIsDescribed(t *testing.T) {
	text, err := specJSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}
	for _, e := range new(API).routes() {
		name := e.method + " " + strings.TrimSuffix(e.path, "{$}")
		if !described[name] {
			t.Errorf("openapi.yaml does not describe %s", name)
		}
		delete(described, name)
	}
	for name := range described {
		t.Errorf("openapi.yaml describes %s, which is no route", name)
	}
}

// TestTheCheckerCanFail proves that an answer which is not as described is seen.
func TestTheCheckerCanFail(t *testing.T) {
	spy := &spyTB{TB: t}
	h := checked(spy, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"object":"balance","granted":1}`))
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/balance", nil))
	if !spy.failed {
		t.Error("a wrong answer passed")
	}
}

type spyTB struct {
	testing.TB
	failed bool
}

func (s *spyTB) Errorf(string, ...any) { s.failed = true }
