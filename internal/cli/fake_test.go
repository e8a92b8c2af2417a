package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-ur-test-key-0123"

// fakeServer implements enough of the API to test what the command line sends and how it
// handles responses.
type fakeServer struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   []string          // of creates that created a task
	byKey    map[string]string // Idempotency-Key -> task
	keys     []string          // of all creates
	uploads  map[string][]byte
	taskJSON func(id string) string // returns a task's JSON without the id
	hold     string                 // the hold in estimates
	calls    []string
	onGet    func(id string) // called before a task is returned
}

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()

	f := &fakeServer{byKey: map[string]string{}, uploads: map[string][]byte{}, hold: "0.50"}
	f.taskJSON = func(string) string {
		return `"status":"completed","progress":100,"model":"m","video_url":"http://x/v.mp4","usage":{"billed_seconds":5,"cost":"0.50","currency":"USD"}`
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/video/generations", f.create)
	mux.HandleFunc("POST /v1/video/generations/estimate", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"hold":%q,"currency":"USD"}`, f.hold)
	})
	mux.HandleFunc("GET /v1/videos/{id}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		onGet := f.onGet
		end := f.taskJSON
		f.mu.Unlock()

		if onGet != nil {
			onGet(r.PathValue("id"))
		}

		fmt.Fprintf(w, `{"id":%q,%s}`, r.PathValue("id"), end(r.PathValue("id")))
	})
	mux.HandleFunc("GET /v1/videos", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"data":[{"id":"task_1","status":"queued","model":"m"},{"id":"task_2","status":"queued","model":"m"}],"has_more":false}`)
	})
	mux.HandleFunc("POST /v1/videos/{id}/cancel", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"status":"cancelled"}`, r.PathValue("id"))
	})
	mux.HandleFunc("DELETE /v1/videos/{id}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"deleted":true}`) })
	mux.HandleFunc("GET /v1/videos/{id}/content", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "v.mp4", time.Time{}, strings.NewReader("video of "+r.PathValue("id")))
	})
	mux.HandleFunc("POST /v1/files", f.upload)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":"m1","modes":[{"mode":"r2v"}],"seconds":{"min":2,"max":10},"sizes":["1280*720"],"price":{"per_second":"0.10","currency":"USD"}}]}`)
	})
	mux.HandleFunc("GET /v1/balance", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"granted":"100.00","spent":"1.00","held":"0.50","free":"98.50","currency":"USD"}`)
	})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		f.mu.Unlock()

		if r.Header.Get("Authorization") != "Bearer "+testKey {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":{"message":"The API key is unknown.","code":"invalid_api_key","param":null}}`)

			return
		}

		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)

	return f
}

func (f *fakeServer) create(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)

	var request struct{ Model string }

	_ = json.Unmarshal(body, &request)
	if request.Model == "wrong" {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"error":{"message":"No such model.","code":"unknown_model","param":"model","errors":[{"param":"model","code":"unknown_model","message":"No such model."},{"param":"size","code":"invalid_value","message":"Not a size."}]}}`)

		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	key := r.Header.Get("Idempotency-Key")
	f.keys = append(f.keys, key)

	id, again := f.byKey[key]
	if !again {
		id = fmt.Sprintf("task_%x", sha256.Sum256([]byte(key)))[:12]
		f.byKey[key] = id
		f.bodies = append(f.bodies, string(body))
	}

	fmt.Fprintf(w, `{"id":%q,"status":"queued","warnings":[{"code":"c","message":"Mind the gap"}]}`, id)
}

func (f *fakeServer) upload(w http.ResponseWriter, r *http.Request) {
	file, header, err := r.FormFile("file")
	if err != nil {
		w.WriteHeader(400)
		return
	}

	content, _ := io.ReadAll(file)

	f.mu.Lock()
	defer f.mu.Unlock()

	id := "file_" + header.Filename
	f.uploads[id] = content
	fmt.Fprintf(w, `{"id":%q}`, id)
}

// setTask changes the tasks that the server returns from now on.
func (f *fakeServer) setTask(taskJSON func(string) string, onGet func(string)) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.taskJSON = taskJSON
	f.onGet = onGet
}

// taskCount returns the number of tasks.
func (f *fakeServer) taskCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()

	return len(f.bodies)
}

func (f *fakeServer) callLog() string {
	f.mu.Lock()
	defer f.mu.Unlock()

	return strings.Join(f.calls, "\n")
}

// result is the outcome of a command.
type result struct {
	code     int
	out, err string
}

// isolateEnv hides the host's own configuration from the test.
func isolateEnv(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Chdir(folder)

	for _, name := range []string{"UNIREEL_URL", "UNIREEL_API_KEY", "UNIREEL_DATA", "UNIREEL_CONFIG", "DASHSCOPE_API_KEY"} {
		t.Setenv(name, "")
	}

	t.Setenv("XDG_DATA_HOME", filepath.Join(folder, "xdg"))

	return folder
}

// run runs a command without a terminal.
func run(ctx context.Context, t *testing.T, env Env, args ...string) result {
	t.Helper()

	var out, errs bytes.Buffer

	env.Out = &out
	env.Err = &errs

	if env.In == nil {
		env.In = strings.NewReader("")
	}

	code := Run(ctx, args, env)

	return result{code, out.String(), errs.String()}
}

// run runs a customer's command against the server.
func (f *fakeServer) run(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	t.Setenv("UNIREEL_URL", f.URL)
	t.Setenv("UNIREEL_API_KEY", testKey)

	return run(ctx, t, Env{}, args...)
}

// fakeAdmin is a fake of the operator's API.
type fakeAdmin struct {
	calls  []string
	answer map[string]string
	closed bool
}

func (a *fakeAdmin) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Method + " " + r.URL.Path
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		call += " " + string(body)
	}

	a.calls = append(a.calls, call)
	answer, ok := a.answer[r.Method+" "+r.URL.Path]

	status := 200
	if !ok {
		status = 404
		answer = `{"error":{"message":"No such account.","code":"account_not_found","param":null}}`
	}

	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func (a *fakeAdmin) app() App {
	return App{AdminTransport: func(context.Context, config.Config) (http.RoundTripper, func() error, error) {
		return a, func() error { a.closed = true; return nil }, nil
	}, Samples: samples()}
}

func samples() fs.FS { return fstest.MapFS{"ref-1.png": {Data: []byte("picture")}} }
