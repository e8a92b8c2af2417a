package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/all"
	"github.com/unireel/unireel/internal/provider/providertest"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

var update = flag.Bool("update", false, "write docs/reliability.md anew")

// prepareStep is the customer's host, which a reference comes from.
const prepareStep providertest.Step = "prepare"

var matrixSteps = []providertest.Step{prepareStep, providertest.Upload, providertest.Submit, providertest.Poll, providertest.Collect}

// trouble is one thing that goes wrong on the wire. before says that the other side
// sees nothing of the request; else it does what was asked, and only its answer is
// spoiled.
type trouble struct {
	name   string
	refuse bool // at the connection
	before bool
	spoil  func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder)
	on     []providertest.Step // nil: all
}

var troubles = []trouble{
	{name: "connection refused", refuse: true},
	{name: "reset before the body", before: true, spoil: cut},
	{name: "reset after it", spoil: cut},
	{name: "answer too late", spoil: func(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) { <-r.Context().Done() }},
	{name: "hang", before: true, spoil: func(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) { <-r.Context().Done() }},
	{name: "500 after accepting", spoil: says(http.StatusInternalServerError, "text/plain", "internal error")},
	{name: "200 with HTML", spoil: says(http.StatusOK, "text/html", "<html><body>Please wait</body></html>")},
	{name: "200 cut in the body", spoil: cutInside},
	{name: "gzip", spoil: zipped},
	{name: "slow drip", spoil: drip},
	{name: "link expired", before: true, spoil: says(http.StatusForbidden, "application/xml", "<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"), on: []providertest.Step{prepareStep, providertest.Collect}},
	{name: "wrong file", before: true, spoil: says(http.StatusOK, "video/mp4", "this is no video, whatever its type says"), on: []providertest.Step{prepareStep, providertest.Collect}},
}

// cut resets the connection.
func cut(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func says(status int, kind, body string) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (r replay) head(w http.ResponseWriter, length int) {
	for name, values := range r.Header() {
		w.Header()[name] = slices.Clone(values)
	}

	if length >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(length))
	}

	w.WriteHeader(r.Code)
}

// replay is an answer that is given again.
type replay struct{ *httptest.ResponseRecorder }

func cutInside(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	body := answer.Body.Bytes()
	replay{answer}.head(w, len(body))
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	cut(w, r, answer)
}

func zipped(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	var b bytes.Buffer

	z := gzip.NewWriter(&b)
	_, _ = z.Write(answer.Body.Bytes())
	_ = z.Close()

	w.Header().Set("Content-Encoding", "gzip")
	replay{answer}.head(w, b.Len())
	_, _ = w.Write(b.Bytes())
}

// drip gives a byte every ten seconds.
func drip(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	replay{answer}.head(w, -1)

	for _, b := range answer.Body.Bytes() {
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}

		_ = http.NewResponseController(w).Flush()

		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Second):
		}
	}
}

// storm is the trouble that the wire is in.
type storm struct {
	mu    sync.Mutex
	step  providertest.Step
	what  trouble
	once  bool      // it strikes one call
	until time.Time // it strikes no more
	met   int
}

// strikes says whether the trouble meets a call of this step.
func (s *storm) strikes(step providertest.Step, refuse bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.step != step || s.what.refuse != refuse || !time.Now().Before(s.until) || s.once && s.met > 0 {
		return false
	}

	s.met++

	return true
}

// around is a server that stands in the storm.
func (s *storm) around(inner http.Handler, step func(*http.Request) providertest.Step) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.strikes(step(r), false) {
			inner.ServeHTTP(w, r)
			return
		}

		answer := httptest.NewRecorder()
		if !s.what.before {
			inner.ServeHTTP(answer, r)
		} else if s.what.name == "hang" {
			_, _ = io.Copy(io.Discard, r.Body) // the server must see that the caller goes
		}

		s.what.spoil(w, r, answer)
	})
}

// refusing is a client whose connections are refused in the storm.
type refusing struct {
	s    *storm
	step func(*http.Request) providertest.Step
	next *http.Transport
}

type refusedKey struct{}

