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

// patience bounds one step in the browser; on two busy cores it is slow to start.
const patience = 60 * time.Second

// browsers are the names that scripts/setup looks for, too.
var browsers = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
}

// browser is a real one with one page, spoken to by its own protocol over a pipe.
type browser struct {
	t       testing.TB
	in      *os.File
	session string
	answers chan message

	mu       sync.Mutex
	asked    []string // every address that the page asked for
	troubles []string // what its policy refused, and errors of its scripts
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
		t.Fatal("no Chromium or Chrome here; scripts/setup test installs it")
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
	b := &browser{t: t, in: in, answers: make(chan message, 1)}

	read := make(chan struct{})
	go func() {
		defer close(read)

		b.listen(out)
	}()

	t.Cleanup(func() {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // it and its own children
		_ = run.Wait()

		<-read

		_, _, _ = in.Close(), out.Close(), os.RemoveAll(home)
	})

	var target struct{ TargetID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)

	var attached struct{ SessionID string }
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)

	b.session = attached.SessionID
	for _, domain := range []string{"Network", "Log", "Runtime", "Page"} {
		b.do(domain+".enable", nil, nil)
	}

	return b
}

// listen reads what the browser says, to its end.
func (b *browser) listen(out *os.File) {
	defer close(b.answers)

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
			b.answers <- m
			continue
		}

		b.note(m.Method, line)
	}
}

func (b *browser) note(method string, line []byte) {
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
		b.asked = append(b.asked, event.Params.Request.URL)
	case method == "Log.entryAdded" && (e.Source == "security" || e.Level == "error"):
		b.troubles = append(b.troubles, e.Text+" "+e.URL)
	case method == "Runtime.exceptionThrown":
		b.troubles = append(b.troubles, event.Params.ExceptionDetails.Text)
	}
}

// do sends a command and waits for its answer.
func (b *browser) do(method string, params, into any) {
	b.t.Helper()

	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
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
		b.t.Fatalf("%s: no answer", method)
	case m, open := <-b.answers:
		if !open || m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error)
		}

		if into != nil {
			if err := json.Unmarshal(m.Result, into); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// visit opens a page.
func (b *browser) visit(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url}, nil)
}

// await runs an expression before each frame until it is true, and gives its value.
func (b *browser) await(expression string) string {
	b.t.Helper()

	var answer struct {
		Result           struct{ Value string }
		ExceptionDetails json.RawMessage
	}
	b.do("Runtime.evaluate", map[string]any{
		"expression":   fmt.Sprintf("new Promise((done) => { const look = () => { const v = (%s); v ? done(String(v)) : setTimeout(look, 20); }; look(); })", expression),
		"awaitPromise": true, "returnByValue": true,
	}, &answer)

	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}

	return answer.Result.Value
}

// heard is what the page asked for elsewhere, and what was refused.
func (b *browser) heard(origin string) (elsewhere, troubles []string) {
	b.mu.Lock()
	defer b.mu.Unlock()

	for _, url := range b.asked {
		if !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") {
			elsewhere = append(elsewhere, url)
		}
	}

	return elsewhere, b.troubles
}

// TestTheReferenceInARealBrowser loads /docs as it is served: every operation is
// there, one opens with its example, one is tried out; nothing is asked of anybody
// else, and the policy has nothing to refuse.
func TestTheReferenceInARealBrowser(t *testing.T) {
	w := newWorld(t, storetest.File(t))
	b := openBrowser(t)
	b.visit(w.server.URL + "/docs")

	for path, item := range contract(t).Paths.Map() {
		for method, o := range item.Operations() {
			b.await(fmt.Sprintf("document.getElementById('operations-%s-%s')", o.Tags[0], o.OperationID))

			if said := b.await(fmt.Sprintf("document.getElementById('operations-%s-%s').innerText", o.Tags[0], o.OperationID)); !strings.Contains(said, method) || !strings.Contains(strings.ReplaceAll(said, "\u200b", ""), path) {
				t.Errorf("%s %s is shown as %q", method, path, said)
			}
		}
	}

	b.await(`document.querySelector('#operations-videos-createVideo .opblock-summary-control').click() || true`)
	b.await(`document.querySelector('#operations-videos-createVideo')?.innerText.includes('wan2.6-r2v-flash-720p-audio')`)
	b.await(`document.querySelector('#operations-server-healthz .opblock-summary-control').click() || true`)
	b.await(`document.querySelector('#operations-server-healthz .try-out__btn')`)
	b.await(`document.querySelector('#operations-server-healthz .try-out__btn').click() || true`)
	b.await(`document.querySelector('#operations-server-healthz .execute')`)
	b.await(`document.querySelector('#operations-server-healthz .execute').click() || true`)
	b.await(`document.querySelector('#operations-server-healthz .live-responses-table')?.innerText.includes('"ok"')`)
	b.visit(w.server.URL + "/")
	b.await(`document.querySelector('a[href="docs"]')`)

	if elsewhere, troubles := b.heard(w.server.URL); len(elsewhere)+len(troubles) > 0 {
		t.Errorf("it asked elsewhere: %q; trouble: %q", elsewhere, troubles)
	}
}

// TestTheBrowserTellsWhatItRefuses proves that the test above can fail: with a
// picture from elsewhere, and a policy without the style's own pictures.
func TestTheBrowserTellsWhatItRefuses(t *testing.T) {
	w := newWorld(t, storetest.File(t))
	strict := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.api.Handler().ServeHTTP(&stricter{rw}, r)
	}))
	t.Cleanup(strict.Close)
	b := openBrowser(t)
	b.visit(strict.URL + "/docs")
	b.await(`document.getElementById('operations-server-healthz')`)
	b.await(`document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" })) || true`)
	b.await(`document.querySelector('.opblock-summary-control').click() || true`)
	b.await(`document.querySelector('.try-out__btn')`)

	elsewhere, troubles := b.heard(strict.URL)
	if all := strings.Join(troubles, "\n"); !strings.Contains(all, "data:") || !strings.Contains(all, "127.0.0.1:9") {
		t.Errorf("elsewhere %q; refused %q", elsewhere, troubles)
	}
}

// stricter takes data: out of the policy.
type stricter struct{ http.ResponseWriter }

func (s *stricter) WriteHeader(status int) {
	h := s.Header()
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), " data:", "", 1))
	s.ResponseWriter.WriteHeader(status)
}
