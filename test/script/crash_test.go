package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// crash is one line of the crash table: the point at which the program kills
// itself, and how a customer's order must end all the same.
type crash struct {
	point  string // of the second order; the first one went well
	status string
	cost   string // of the second order
	free   string // the balance at the end
	cancel bool   // the customer's wish meets the submission that nobody knows of
	forget bool   // the supplier's memory ends before we are back
}

var crashes = []crash{
	{point: "before-create-commit:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "after-create-commit:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "preparing:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "before-submit:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "after-submit:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "polling:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "collecting:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "after-put:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "after-final-commit:2", status: "completed", cost: "0.05", free: "99.90"},
	{point: "after-submit:2", cancel: true, status: "completed", cost: "0.05", free: "99.90"}, // too late: it was rendered
	{point: "polling:2", forget: true, status: "failed", cost: "0.00", free: "99.95"},
}

// The real binary is killed at each line of the crash table, on both databases,
// started again, and everything is as if nothing had happened: one task, submitted once, charged
// once.
func TestCrashTable(t *testing.T) {
	for _, c := range crashes {
		name := c.point
		if c.cancel {
			name += " and a cancel"
		}

		if c.forget {
			name += " and forgotten by the supplier"
		}

		for _, database := range databases {
			t.Run(database+" "+name, func(t *testing.T) {
				t.Parallel()
				c.run(t, configured(t, database))
			})
		}
	}
}

func (c crash) run(t *testing.T, env []string) {
	sim := dashscopesim.New(dashscopesim.Options{
		Seed: 1, RenderMin: 300 * time.Millisecond, RenderMax: 400 * time.Millisecond,
		Keys:   []dashscopesim.Key{{Secret: "sk-simulated", ID: "77", Account: "a"}},
		Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: dashscopesim.Unlimited, Queries: dashscopesim.Unlimited},
	})

	supplier := httptest.NewServer(sim)
	defer supplier.Close()

	n := &node{t: t, data: filepath.Join(t.TempDir(), "d"), supplier: supplier.URL, env: env}

	n.start(c.point)
	first := n.order("a first order that goes well", "key-1")
	n.final(first)
	second, err := n.post("the order in question", "key-2")
	n.died()

	if c.forget {
		sent := sim.Submissions()
		sim.Forget(sent[len(sent)-1].Task)
	}

	n.start("")

	if c.cancel {
		if _, err := n.call("POST", "/v1/videos/"+second+"/cancel", ""); err != nil {
			t.Error(err)
		}
	}

	again := n.order("the order in question", "key-2")
	if err == nil && second != again {
		t.Errorf("the retry made another task: %s and %s", second, again)
	}

	if v := n.final(first); v.Status != "completed" {
		t.Errorf("the first order ended %s (%s)", v.Status, v.Error)
	}

	if v := n.final(again); v.Status != c.status || v.Usage.Cost != c.cost {
		t.Errorf("the order in question ended %s for %s, want %s for %s (%s)", v.Status, v.Usage.Cost, c.status, c.cost, v.Error)
	}

	n.books(c.free)
	n.stop()

	submitted := map[string]int{}

	for _, s := range sim.Submissions() {
		if s.Accepted {
			submitted[s.Prompt]++
		}
	}

	for prompt, times := range submitted {
		if times != 1 {
			t.Errorf("%q was submitted %d times", prompt, times)
		}
	}

	if len(submitted) != 2 {
		t.Errorf("the supplier saw %v", submitted)
	}
}

// A supplier's renderer of our own is different: its tickets die with it, and its
// tasks are simply made again.
func TestKillWhileRenderingAPreview(t *testing.T) {
	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			n := &node{t: t, data: filepath.Join(t.TempDir(), "d"), env: configured(t, database)}
			n.start("polling:2")
			id := n.order("a preview", "key-1")
			n.died()
			n.start("")

			if v := n.final(id); v.Status != "completed" || v.Usage.Cost != "0.05" {
				t.Errorf("it ended %s for %s (%s)", v.Status, v.Usage.Cost, v.Error)
			}

			n.books("99.95")
			n.stop()
		})
	}
}

// node is one server with its data folder, started again and again.
type node struct {
	t        *testing.T
	data     string
	supplier string
	env      []string // beyond what every server has
	cmd      *exec.Cmd
	done     chan struct{} // the process has ended
	log      bytes.Buffer
	url      string
}

