package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/store/storetest"
)

// browserTimeout limits one step in the browser, which starts slowly on two busy cores.
const browserTimeout = 60 * time.Second

// browsers are the executables to look for; scripts/setup looks for the same ones.
var browsers = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
}

// browser is a real browser with one page, controlled with the DevTools protocol over a
// pipe.
type browser struct {
	t         testing.TB
	in        *os.File
	session   string
	responses chan message

	mu       sync.Mutex
	requests []string // every URL that the page requested
	problems []string // violations of its content security policy, and script errors
}

type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

func openBrowser(t testing.TB) *browser {
	t.Helper()

	var program string

	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}

	if program == "" {
		t.Fatal("Chromium and Chrome are not installed; scripts/setup test installs one")
	}

	home, err := os.MkdirTemp("", "unireel-browser-*")
	if err != nil {
		t.Fatal(err)
	}

	theirs, in, err1 := os.Pipe()

	out, write, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}

	run := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--user-data-dir="+home, "--remote-debugging-pipe", "about:blank")
	run.ExtraFiles = []*os.File{theirs, write}
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	if err := run.Start(); err != nil {
		t.Fatal(err)
	}

	_, _ = theirs.Close(), write.Close()
	b := &browser{t: t, in: in, responses: make(chan message, 1)}

	read := make(chan struct{})
	go func() {
		defer close(read)

		b.readMessages(out)
	}()

	t.Cleanup(func() {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // the browser and its child processes
		_ = run.Wait()

		<-read

		_, _, _ = in.Close(), out.Close(), os.RemoveAll(home)
	})

	var target struct{ TargetID string }
	b.command("Target.createTarget", map[string]any{"url": "about:blank"}, &target)

	var attached struct{ SessionID string }
	b.command("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)

	b.session = attached.SessionID
	for _, domain := range []string{"Network", "Log", "Runtime", "Page"} {
		b.command(domain+".enable", nil, nil)
	}

	return b
}

// readMessages reads the browser's messages until it exits.
func (b *browser) readMessages(out *os.File) {
	defer close(b.responses)

	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}

		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m); err != nil {
			return
		}

		if m.ID != 0 {
			b.responses <- m
			continue
		}

		b.recordEvent(m.Method, line)
	}
}

func (b *browser) recordEvent(method string, line []byte) {
	var event struct {
		Params struct {
			Request          struct{ URL string }
			Entry            struct{ Source, Level, Text, URL string }
			ExceptionDetails struct{ Text string }
		}
	}

	_ = json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &event)

	b.mu.Lock()
	defer b.mu.Unlock()

	switch e := event.Params.Entry; {
	case method == "Network.requestWillBeSent":
		b.requests = append(b.requests, event.Params.Request.URL)
	case method == "Log.entryAdded" && (e.Source == "security" || e.Level == "error"):
		b.problems = append(b.problems, e.Text+" "+e.URL)
	case method == "Runtime.exceptionThrown":
		b.problems = append(b.problems, event.Params.ExceptionDetails.Text)
	}
}

// command sends a command and waits for its response.
func (b *browser) command(method string, params, result any) {
	b.t.Helper()

	ctx, cancel := context.WithTimeout(b.t.Context(), browserTimeout)
	defer cancel()

	text, err := json.Marshal(message{ID: 1, SessionID: b.session, Method: method, Params: params})
	if err != nil {
		b.t.Fatal(err)
	}

	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}

	select {
	case <-ctx.Done():
		b.t.Fatalf("%s: no response", method)
	case m, open := <-b.responses:
		if !open || m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}

		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// navigate opens a page.
func (b *browser) navigate(url string) {
	b.t.Helper()
	b.command("Page.navigate", map[string]any{"url": url}, nil)
}

