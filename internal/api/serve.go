package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
)

// requestContext is one request while its endpoint handles it.
type requestContext struct {
	responseRecorder
	req *http.Request
	id  string      // of the request, for logs and support
	key account.Key // of the caller; the zero Key if none is required
	// openAI means that the path is OpenAI's own, where a task of that dialect is shown
	// with OpenAI's statuses.
	openAI bool
}

// caller returns the caller in checkout's terms.
func (c *requestContext) caller() checkout.Caller {
	return checkout.Caller{Account: c.key.Account, Key: c.key.ID, Models: c.key.Models}
}

func (c *requestContext) ctx() context.Context { return c.req.Context() }

// responseRecorder is a ResponseWriter that remembers the status.
type responseRecorder struct {
	http.ResponseWriter
	status int
}

func (w *responseRecorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}

	w.ResponseWriter.WriteHeader(status)
}

func (w *responseRecorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}

	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// videoPathPrefix is the prefix of the paths below one video. They are dispatched here,
// because Go's patterns consider /v1/videos/{id}/content and /v1/videos/generations/{id}
// to be in conflict.
const videoPathPrefix = "/v1/videos/{id}/"

// endpointsByMethod are the endpoints of one path.
type endpointsByMethod map[string]endpoint

// newMux groups the endpoints by path and returns one handler for all.
func (a *API) newMux(endpoints []endpoint) http.Handler {
	byPath := map[string]endpointsByMethod{}
	videoPaths := map[string]endpointsByMethod{}

	for _, e := range endpoints {
		table := byPath

		name := e.path
		if rest, ok := strings.CutPrefix(e.path, videoPathPrefix); ok {
			table = videoPaths
			name = rest
		}

		if table[name] == nil {
			table[name] = endpointsByMethod{}
		}

		table[name][e.method] = e
	}

	mux := http.NewServeMux()
	for path, m := range byPath {
		mux.Handle(path, a.methodHandler(m))
	}

	paths := slices.Sorted(maps.Keys(byPath))
	unknown := a.endpointHandler(endpoint{path: "unknown", handle: func(c *requestContext) error { return unknownPath(c, paths) }})

	if len(videoPaths) > 0 {
		handlers := map[string]http.Handler{}
		for name, m := range videoPaths {
			handlers[name] = a.methodHandler(m)
		}

		mux.HandleFunc(videoPathPrefix+"{part}", func(w http.ResponseWriter, r *http.Request) {
			if h := handlers[r.PathValue("part")]; h != nil {
				h.ServeHTTP(w, r)
				return
			}

			unknown.ServeHTTP(w, r)
		})
	}

	mux.Handle("/", unknown)

	return mux
}

// methodHandler handles every method of one path. For a method that the path does not
// have, it lists those that it has.
func (a *API) methodHandler(m endpointsByMethod) http.Handler {
	handlers := map[string]http.Handler{}

	allow := slices.Sorted(maps.Keys(m))
	for method, e := range m {
		handlers[method] = a.endpointHandler(e)
		if method == http.MethodGet {
			handlers[http.MethodHead] = handlers[method]
			allow = append(allow, http.MethodHead)
		}
	}

	slices.Sort(allow)

	var anyEndpoint endpoint
	for _, e := range m {
		anyEndpoint = e
	}

	methodNotAllowed := a.endpointHandler(endpoint{path: anyEndpoint.path, handle: func(c *requestContext) error {
		c.Header().Set("Allow", strings.Join(allow, ", "))

		if c.req.Method == http.MethodOptions {
			c.WriteHeader(http.StatusNoContent)
			return nil
		}

		return fault.New(fault.CodeMethodNotAllowed, "", fmt.Sprintf("%s supports only %s.", anyEndpoint.path, strings.Join(allow, ", ")))
	}})

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.Method]; h != nil {
			h.ServeHTTP(w, r)
			return
		}

		methodNotAllowed.ServeHTTP(w, r)
	})
}

