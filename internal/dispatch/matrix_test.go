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
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/all"
	"github.com/unireel/unireel/internal/provider/providertest"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

var update = flag.Bool("update", false, "regenerate docs/reliability.md")

// prepareOperation is the fetch of a reference from the customer's host.
const prepareOperation providertest.Operation = "prepare"

var matrixOperations = []providertest.Operation{prepareOperation, providertest.Upload, providertest.Submit, providertest.Poll, providertest.Download}

// wireFault is one network fault. With beforeHandling the server does not act on the
// request; otherwise it acts on the request, and only its response is lost or changed.
type wireFault struct {
	name             string
	refuseConnection bool // the connection is refused; there is no request
	beforeHandling   bool
	respond          func(w http.ResponseWriter, r *http.Request, response *httptest.ResponseRecorder)
	operations       []providertest.Operation // nil: all
}

var wireFaults = []wireFault{
	{name: "connection refused", refuseConnection: true},
	{name: "reset before handling", beforeHandling: true, respond: closeConn},
	{name: "reset after handling", respond: closeConn},
	{name: "response too late", respond: waitForClient},
	{name: "hang", beforeHandling: true, respond: waitForClient},
	{name: "500 after accepting", respond: respondWith(http.StatusInternalServerError, "text/plain", "internal error")},
	{name: "200 with HTML", respond: respondWith(http.StatusOK, "text/html", "<html><body>Please wait</body></html>")},
	{name: "200 with a truncated body", respond: cutBody},
	{name: "gzip body", respond: gzipBody},
	{name: "slow body", respond: slowBody},
	{
		name:           "link expired",
		beforeHandling: true,
		respond:        respondWith(http.StatusForbidden, "application/xml", "<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"),
		operations:     []providertest.Operation{prepareOperation, providertest.Download},
	},
	{
		name:           "wrong file",
		beforeHandling: true,
		respond:        respondWith(http.StatusOK, "video/mp4", "this is not a video, despite its type"),
		operations:     []providertest.Operation{prepareOperation, providertest.Download},
	},
}

// waitForClient sends nothing until the client gives up.
func waitForClient(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
	<-r.Context().Done()
}

// closeConn closes the connection without a response.
func closeConn(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// respondWith sends a fixed response.
func respondWith(status int, kind, body string) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) {
	return func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func (r recordedResponse) writeHeader(w http.ResponseWriter, length int) {
	for name, values := range r.Header() {
		w.Header()[name] = slices.Clone(values)
	}

	if length >= 0 {
		w.Header().Set("Content-Length", fmt.Sprint(length))
	}

	w.WriteHeader(r.Code)
}

// recordedResponse is a response that is sent in a changed form.
type recordedResponse struct{ *httptest.ResponseRecorder }

// cutBody sends half of the body and closes the connection.
func cutBody(w http.ResponseWriter, r *http.Request, response *httptest.ResponseRecorder) {
	body := response.Body.Bytes()
	recordedResponse{response}.writeHeader(w, len(body))
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	closeConn(w, r, response)
}

// gzipBody compresses the body, whether or not the client accepts that.
func gzipBody(w http.ResponseWriter, _ *http.Request, response *httptest.ResponseRecorder) {
	var b bytes.Buffer

	z := gzip.NewWriter(&b)
	_, _ = z.Write(response.Body.Bytes())
	_ = z.Close()

	w.Header().Set("Content-Encoding", "gzip")
	recordedResponse{response}.writeHeader(w, b.Len())
	_, _ = w.Write(b.Bytes())
}

// slowBody sends one byte every ten seconds.
func slowBody(w http.ResponseWriter, r *http.Request, response *httptest.ResponseRecorder) {
	recordedResponse{response}.writeHeader(w, -1)

	for _, b := range response.Body.Bytes() {
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

// faultInjector injects one fault into the calls of one operation.
type faultInjector struct {
	mu        sync.Mutex
	operation providertest.Operation
	fault     wireFault
	once      bool      // only the first call is hit
	until     time.Time // no call is hit from this time on
	hits      int
}

// hit reports whether the fault hits a call of this operation, and counts the hit.
// atConnection is true when a connection is made, and false when a request is handled.
func (s *faultInjector) hit(operation providertest.Operation, atConnection bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.operation != operation || s.fault.refuseConnection != atConnection || !time.Now().Before(s.until) || s.once && s.hits > 0 {
		return false
	}

	s.hits++

	return true
}

// wrap returns a handler that passes requests to inner, except those that the fault hits.
func (s *faultInjector) wrap(inner http.Handler, operationOf func(*http.Request) providertest.Operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.hit(operationOf(r), false) {
			inner.ServeHTTP(w, r)
			return
		}

		recorder := httptest.NewRecorder()
		if !s.fault.beforeHandling {
			inner.ServeHTTP(recorder, r)
		} else if s.fault.name == "hang" {
			_, _ = io.Copy(io.Discard, r.Body) // until the body is read, the server does not notice that the client has gone
		}

		s.fault.respond(w, r, recorder)
	})
}

// refusingTransport is an HTTP transport whose connections are refused while the fault
// is active.
type refusingTransport struct {
	injector    *faultInjector
	operationOf func(*http.Request) providertest.Operation
	next        *http.Transport
}

type refusedKey struct{}

func (c refusingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.injector.hit(c.operationOf(r), true) {
		c.next.CloseIdleConnections() // so that the request needs a new connection

		r = r.WithContext(context.WithValue(r.Context(), refusedKey{}, true))
	}

	return c.next.RoundTrip(r)
}

// dialWithFaults is dial, except that requests marked with refusedKey are refused.
func (l *pipeListener) dialWithFaults(ctx context.Context, network, address string) (net.Conn, error) {
	if ctx.Value(refusedKey{}) != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}

	return l.dial(ctx, network, address)
}

