package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// specRouter finds operations in openapi.yaml.
var specRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := loadSpec()
	if err != nil {
		return nil, err
	}

	return gorillamux.NewRouter(doc)
})

// validateAgainstSpec validates every request and response of a test against
// openapi.yaml: a response must match its description, and a request that is accepted
// must be valid.
func validateAgainstSpec(t testing.TB, next http.Handler) http.Handler {
	router, err := specRouter()
	if err != nil {
		t.Fatal(err)
	}

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
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

		var body bytes.Buffer // as far as the handler read it: all of it, if the request was accepted

		r.Body = teeBody{io.TeeReader(r.Body, &body), r.Body}
		tee := &teeWriter{ResponseWriter: w, status: 200}
		next.ServeHTTP(tee, r)

		in := &openapi3filter.RequestValidationInput{
			Request: sent.Clone(context.Background()), PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
		}
		if in.Request.Header.Get("Content-Type") == "" && body.Len() > 0 {
			in.Request.Header.Set("Content-Type", "application/json") // the default of the handlers
		}

		in.Request.Body = io.NopCloser(&body)
		if tee.status == 200 {
			if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
				t.Errorf("%s %s was accepted, but openapi.yaml forbids it: %v", r.Method, r.URL.Path, err)
			}
		}

		if r.Method == http.MethodHead || tee.status == 304 {
			return
		}

		if code := errorCodeOf(tee.body.Bytes()); tee.status >= 400 && code != "" && !slices.Contains(allowedErrorCodes(route.Operation), code) {
			t.Errorf("%s %s returned the error %s, which is not among the x-errors of openapi.yaml", r.Method, r.URL.Path, code)
		}

		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: tee.status, Header: tee.Header(), Options: in.Options}
		out.SetBodyBytes(tee.body.Bytes())

		if tee.Header().Get("Content-Type") != "application/json" {
			in.Options.ExcludeResponseBody = true // bytes and pages have no schema
		}

		if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
			t.Errorf("%s %s returned %d, which does not match openapi.yaml: %v", r.Method, r.URL.Path, tee.status, err)
		}
	})
}

// teeBody records the bytes read from a request body.
type teeBody struct {
	io.Reader
	io.Closer
}

// allowedErrorCodes returns the codes that an operation lists, and those that every
// operation can return: for its key, an invalid path, and errors of the server.
func allowedErrorCodes(o *openapi3.Operation) []string {
	codes := []string{"invalid_value", "unknown_path", "internal_error", "unavailable", "missing_api_key", "invalid_api_key", "insufficient_scope", "rate_limited"}

	list, _ := o.Extensions["x-errors"].([]any)
	for _, code := range list {
		codes = append(codes, code.(string))
	}

	return codes
}

func errorCodeOf(body []byte) string {
	var answer struct{ Error struct{ Code string } }

	_ = json.Unmarshal(body, &answer)

	return answer.Error.Code
}

// teeWriter records the response.
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

// TestEveryRouteIsDescribed compares the route table with openapi.yaml, in both
// directions.
func TestEveryRouteIsDescribed(t *testing.T) {
	described := map[string]bool{}

	for path, item := range testSpec(t).Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+path] = true
		}
	}

	for _, e := range append(new(API).routes(), new(API).adminRoutes()...) {
		name := e.method + " " + strings.TrimSuffix(e.path, "{$}")
		if !described[name] {
			t.Errorf("openapi.yaml does not describe %s", name)
		}

		delete(described, name)
	}

	for name := range described {
		t.Errorf("openapi.yaml describes %s, which is not a route", name)
	}
}

// TestSpecCheckerDetectsViolations proves that the checker reports a response that does
// not match the spec, an invalid form that is accepted, and an error that is not listed.
func TestSpecCheckerDetectsViolations(t *testing.T) {
	form := "--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nwaves\r\n--x--\r\n"

	problem := `{"error":{"message":"x","type":"x","param":null,"code":"CODE","errors":[{"param":null,"code":"x","message":"x"}],"request_id":"x"}}`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		fails              bool
	}{
		"a wrong response":         {"GET", "/v1/balance", "", 200, `{"object":"balance","granted":1}`, true},
		"a form without its model": {"POST", "/v1/videos", form, 200, `{}`, true},
		"an error not listed":      {"GET", "/v1/videos/x", "", 404, strings.Replace(problem, "CODE", "file_not_found", 1), true},
		"an error listed":          {"GET", "/v1/videos/x", "", 404, strings.Replace(problem, "CODE", "video_not_found", 1), false},
	} {
		spy := &recordingTB{TB: t}
		h := validateAgainstSpec(spy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)

			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.answer))
		}))

		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if c.body != "" {
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		}

		h.ServeHTTP(httptest.NewRecorder(), r)

		if failed := len(spy.failures) > 0; failed != c.fails {
			t.Errorf("%s: the checker reported %q", name, spy.failures)
		}

		if name == "a form without its model" && !strings.Contains(strings.Join(spy.failures, ""), "was accepted") {
			t.Errorf("%s: only the response was checked: %q", name, spy.failures)
		}
	}
}

type recordingTB struct {
	testing.TB
	failures []string
}

func (s *recordingTB) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}