func unknownPath(c *requestContext, paths []string) error {
	hint := "GET /openapi.json lists all paths."
	if suggestion, ok := catalog.Nearest(c.req.URL.Path, paths); ok {
		hint = "Did you mean " + suggestion + "?"
	}

	return fault.New(fault.CodeUnknownPath, "", "There is no such path. "+hint)
}

// endpointHandler is the one place where a request gets its id, its caller is checked, its
// error or panic is written, and it is logged and counted.
func (a *API) endpointHandler(e endpoint) http.Handler {
	count := a.requestMetrics.forRoute(e.method, e.path)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now() // the duration is measured by the machine's clock, not by a.Now
		c := &requestContext{responseRecorder: responseRecorder{ResponseWriter: w}, req: r, id: requestID(r, a.NewID)}
		c.Header().Set("X-Request-Id", c.id)

		err := a.runEndpoint(c, e)
		if err != nil {
			a.writeError(c, err)
		}

		elapsed := time.Since(start)
		count(c.status, elapsed)
		a.logRequest(c, e, elapsed, err)
	})
}

// runEndpoint checks the caller and calls the handler. A panic becomes an error.
func (a *API) runEndpoint(c *requestContext, e endpoint) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	if e.access != accessPublic && e.access != accessKeyOrLink {
		if err := a.admit(c, e.access); err != nil {
			return err
		}
	}

	if err := c.validUTF8(); err != nil {
		return err
	}

	return e.handle(c)
}

// validUTF8 refuses a path or a query that is not valid text, because a database may
// refuse it. No name that Unireel creates has such bytes, so such a path does not exist.
func (c *requestContext) validUTF8() error {
	if !catalog.IsText(c.req.URL.Path) {
		return fault.New(fault.CodeUnknownPath, "", "There is no such path: it has bytes that are not UTF-8, or a NUL character.")
	}

	if catalog.IsText(c.req.URL.RawQuery) && !strings.Contains(c.req.URL.RawQuery, "%") {
		return nil
	}

	query := c.req.URL.Query()

	var faults []fault.Fault
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(faults) < catalog.MaxFaults && slices.ContainsFunc(query[name], func(v string) bool { return !catalog.IsText(v) }) {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, truncateName(strings.ToValidUTF8(name, "\uFFFD")), "The value has bytes that are not UTF-8, or a NUL character; remove them."))
		}
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	return nil
}

func (a *API) logRequest(c *requestContext, e endpoint, elapsed time.Duration, err error) {
	level := slog.LevelInfo

	switch {
	case c.status >= 500:
		level = slog.LevelError
	case e.access == accessPublic:
		level = slog.LevelDebug
	}

	if !a.Log.Enabled(c.ctx(), level) {
		return
	}

	attrs := []slog.Attr{
		slog.String("id", c.id), slog.String("method", c.req.Method), slog.String("path", c.req.URL.Path),
		slog.Int("status", c.status), slog.Duration("took", elapsed),
	}
	if c.key.ID != "" {
		attrs = append(attrs, slog.String("account", c.key.Account), slog.String("key", c.key.ID))
	}

	if err != nil {
		f := fault.From(err)

		attrs = append(attrs, slog.String("code", string(f.Code)), slog.String("param", f.Param))
		if cause := f.Unwrap(); cause != nil {
			attrs = append(attrs, slog.String("cause", cause.Error()))
		}
	}

	a.Log.LogAttrs(c.ctx(), level, "request", attrs...)
}

// requestID returns the caller's own request id if it is well-formed, otherwise a new one.
func requestID(r *http.Request, newID func(string) string) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("-_.:", r)
	}) {
		return newID("req")
	}

	return id
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// json responds with v as JSON.
func (c *requestContext) json(status int, v any) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)

	buffer.Reset()
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write response: %w", err)
	}

	h := c.Header()
	h.Set("Content-Type", "application/json")

	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}

	c.WriteHeader(status)
	_, _ = c.Write(buffer.Bytes()) // an error means that the caller disconnected

	return nil
}

// clientGone reports whether the caller disconnected before the response.
func clientGone(c *requestContext, err error) bool {
	return errors.Is(err, context.Canceled) && c.ctx().Err() != nil
}