// fixture is a provider connected to its simulated supplier, as the matrix uses it.
type fixture struct {
	driver  provider.Driver
	options provider.Options
	sim     providertest.Sim
	request func(prompt string) catalog.Request
	routes  []upstream.ModelRoute
}

// referenceHost serves the customer's reference.
func referenceHost(picture []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture)
	})
}

// publicResolver resolves every name to a public address.
type publicResolver struct{}

func (publicResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// serveOn serves a handler on an in-memory network inside the synctest bubble.
func serveOn(t *testing.T, handler http.Handler) *pipeListener {
	listener := newPipeListener()
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}

	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()

	t.Cleanup(func() {
		_ = server.Close()

		<-served
	})

	return listener
}

// faultDuration is how long a fault lasts that hits every call.
const faultDuration = 10 * time.Minute

// matrixCell is the outcome of one task under one fault.
type matrixCell struct {
	state    task.State
	accepted int // submissions that the supplier accepted
	cost     money.Amount
	hold     money.Amount
	code     string // the customer's error code; "" is none
}

func (c matrixCell) String() string {
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

// runCell runs one task while a fault is injected into one operation, and returns its
// outcome and how many calls were hit.
func runCell(t *testing.T, build func(t *testing.T, video []byte) fixture, operation providertest.Operation, wf wireFault, once bool) (got matrixCell, hits int) {
	video, err := sampleVideo()
	if err != nil {
		t.Fatal(err)
	}

	withHarness(t, func(h *harness) {
		r := build(h.t, video)
		injector := &faultInjector{operation: operation, fault: wf}
		toSupplier := serveOn(h.t, injector.wrap(r.sim, r.sim.Operation))

		client, submit := provider.NewHTTPClients(toSupplier.dialWithFaults)
		for _, c := range []*http.Client{client, submit} {
			c.Transport = refusingTransport{injector, r.sim.Operation, c.Transport.(*http.Transport)}
			defer c.CloseIdleConnections()
		}

		r.options.Upstream = "up"
		r.options.HTTPClient = client
		r.options.SubmitHTTPClient = submit
		r.options.Folder = h.dir
		r.options.Now = time.Now
		r.options.Log = h.log()

		p, err := r.driver.New(r.options)
		if err != nil {
			h.t.Fatal(err)
		}

		h.upstreams[0].Driver = r.driver
		h.upstreams[0].Provider = p
		h.upstreams[0].Routes = r.routes

		face, err := os.ReadFile(filepath.Join(h.dir, "media", "face.png"))
		if err != nil {
			h.t.Fatal(err)
		}

		toHost := serveOn(h.t, injector.wrap(referenceHost(face), func(*http.Request) providertest.Operation { return prepareOperation }))
		h.replaceFetcher(fetch.Options{Resolver: publicResolver{}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if injector.hit(prepareOperation, true) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}

			return toHost.dial(ctx, network, address)
		}})
		h.addAccount("acct_a", 1, 0)
		h.start()
		h.waitForState(h.createTask("acct_a", r.request("an earlier task")), task.Completed)

		// The fault is active from here on.
		injector.mu.Lock()
		injector.once = once
		injector.until = time.Now().Add(faultDuration)
		injector.mu.Unlock()

		id := h.createTask("acct_a", r.request("a red boat"))
		done := h.waitForFinal(id)

		got = matrixCell{
			state:    done.State,
			accepted: r.sim.Accepted("a red boat"),
			cost:     done.Cost,
			hold:     done.Hold,
		}
		if done.Error != nil {
			got.code = done.Error.Code
		}

		injector.mu.Lock()
		hits = injector.hits
		injector.mu.Unlock()
		h.checkInvariants()
		h.shutdown()
	})

	return got, hits
}

