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

// call is one request on its way through its endpoint.
type call struct {
	answered
	r   *http.Request
	id  string      // the request's
	key account.Key // who asks; the zero Key where none is needed
	// openAI says that the path is OpenAI's own, where a task of its dialect is told
	// in its states.
	openAI bool
}

// who is the caller as checkout knows them.
func (c *call) who() checkout.Caller {
	return checkout.Caller{Account: c.key.Account, Key: c.key.ID, Models: c.key.Models}
}

func (c *call) ctx() context.Context { return c.r.Context() }

// answered is a ResponseWriter that remembers what was answered.
type answered struct {
	http.ResponseWriter
	status int
}

func (w *answered) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}

	w.ResponseWriter.WriteHeader(status)
}

func (w *answered) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}

	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// part is how the paths below one video are told apart: Go's patterns take
// /v1/videos/{id}/content and /v1/videos/generations/{id} for a conflict.
const part = "/v1/videos/{id}/"

// methods are the endpoints of one path.
type methods map[string]endpoint

// serve gathers the endpoints by path and makes one handler of them.
func (a *API) serve(list []endpoint) http.Handler {
	byPath := map[string]methods{}
	parts := map[string]methods{}

	for _, e := range list {
		into := byPath

		name := e.path
		if rest, ok := strings.CutPrefix(e.path, part); ok {
			into = parts
			name = rest
		}

		if into[name] == nil {
			into[name] = methods{}
		}

		into[name][e.method] = e
	}

	mux := http.NewServeMux()
	for path, m := range byPath {
		mux.Handle(path, a.path(m))
	}

	paths := slices.Sorted(maps.Keys(byPath))
	lost := a.answering(endpoint{path: "unknown", answer: func(c *call) error { return unknownPath(c, paths) }})

	if len(parts) > 0 {
		handlers := map[string]http.Handler{}
		for name, m := range parts {
			handlers[name] = a.path(m)
		}

		mux.HandleFunc(part+"{part}", func(w http.ResponseWriter, r *http.Request) {
			if h := handlers[r.PathValue("part")]; h != nil {
				h.ServeHTTP(w, r)
				return
			}

			lost.ServeHTTP(w, r)
		})
	}

	mux.Handle("/", lost)

	return mux
}

// path answers every method of one path: what it does not have is told with
// what it has.
func (a *API) path(m methods) http.Handler {
	handlers := map[string]http.Handler{}

	allow := slices.Sorted(maps.Keys(m))
	for method, e := range m {
		handlers[method] = a.answering(e)
		if method == http.MethodGet {
			handlers[http.MethodHead] = handlers[method]
			allow = append(allow, http.MethodHead)
		}
	}

	slices.Sort(allow)

	var some endpoint
	for _, e := range m {
		some = e
	}

	others := a.answering(endpoint{path: some.path, answer: func(c *call) error {
		c.Header().Set("Allow", strings.Join(allow, ", "))

		if c.r.Method == http.MethodOptions {
			c.WriteHeader(http.StatusNoContent)
			return nil
		}

		return fault.New(fault.CodeMethod, "", fmt.Sprintf("%s takes %s here.", some.path, strings.Join(allow, ", ")))
	}})

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.Method]; h != nil {
			h.ServeHTTP(w, r)
			return
		}

		others.ServeHTTP(w, r)
	})
}

func unknownPath(c *call, paths []string) error {
	hint := "GET /openapi.json lists what there is."
	if near, ok := catalog.Nearest(c.r.URL.Path, paths); ok {
		hint = "Did you mean " + near + "?"
	}

	return fault.New(fault.CodeNoPage, "", "There is no such path. "+hint)
}

// answering is the one place where a request is named, its caller checked, its
// error or panic written, and all of it logged and counted.
func (a *API) answering(e endpoint) http.Handler {
	count := a.meter.route(e.method, e.path)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now() // how long it took is the machine's, not the house's clock
		c := &call{answered: answered{ResponseWriter: w}, r: r, id: requestID(r, a.NewID)}
		c.Header().Set("X-Request-Id", c.id)

		err := a.run(c, e)
		if err != nil {
			a.problem(c, err)
		}

		took := time.Since(begin)
		count(c.status, took)
		a.logCall(c, e, took, err)
	})
}

// run checks the caller and answers; a panic becomes an error.
func (a *API) run(c *call, e endpoint) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()

	if e.needs != open && e.needs != linked {
		if err := a.admit(c, e.needs); err != nil {
			return err
		}
	}

	if err := c.legible(); err != nil {
		return err
	}

	return e.answer(c)
}

// legible refuses a path or a query that is not text: a database may refuse it
// too, and no name of ours has such bytes. A path of that kind leads nowhere.
func (c *call) legible() error {
	if !catalog.IsText(c.r.URL.Path) {
		return fault.New(fault.CodeNoPage, "", "There is nothing here: the path has bytes that are not UTF-8, or a NUL character.")
	}

	if catalog.IsText(c.r.URL.RawQuery) && !strings.Contains(c.r.URL.RawQuery, "%") {
		return nil
	}

	query := c.r.URL.Query()

	var faults []fault.Fault
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(faults) < catalog.MaxFaults && slices.ContainsFunc(query[name], func(v string) bool { return !catalog.IsText(v) }) {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, brief(strings.ToValidUTF8(name, "\uFFFD")), "The value has bytes that are not UTF-8, or a NUL character; take them out."))
		}
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	return nil
}

func (a *API) logCall(c *call, e endpoint, took time.Duration, err error) {
	level := slog.LevelInfo

	switch {
	case c.status >= 500:
		level = slog.LevelError
	case e.needs == open:
		level = slog.LevelDebug
	}

	if !a.Log.Enabled(c.ctx(), level) {
		return
	}

	attrs := []slog.Attr{
		slog.String("id", c.id), slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path),
		slog.Int("status", c.status), slog.Duration("took", took),
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

// requestID takes the caller's own name of the request where it is a sane one.
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

// json answers with v.
func (c *call) json(status int, v any) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buffer)

	buffer.Reset()
	e := json.NewEncoder(buffer)
	e.SetEscapeHTML(false) // links stay as they are

	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}

	h := c.Header()
	h.Set("Content-Type", "application/json")

	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}

	c.WriteHeader(status)
	_, _ = c.Write(buffer.Bytes()) // who is gone needs no answer

	return nil
}

// gone says whether the caller went away before they could be answered.
func gone(c *call, err error) bool {
	return errors.Is(err, context.Canceled) && c.ctx().Err() != nil
}