func (n *node) start(point string) {
	n.t.Helper()
	profile := filepath.Join(n.data, "profile.json")
	_ = os.Remove(profile)
	n.cmd = exec.Command(binary, "serve")

	n.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.data, "UNIREEL_DATA=" + n.data, "UNIREEL_ADDR=127.0.0.1:0", "UNIREEL_BOOTSTRAP_KEY=" + apiKey,
		"UNIREEL_FAILPOINT=" + point, "UNIREEL_HASTE=40", "UNIREEL_SUBMITS_PER_SECOND=100",
	}
	if n.supplier != "" {
		n.cmd.Env = append(n.cmd.Env, "DASHSCOPE_API_KEY=sk-simulated", "UNIREEL_DASHSCOPE_BASE_URL="+n.supplier)
	}

	n.cmd.Env = append(n.cmd.Env, n.env...)
	n.cmd.Stdout = &n.log

	n.cmd.Stderr = &n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}

	cmd := n.cmd
	done := make(chan struct{})
	n.done = done

	go func() { _ = cmd.Wait(); close(done) }()

	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()

		<-done

		if n.t.Failed() {
			n.t.Log(n.log.String())
		}
	})

	deadline := time.After(60 * time.Second)

	for {
		var seen struct{ URL string }

		text, _ := os.ReadFile(profile)
		if json.Unmarshal(text, &seen) == nil && seen.URL != "" {
			if resp, err := http.Get(seen.URL + "/readyz"); err == nil {
				_ = resp.Body.Close()
				n.url = seen.URL

				return
			}
		}

		select {
		case <-done:
			n.t.Fatal("the server ended")
		case <-deadline:
			n.t.Fatal("the server did not start")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// died waits for the program to kill itself at its point.
func (n *node) died() {
	n.t.Helper()

	timer := time.AfterFunc(60*time.Second, func() { _ = n.cmd.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()

	<-n.done

	if status, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		n.t.Fatalf("it did not die at its point: %v", n.cmd.ProcessState)
	}
}

func (n *node) stop() {
	n.t.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	<-n.done

	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("stopped with exit code %d", code)
	}
}

// seenVideo is what the test looks at of an answer.
type seenVideo struct {
	ID     string
	Status string
	Usage  struct{ Cost string }
	Error  json.RawMessage
}

func (n *node) call(method, path, body string, header ...string) (v seenVideo, err error) {
	ctx, done := context.WithTimeout(context.Background(), 60*time.Second)
	defer done()

	req, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return v, err
	}

	req.Header.Set("Authorization", "Bearer "+apiKey)

	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	resp, err := client.Do(req)
	if err != nil {
		return v, err
	}

	defer func() { _ = resp.Body.Close() }()

	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return v, err
	}

	if resp.StatusCode != http.StatusOK {
		return v, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}

	return v, json.Unmarshal(text, &v)
}

func (n *node) post(prompt, key string) (string, error) {
	body, err := json.Marshal(map[string]any{"model": "wan2.6-r2v-flash-720p-silent", "prompt": prompt, "images": []string{"file_sample_ref_1"}, "duration": 2})
	if err != nil {
		return "", err
	}

	v, err := n.call("POST", "/v1/video/generations", string(body), "Idempotency-Key", key, "Content-Type", "application/json")

	return v.ID, err
}

func (n *node) order(prompt, key string) string {
	n.t.Helper()

	id, err := n.post(prompt, key)
	if err != nil {
		n.t.Fatal(err)
	}

	return id
}

func (n *node) final(id string) seenVideo {
	n.t.Helper()

	for range 8 {
		v, err := n.call("GET", "/v1/videos/"+id+"?wait=30", "")
		if err != nil && !gone(err) {
			n.t.Fatal(err)
		}

		if v.Status != "queued" && v.Status != "in_progress" {
			return v
		}
	}

	n.t.Fatalf("%s is not final", id)

	return seenVideo{}
}

// gone says whether a server was not there to answer.
func gone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// books checks the balance, and that doctor finds nothing.
func (n *node) books(free string) {
	n.t.Helper()

	var balance struct{ Free, Held string }

	req, err := http.NewRequest("GET", n.url+"/v1/balance", nil)
	if err != nil {
		n.t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+apiKey)

	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}

	defer func() { _ = resp.Body.Close() }()

	if err := json.NewDecoder(resp.Body).Decode(&balance); err != nil {
		n.t.Fatal(err)
	}

	if balance.Free != free || balance.Held != "0.00" {
		n.t.Errorf("balance %+v, want %s free and nothing held", balance, free)
	}

	doctor := exec.Command(binary, "doctor")

	doctor.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.data, "UNIREEL_DATA=" + n.data}, n.env...)
	if out, err := doctor.CombinedOutput(); err != nil {
		n.t.Errorf("doctor: %v\n%s", err, out)
	}
}