// replaceFetcher replaces the harness's fetcher.
func (h *harness) replaceFetcher(o fetch.Options) {
	h.t.Helper()

	if err := h.fetcher.Close(); err != nil {
		h.t.Fatal(err)
	}

	var err error
	if h.fetcher, err = fetch.New(o); err != nil {
		h.t.Fatal(err)
	}
}

// TestFaultMatrix injects every fault into every operation of every provider, once and
// for ten minutes. The supplier accepts at most one submission, and the task ends either
// completed and charged, or failed, free and with an error code of ours.
// docs/reliability.md is generated from the results.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()

	for _, kind := range all.Drivers() {
		if fixtures[kind.Name] == nil && !kind.Capabilities.SafeToResubmit { // a renderer inside the process has no network
			t.Errorf("provider %s has no fixture in fixtures_test.go", kind.Name)
		}
	}

	names := []string{}
	for name := range fixtures {
		names = append(names, name)
	}

	slices.Sort(names)

	var mu sync.Mutex

	seen := map[string]string{}

	t.Run("cells", func(t *testing.T) {
		for _, name := range names {
			for _, operation := range matrixOperations {
				for _, wf := range wireFaults {
					if wf.operations != nil && !slices.Contains(wf.operations, operation) {
						continue
					}

					for _, duration := range []string{"once", "ten minutes"} {
						if storetest.RaceEnabled && (name != "dashscope" || duration != "once" || operation == prepareOperation || operation == providertest.Poll) {
							continue // these cells run all of our code, which is what the race detector needs
						}

						key := strings.Join([]string{name, string(operation), wf.name, duration}, "/")
						t.Run(key, func(t *testing.T) {
							t.Parallel()
							got, hits := runCell(t, fixtures[name], operation, wf, duration == "once")
							checkCell(t, got, hits)
							mu.Lock()
							defer mu.Unlock()

							if hits > 0 {
								seen[key] = got.String()
							}
						})
					}
				}
			}
		}
	})

	if t.Failed() || storetest.RaceEnabled {
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
		t.Errorf("docs/reliability.md is out of date; run: go test ./internal/dispatch -run TestFaultMatrix -update\n%s", diff)
	}
}

// checkCell checks what must hold in every cell.
func checkCell(t *testing.T, c matrixCell, hits int) {
	t.Helper()

	if hits == 0 {
		return // this provider does not make such calls
	}

	if c.accepted > 1 {
		t.Errorf("the supplier accepted the task %d times, want at most 1", c.accepted)
	}

	switch c.state {
	case task.Completed:
		if c.accepted != 1 || c.cost <= 0 || c.code != "" {
			t.Errorf("completed task: %s; want one accepted submission, a charge and no error", c)
		}
	case task.Failed:
		if c.cost != 0 || c.code == "" {
			t.Errorf("failed task: %s; want no charge and an error code", c)
		}
	default:
		t.Errorf("final state is %s, want completed or failed", c.state)
	}
}

// matrixPage returns the text of docs/reliability.md: one table for each provider.
func matrixPage(names []string, seen map[string]string) string {
	var b strings.Builder
	b.WriteString(`# What happens to a task when a step fails

Generated by ` + "`go test ./internal/dispatch -run TestFaultMatrix -update`" + ` from the results of the test; do not edit.

Each cell is one task. The fault hits the first call of the step ("once"), or every call of the step for ten minutes. The cell shows the task's final state, with
the error code that the customer gets; whether the customer was charged; and how many submissions the supplier accepted (never more than one). The ledger balances
in every cell. A step that a provider does not have is left out.

- **Steps.** prepare: fetch a reference from the customer's host. upload: upload a reference to the supplier. submit: submit the task to the supplier.
  poll: ask the supplier for the task's status. download: fetch the video from the supplier.
- **Faults.** Under "connection refused", "reset before handling", "hang", "link expired" and "wrong file" the server does not act on the request. Under all others it
  acts on the request, and only its response is lost or changed. Under "hang" and "response too late" the connection stays open without a response; under "slow body"
  one byte arrives every ten seconds.
- *failed, free* after a lost response is the safe outcome at a supplier that has no list of tasks: Unireel cannot find out whether the task was accepted, and never
  submits it a second time.

`)

	for _, name := range names {
		fmt.Fprintf(&b, "## %s\n\n| step | fault | once | for ten minutes |\n|---|---|---|---|\n", name)

		for _, operation := range matrixOperations {
			for _, wf := range wireFaults {
				key := strings.Join([]string{name, string(operation), wf.name}, "/")
				once := seen[key+"/once"]

				repeated := seen[key+"/ten minutes"]
				if once == "" && repeated == "" {
					continue
				}

				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", operation, wf.name, once, repeated)
			}
		}

		b.WriteString("\n")
	}

	return b.String()
}