func (c refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.s.strikes(c.step(r), true) {
		c.next.CloseIdleConnections() // so that it has to connect

		r = r.WithContext(context.WithValue(r.Context(), refusedKey{}, true))
	}

	return c.next.RoundTrip(r)
}

func (w *wires) dialInStorm(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx.Value(refusedKey{}) != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}

	return w.dial(ctx, network, address)
}

// rig is a provider over its simulated supplier, as the matrix sees it.
type rig struct {
	kind    provider.Kind
	options provider.Options
	sim     providertest.Sim
	ask     func(prompt string) catalog.Request
	routes  []Route
}

// host serves the customer's reference.
func host(picture []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture)
	})
}

// publicName resolves every name to a public address.
type publicName struct{}

func (publicName) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// serving serves a handler in the bubble.
func serving(t *testing.T, handler http.Handler) *wires {
	w := newWires()
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}

	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(w) }()

	t.Cleanup(func() {
		_ = server.Close()

		<-served
	})

	return w
}

// stormy is how long a trouble strikes that does not strike only once.
const stormy = 10 * time.Minute

// cell is what became of one task in one trouble.
type cell struct {
	state    task.State
	accepted int // orders that the supplier took
	cost     money.Amount
	hold     money.Amount
	code     string // of the customer's error
}

func (c cell) String() string {
	s := string(c.state)
	if c.code != "" {
		s += " `" + c.code + "`"
	}

	paid := "free"
	if c.cost > 0 {
		paid = "charged"
	}

	return fmt.Sprintf("%s, %s, %d", s, paid, c.accepted)
}

// inStorm runs one task through a storm.
func inStorm(t *testing.T, build func(t *testing.T, video []byte) rig, step providertest.Step, what trouble, once bool) (got cell, met int) {
	video, err := clip()
	if err != nil {
		t.Fatal(err)
	}

	inHouse(t, func(h *house) {
		r := build(h.t, video)
		s := &storm{step: step, what: what}
		toSupplier := serving(h.t, s.around(r.sim, r.sim.Step))

		client, submit := provider.NewClients(toSupplier.dialInStorm)
		for _, c := range []*http.Client{client, submit} {
			c.Transport = refusing{s, r.sim.Step, c.Transport.(*http.Transport)}
			defer c.CloseIdleConnections()
		}

		r.options.Upstream = "up"
		r.options.Client = client
		r.options.Submit = submit
		r.options.Folder = h.dir
		r.options.Now = time.Now
		r.options.Log = h.log()

		p, err := r.kind.New(r.options)
		if err != nil {
			h.t.Fatal(err)
		}

		h.upstreams[0].Kind = r.kind
		h.upstreams[0].Provider = p
		h.upstreams[0].Routes = r.routes

		face, err := os.ReadFile(filepath.Join(h.dir, "media", "face.png"))
		if err != nil {
			h.t.Fatal(err)
		}

		toHost := serving(h.t, s.around(host(face), func(*http.Request) providertest.Step { return prepareStep }))
		h.refetch(fetch.Options{Resolver: publicName{}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if s.strikes(prepareStep, true) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}

			return toHost.dial(ctx, network, address)
		}})
		h.account("acct_a", 1, 0)
		h.start()
		h.untilState(h.create("acct_a", r.ask("an earlier one")), task.Completed)
		s.mu.Lock()
		s.once = once
		s.until = time.Now().Add(stormy)
		s.mu.Unlock()

		id := h.create("acct_a", r.ask("a red boat"))
		done := h.untilFinal(id)

		got = cell{state: done.State, accepted: r.sim.Accepted("a red boat"), cost: done.Cost, hold: done.Hold}
		if done.Error != nil {
			got.code = done.Error.Code
		}

		s.mu.Lock()
		met = s.met
		s.mu.Unlock()
		h.sound()
		h.halt()
	})

	return got, met
}

// refetch replaces the house's fetcher.
func (h *house) refetch(o fetch.Options) {
	h.t.Helper()

	if err := h.fetch.Close(); err != nil {
		h.t.Fatal(err)
	}

	var err error
	if h.fetch, err = fetch.New(o); err != nil {
		h.t.Fatal(err)
	}
}