// waitFor evaluates an expression before each frame until it is true, and returns its
// value.
func (b *browser) waitFor(expression string) string {
	b.t.Helper()

	var evaluated struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	b.command("Runtime.evaluate", map[string]any{
		"expression":   fmt.Sprintf("new Promise((done) => { const look = () => { const v = (%s); v ? done(String(v)) : setTimeout(look, 20); }; look(); })", expression),
		"awaitPromise": true, "returnByValue": true,
	}, &evaluated)

	if evaluated.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, evaluated.ExceptionDetails)
	}

	return evaluated.Result.Value
}

// report returns the page's requests to other origins, and its problems.
func (b *browser) report(origin string) (external, problems []string) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, url := range b.requests {
		if !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") {
			external = append(external, url)
		}
	}

	return external, b.problems
}

// TestDocsInBrowser loads /docs as it is served. It checks that every operation is
// listed, opens one with its example and tries one out. The page must request nothing
// from other origins, and must not violate its content security policy.
func TestDocsInBrowser(t *testing.T) {
	env := newTestEnv(t, storetest.SQLiteFile(t))
	b := openBrowser(t)
	b.navigate(env.server.URL + "/docs")

	for path, item := range testSpec(t).Paths.Map() {
		for method, o := range item.Operations() {
			b.waitFor(fmt.Sprintf("document.getElementById('operations-%s-%s')", o.Tags[0], o.OperationID))

			if text := b.waitFor(fmt.Sprintf("document.getElementById('operations-%s-%s').innerText", o.Tags[0], o.OperationID)); !strings.Contains(text, method) || !strings.Contains(strings.ReplaceAll(text, "\u200b", ""), path) {
				t.Errorf("%s %s is shown as %q", method, path, text)
			}
		}
	}

	b.waitFor(`document.querySelector('#operations-videos-createVideo .opblock-summary-control').click() || true`)
	b.waitFor(`document.querySelector('#operations-videos-createVideo')?.innerText.includes('wan2.6-r2v-flash-720p-audio')`)
	b.waitFor(`document.querySelector('#operations-server-healthz .opblock-summary-control').click() || true`)
	b.waitFor(`document.querySelector('#operations-server-healthz .try-out__btn')`)
	b.waitFor(`document.querySelector('#operations-server-healthz .try-out__btn').click() || true`)
	b.waitFor(`document.querySelector('#operations-server-healthz .execute')`)
	b.waitFor(`document.querySelector('#operations-server-healthz .execute').click() || true`)
	b.waitFor(`document.querySelector('#operations-server-healthz .live-responses-table')?.innerText.includes('"ok"')`)
	b.navigate(env.server.URL + "/")
	b.waitFor(`document.querySelector('a[href="docs"]')`)

	if external, problems := b.report(env.server.URL); len(external)+len(problems) > 0 {
		t.Errorf("requests to other origins: %q; problems: %q", external, problems)
	}
}

// TestBrowserReportsBlockedRequests proves that TestDocsInBrowser can fail: the page gets
// an image from another origin, and a policy that blocks the style sheet's own images.
func TestBrowserReportsBlockedRequests(t *testing.T) {
	env := newTestEnv(t, storetest.SQLiteFile(t))
	strict := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		env.api.Handler().ServeHTTP(&strictPolicyWriter{rw}, r)
	}))
	t.Cleanup(strict.Close)
	b := openBrowser(t)
	b.navigate(strict.URL + "/docs")
	b.waitFor(`document.getElementById('operations-server-healthz')`)
	b.waitFor(`document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" })) || true`)
	b.waitFor(`document.querySelector('.opblock-summary-control').click() || true`)
	b.waitFor(`document.querySelector('.try-out__btn')`)

	external, problems := b.report(strict.URL)
	if all := strings.Join(problems, "\n"); !strings.Contains(all, "data:") || !strings.Contains(all, "127.0.0.1:9") {
		t.Errorf("requests to other origins: %q; problems: %q", external, problems)
	}
}

// strictPolicyWriter removes data: from the content security policy.
type strictPolicyWriter struct{ http.ResponseWriter }

func (s *strictPolicyWriter) WriteHeader(status int) {
	h := s.Header()
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), " data:", "", 1))
	s.ResponseWriter.WriteHeader(status)
}
