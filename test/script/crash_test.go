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

// crashCase is one row of the crash table: the fail point at which the program
// kills itself, and how the customer's task must end nevertheless.
type crashCase struct {
	failpoint       string // NAME:2, the second time that the point is reached: the first task passes it
	wantStatus      string
	wantCost        string // of the second task
	wantFree        string // free credit at the end
	cancelDuring    bool   // the task is cancelled while its submission is still unknown to the server
	supplierForgets bool   // the supplier forgets the task before the server is back
}

var crashCases = []crashCase{
	{failpoint: "before-create-commit:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "after-create-commit:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "preparing:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "before-submit:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "after-submit:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "polling:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "collecting:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "after-blob-put:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "after-final-commit:2", wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"},
	{failpoint: "after-submit:2", cancelDuring: true, wantStatus: "completed", wantCost: "0.05", wantFree: "99.90"}, // the supplier had rendered it already
	{failpoint: "polling:2", supplierForgets: true, wantStatus: "failed", wantCost: "0.00", wantFree: "99.95"},
}

// TestCrashTable kills the real binary at each fail point of the crash table, on
// both databases, and starts it again. The result is the same as without the crash:
// one task, submitted once and charged once.
func TestCrashTable(t *testing.T) {
	for _, c := range crashCases {
		name := c.failpoint
		if c.cancelDuring {
			name += " and a cancel"
		}

		if c.supplierForgets {
			name += " and forgotten by the supplier"
		}

		for _, database := range databases {
			t.Run(database+" "+name, func(t *testing.T) {
				t.Parallel()
				c.run(t, databaseEnv(t, database))
			})
		}
	}
}

func (c crashCase) run(t *testing.T, env []string) {
	sim := dashscopesim.New(dashscopesim.Options{
		Seed:      1,
		RenderMin: 300 * time.Millisecond,
		RenderMax: 400 * time.Millisecond,
		Keys:      []dashscopesim.Key{{Secret: "sk-simulated", ID: "77", Account: "a"}},
		Limits: dashscopesim.Limits{
			Submits:    dashscopesim.Unlimited,
			InProgress: dashscopesim.Unlimited,
			Queries:    dashscopesim.Unlimited,
		},
	})

	supplier := httptest.NewServer(sim)
	defer supplier.Close()

	n := &node{t: t, dataDir: filepath.Join(t.TempDir(), "d"), supplierURL: supplier.URL, env: env}

	n.start(c.failpoint)

	firstID := n.mustCreate("a first task without a crash", "key-1")
	n.waitFinal(firstID)

	// The second task meets the fail point. Its create returns an error if the server
	// dies before it responds; then the customer does not know the task's id.
	secondID, err := n.create("the task that meets the crash", "key-2")
	n.waitCrashed()

	if c.supplierForgets {
		submissions := sim.Submissions()
		sim.Forget(submissions[len(submissions)-1].TaskID)
	}

	n.start("")

	if c.cancelDuring {
		if _, err := n.do("POST", "/v1/videos/"+secondID+"/cancel", ""); err != nil {
			t.Error(err)
		}
	}

	// The customer repeats the create with the same idempotency key, whether the first
	// one returned an id or not: that must never make another task.
	retriedID := n.mustCreate("the task that meets the crash", "key-2")
	if err == nil && secondID != retriedID {
		t.Errorf("the retried create made another task: %s and %s", secondID, retriedID)
	}

	if v := n.waitFinal(firstID); v.Status != "completed" {
		t.Errorf("the first task is %s, want completed (%s)", v.Status, v.Error)
	}

	if v := n.waitFinal(retriedID); v.Status != c.wantStatus || v.Usage.Cost != c.wantCost {
		t.Errorf("the second task is %s and costs %s, want %s and %s (%s)", v.Status, v.Usage.Cost, c.wantStatus, c.wantCost, v.Error)
	}

	n.checkLedger(c.wantFree)
	n.stop()

	submitted := map[string]int{}

	for _, s := range sim.Submissions() {
		if s.Accepted {
			submitted[s.Prompt]++
		}
	}

	for prompt, times := range submitted {
		if times != 1 {
			t.Errorf("%q was submitted %d times, want once", prompt, times)
		}
	}

	if len(submitted) != 2 {
		t.Errorf("the supplier accepted %v, want 2 tasks", submitted)
	}
}

// TestKillWhileRenderingPreview kills the program while the embedded renderer works.
// The renderer's remote IDs are lost with the process, so the task is rendered
// again.
func TestKillWhileRenderingPreview(t *testing.T) {
	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			n := &node{t: t, dataDir: filepath.Join(t.TempDir(), "d"), env: databaseEnv(t, database)}
			n.start("polling:2")
			id := n.mustCreate("a preview", "key-1")
			n.waitCrashed()
			n.start("")

			if v := n.waitFinal(id); v.Status != "completed" || v.Usage.Cost != "0.05" {
				t.Errorf("the task is %s and costs %s, want completed and 0.05 (%s)", v.Status, v.Usage.Cost, v.Error)
			}

			n.checkLedger("99.95")
			n.stop()
		})
	}
}