// Whatever breaks at whichever step, for every provider, once or for ten minutes: the
// supplier takes the order at most once, a task ends completed and paid or failed
// and free, and the customer is told in our own words. docs/reliability.md is what
// this test saw.
func TestTheFaultMatrix(t *testing.T) {
	t.Parallel()

	for _, kind := range all.Kinds() {
		if rigs[kind.Name] == nil && !kind.Traits.Resubmit { // what renders in the process has no wire
			t.Errorf("provider %s has no rig in rigs_test.go", kind.Name)
		}
	}

	names := []string{}
	for name := range rigs {
		names = append(names, name)
	}

	slices.Sort(names)

	var mu sync.Mutex

	seen := map[string]string{}

	t.Run("cells", func(t *testing.T) {
		for _, name := range names {
			for _, step := range matrixSteps {
				for _, what := range troubles {
					if what.on != nil && !slices.Contains(what.on, step) {
						continue
					}

					for _, when := range []string{"once", "for a while"} {
						if storetest.Raced && (name != "dashscope" || when != "once" || step == prepareStep || step == providertest.Poll) {
							continue // the race detector sees all code of ours by these
						}

						key := strings.Join([]string{name, string(step), what.name, when}, "/")
						t.Run(key, func(t *testing.T) {
							t.Parallel()
							got, met := inStorm(t, rigs[name], step, what, when == "once")
							judge(t, got, met)
							mu.Lock()
							defer mu.Unlock()

							if met > 0 {
								seen[key] = got.String()
							}
						})
					}
				}
			}
		}
	})

	if t.Failed() || storetest.Raced {
		return
	}

	page := []byte(matrixPage(names, seen))

	path := filepath.Join("..", "..", "docs", "reliability.md")
	if *update {
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}

		return
	}

	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), string(page)); diff != "" {
		t.Errorf("docs/reliability.md is not what was seen; go test ./internal/dispatch -run Matrix -update\n%s", diff)
	}
}

// judge holds one cell to what must be true of all.
func judge(t *testing.T, c cell, met int) {
	t.Helper()

	if met == 0 {
		return // this provider has no such call
	}

	if c.accepted > 1 {
		t.Errorf("the supplier took it %d times", c.accepted)
	}

	switch c.state {
	case task.Completed:
		if c.accepted != 1 || c.cost <= 0 || c.code != "" {
			t.Errorf("completed: %s", c)
		}
	case task.Failed:
		if c.cost != 0 || c.code == "" {
			t.Errorf("failed: %s", c)
		}
	default:
		t.Errorf("ended %s", c.state)
	}
}

// matrixPage is the document: a table for each provider and step.
func matrixPage(names []string, seen map[string]string) string {
	var b strings.Builder
	b.WriteString(`# What becomes of a task when something breaks

Generated by ` + "`go test ./internal/dispatch -run TestTheFaultMatrix -update`" + ` from what it saw; do not edit. Each cell is one task that met the trouble
once, or at every call for ten minutes: how it ended, with the customer's error; whether it was charged; how many orders the supplier took (never more than one).
The ledger adds up in each. A step that a provider does not have is left out.

- **prepare**: the customer's host, which a reference comes from. **upload**: of a reference to the supplier. **submit**: the order. **poll**: how it stands.
  **collect**: the bytes of the video.
- *failed, free* after a lost answer is the safe end where a supplier has no list to find the order in: nothing is ordered twice.

`)

	for _, name := range names {
		fmt.Fprintf(&b, "## %s\n\n| step | trouble | once | for ten minutes |\n|---|---|---|---|\n", name)

		for _, step := range matrixSteps {
			for _, what := range troubles {
				key := strings.Join([]string{name, string(step), what.name}, "/")
				once := seen[key+"/once"]

				long := seen[key+"/for a while"]
				if once == "" && long == "" {
					continue
				}

				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", step, what.name, once, long)
			}
		}

		b.WriteString("\n")
	}

	return b.String()
}
