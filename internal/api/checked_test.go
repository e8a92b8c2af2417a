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

// contractRouter finds operations in openapi.yaml.
var contractRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := readContract()
	if err != nil {
		return nil, err
	}

	return gorillamux.NewRouter(doc)
})

// checked holds every exchange of a test against openapi.yaml: an answer must be
// as described, and a request that is taken must be one that may be sent.
func checked(t testing.TB, next http.Handler) http.Handler {
	router, err := contractRouter()
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

		var body bytes.Buffer // as far as it was read: all of one that is taken

		r.Body = teeBody{io.TeeReader(r.Body, &body), r.Body}
		tee := &teeWriter{ResponseWriter: w, status: 200}
		next.ServeHTTP(tee, r)

		in := &openapi3filter.RequestValidationInput{
			Request: sent.Clone(context.Background()), PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
		}
		if in.Request.Header.Get("Content-Type") == "" && body.Len() > 0 {
			in.Request.Header.Set("Content-Type", "application/json") // as which it is read
		}

		in.Request.Body = io.NopCloser(&body)
		if tee.status == 200 {
			if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
				t.Errorf("%s %s was taken, but openapi.yaml forbids it: %v", r.Method, r.URL.Path, err)
			}
		}

		if r.Method == http.MethodHead || tee.status == 304 {
			return
		}

		if code := codeOf(tee.body.Bytes()); tee.status >= 400 && code != "" && !slices.Contains(mayRefuse(route.Operation), code) {
			t.Errorf("%s %s answered the error %s, which is not among the x-errors of openapi.yaml", r.Method, r.URL.Path, code)
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

// teeBody keeps what is read of a request.
type teeBody struct {
	io.Reader
	io.Closer
}

// mayRefuse are the codes that an operation names, and those that its key, a path
// that is no text and the server bring.
func mayRefuse(o *openapi3.Operation) []string {
	codes := []string{"invalid_value", "unknown_path", "internal_error", "unavailable", "missing_api_key", "invalid_api_key", "insufficient_scope", "rate_limited"}

	list, _ := o.Extensions["x-errors"].([]any)
	for _, code := range list {
		codes = append(codes, code.(string))
	}

	return codes
}

func codeOf(body []byte) string {
	var answer struct{ Error struct{ Code string } }

	_ = json.Unmarshal(body, &answer)

	return answer.Error.Code
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
	described := map[string]bool{}

	for path, item := range contract(t).Paths.Map() {
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
		t.Errorf("openapi.yaml describes %s, which is no route", name)
	}
}

// TestTheCheckerCanFail proves that what is not as described is seen: an answer,
// a form that is taken, and an error that is not named.
func TestTheCheckerCanFail(t *testing.T) {
	form := "--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nwaves\r\n--x--\r\n"

	problem := `{"error":{"message":"x","type":"x","param":null,"code":"CODE","errors":[{"param":null,"code":"x","message":"x"}],"request_id":"x"}}`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		fails              bool
	}{
		"a wrong answer":      {"GET", "/v1/balance", "", 200, `{"object":"balance","granted":1}`, true},
		"a form without what": {"POST", "/v1/videos", form, 200, `{}`, true},
		"an error not named":  {"GET", "/v1/videos/x", "", 404, strings.Replace(problem, "CODE", "file_not_found", 1), true},
		"an error named":      {"GET", "/v1/videos/x", "", 404, strings.Replace(problem, "CODE", "video_not_found", 1), false},
	} {
		spy := &spyTB{TB: t}
		h := checked(spy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

		if failed := len(spy.said) > 0; failed != c.fails {
			t.Errorf("%s: the checker said %q", name, spy.said)
		}

		if name == "a form without what" && !strings.Contains(strings.Join(spy.said, ""), "was taken") {
			t.Errorf("%s: only the answer was looked at: %q", name, spy.said)
		}
	}
}

type spyTB struct {
	testing.TB
	said []string
}

func (s *spyTB) Errorf(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}