// node is one server, which keeps its data folder when it is started again.
type node struct {
	t           *testing.T
	dataDir     string
	supplierURL string
	env         []string // in addition to the environment of every server
	cmd         *exec.Cmd
	exited      chan struct{} // closed when the process has exited
	log         bytes.Buffer
	baseURL     string
}

// start starts the server and waits until it is ready. The server kills itself at
// failpoint; "" is none.
func (n *node) start(failpoint string) {
	n.t.Helper()
	profile := filepath.Join(n.dataDir, "profile.json")
	_ = os.Remove(profile)
	n.cmd = exec.Command(binary, "serve")

	n.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + n.dataDir,
		"UNIREEL_DATA=" + n.dataDir,
		"UNIREEL_ADDR=127.0.0.1:0",
		"UNIREEL_BOOTSTRAP_KEY=" + apiKey,
		"UNIREEL_FAILPOINT=" + failpoint,
		"UNIREEL_RECOVERY_SPEEDUP=40",
		"UNIREEL_SUBMITS_PER_SECOND=100",
	}

	if n.supplierURL != "" {
		n.cmd.Env = append(n.cmd.Env, "DASHSCOPE_API_KEY=sk-simulated", "UNIREEL_DASHSCOPE_BASE_URL="+n.supplierURL)
	}

	n.cmd.Env = append(n.cmd.Env, n.env...)
	n.cmd.Stdout = &n.log
	n.cmd.Stderr = &n.log

	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}

	cmd := n.cmd
	exited := make(chan struct{})
	n.exited = exited

	go func() { _ = cmd.Wait(); close(exited) }()

	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()

		<-exited

		if n.t.Failed() {
			n.t.Log(n.log.String())
		}
	})

	deadline := time.After(60 * time.Second)

	for {
		var parsed struct{ URL string }

		text, _ := os.ReadFile(profile)
		if json.Unmarshal(text, &parsed) == nil && parsed.URL != "" {
			if resp, err := http.Get(parsed.URL + "/readyz"); err == nil {
				_ = resp.Body.Close()
				n.baseURL = parsed.URL

				return
			}
		}

		select {
		case <-exited:
			n.t.Fatal("the server exited before it was ready")
		case <-deadline:
			n.t.Fatal("the server was not ready within 60 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// waitCrashed waits until the program has killed itself at its fail point.
func (n *node) waitCrashed() {
	n.t.Helper()

	timer := time.AfterFunc(60*time.Second, func() { _ = n.cmd.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()

	<-n.exited

	if status, ok := n.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		n.t.Fatalf("the server did not kill itself at its fail point: %v", n.cmd.ProcessState)
	}
}

// stop ends the server with SIGTERM and expects exit code 0.
func (n *node) stop() {
	n.t.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	<-n.exited

	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("after SIGTERM the server exited with code %d, want 0", code)
	}
}

// taskResponse is the fields of a task that the tests check.
type taskResponse struct {
	ID     string
	Status string
	Usage  struct{ Cost string }
	Error  json.RawMessage
}

// do sends a request; header lists names and values in turn. A status other than
// 200 is an error.
func (n *node) do(method, path, body string, header ...string) (v taskResponse, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, method, n.baseURL+path, strings.NewReader(body))
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

func (n *node) create(prompt, key string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"model":    "wan2.6-r2v-flash-720p-silent",
		"prompt":   prompt,
		"images":   []string{"file_sample_ref_1"},
		"duration": 2,
	})
	if err != nil {
		return "", err
	}

	v, err := n.do("POST", "/v1/video/generations", string(body), "Idempotency-Key", key, "Content-Type", "application/json")

	return v.ID, err
}

func (n *node) mustCreate(prompt, key string) string {
	n.t.Helper()

	id, err := n.create(prompt, key)
	if err != nil {
		n.t.Fatal(err)
	}

	return id
}

func (n *node) waitFinal(id string) taskResponse {
	n.t.Helper()

	for range 8 {
		v, err := n.do("GET", "/v1/videos/"+id+"?wait=30", "")
		if err != nil && !isConnectionError(err) {
			n.t.Fatal(err)
		}

		if v.Status != "queued" && v.Status != "in_progress" {
			return v
		}
	}

	n.t.Fatalf("%s is not final", id)

	return taskResponse{}
}

// isConnectionError reports whether err means that no server responded.
func isConnectionError(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF)
}

// checkLedger checks the balance, and that `unireel doctor` reports no problem.
func (n *node) checkLedger(wantFree string) {
	n.t.Helper()

	var balance struct{ Free, Held string }

	req, err := http.NewRequest("GET", n.baseURL+"/v1/balance", nil)
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

	if balance.Free != wantFree || balance.Held != "0.00" {
		n.t.Errorf("balance is %+v, want %s free and 0.00 held", balance, wantFree)
	}

	doctor := exec.Command(binary, "doctor")

	doctor.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.dataDir, "UNIREEL_DATA=" + n.dataDir}, n.env...)
	if out, err := doctor.CombinedOutput(); err != nil {
		n.t.Errorf("doctor: %v\n%s", err, out)
	}
}
