// Package clients tests the real binary with API clients by other authors, in the
// versions that npm has. Each *.mjs file tests one client; Node's test runner runs it
// against a server of its own, whose supplier is the simulator.
package clients

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/unireel/unireel/internal/cli" // the program's packages: a change to them invalidates the cached test result
	"github.com/unireel/unireel/internal/store/storetest"
)

// apiKey is the first API key of every file's server.
const apiKey = "sk-clients-0123456789abcdef"

// fileTimeout is how long the tests of one file may take. Their waits add up to much
// less.
const fileTimeout = 3 * time.Minute

// binary is the path of the program, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "unireel-clients-*")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()

		binary = filepath.Join(dir, "unireel")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/unireel")

		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot build the program:", err)
			return 1
		}

		return m.Run()
	}())
}

func TestClients(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing; install it and the clients with: scripts/setup test")
	}

	installed, err := os.ReadFile("node_modules/.unireel-lock")

	lock, lockErr := os.ReadFile("package-lock.json")
	if err != nil || lockErr != nil || !bytes.Equal(installed, lock) {
		t.Fatal("the clients are missing or differ from package-lock.json; install them with: scripts/setup test")
	}

	files, err := filepath.Glob("*.mjs")
	if err != nil {
		t.Fatal(err)
	}

	for _, file := range files {
		if file == "harness.mjs" {
			continue
		}

		t.Run(strings.TrimSuffix(file, ".mjs"), func(t *testing.T) {
			t.Parallel()
			storetest.EachDatabase(t, migrate, func(t *testing.T, location storetest.Location) {
				t.Parallel()
				sim := startProgram(t, nil, "sim", "dashscope", "--addr", "127.0.0.1:0", "--render-time", "300ms")
				url := startProgram(t, []string{
					"UNIREEL_DATA=" + t.TempDir(), "UNIREEL_ADDR=127.0.0.1:0", "UNIREEL_BOOTSTRAP_KEY=" + apiKey, "UNIREEL_FETCH_ALLOW=127.0.0.1/32",
					"DASHSCOPE_API_KEY=sk-simulated", "UNIREEL_DASHSCOPE_BASE_URL=" + sim, "UNIREEL_DATABASE=" + location.Database,
				}, "serve")
				runFile(t, node, file, url)
			})
		})
	}
}

// migrate runs `unireel migrate` on a database.
func migrate(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(binary), "UNIREEL_DATABASE=" + database}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w\n%s", err, output)
	}

	return nil
}

// startProgram starts the program, waits until it has printed the address on which it
// listens, and returns that address. The program is stopped when the test ends.
func startProgram(t *testing.T, env []string, args ...string) string {
	t.Helper()

	cmd := exec.Command(binary, args...)

	cmd.Env = append(cleanEnv(t), env...)
	output := &outputRecorder{address: make(chan string, 1)}
	cmd.Stdout = output
	cmd.Stderr = output

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)

		select {
		case <-exited:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()

			t.Errorf("unireel %s did not exit within 30 s of SIGTERM", args[0])
		}

		if t.Failed() {
			t.Logf("output of unireel %s:\n%s", args[0], output)
		}
	})

	select {
	case found := <-output.address:
		return found
	case err := <-exited:
		exited <- err

		t.Fatalf("unireel %s exited: %v", args[0], err)
	case <-time.After(time.Minute):
		t.Fatalf("unireel %s did not print its address within a minute", args[0])
	}

	return ""
}

// cleanEnv returns an environment without the user's keys, proxies and telemetry
// settings.
func cleanEnv(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
}

var addressPattern = regexp.MustCompile(`(http://127\.0\.0\.1:\d+) `)

// outputRecorder records the output of a program and finds the program's address in
// it.
type outputRecorder struct {
	mu      sync.Mutex
	text    bytes.Buffer
	address chan string
}

func (r *outputRecorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.text.Write(p)

	if match := addressPattern.FindSubmatch(r.text.Bytes()); match != nil {
		select {
		case r.address <- string(match[1]):
		default:
		}
	}

	return len(p), nil
}

func (r *outputRecorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.text.String()
}

// runFile runs the tests of a file and reports each as a subtest.
func runFile(t *testing.T, node, file, url string) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), fileTimeout)
	defer cancel()

	cmd := exec.CommandContext(ctx, node, "--test-reporter=tap", file)

	cmd.Env = append(cleanEnv(t), "UNIREEL_URL="+url, "UNIREEL_API_KEY="+apiKey)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()

	results := parseTAP(string(out))
	for _, result := range results {
		t.Run(result.name, func(t *testing.T) {
			if !result.ok {
				t.Error(result.output)
			}
		})
	}

	if !t.Failed() && (err != nil || len(results) == 0) {
		t.Errorf("node %s: %v\n%s", file, err, out)
	}
}

// testResult is the result of one of Node's tests.
type testResult struct {
	name   string
	ok     bool
	output string
}

// tapResult matches the result of a test of the file in TAP. Results that are indented
// belong to a subtest.
var tapResult = regexp.MustCompile(`(?m)^(not )?ok \d+ - (.*)$`)

// parseTAP returns the results of a file's tests. The output of a test is all lines from
// its result to the next one.
func parseTAP(tap string) []testResult {
	var results []testResult

	lines := tapResult.FindAllStringSubmatchIndex(tap, -1)
	for i, match := range lines {
		end := len(tap)
		if i+1 < len(lines) {
			end = lines[i+1][0]
		}

		results = append(results, testResult{
			name:   tap[match[4]:match[5]],
			ok:     match[2] < 0,
			output: tap[match[0]:end],
		})
	}

	return results
}

func TestParseTAP(t *testing.T) {
	got := parseTAP("TAP version 13\n# Subtest: one\n    not ok 1 - inside\nok 1 - one\n  ---\n  ...\nnot ok 2 - two\n  error: 'x'\n1..2\n")

	want := []testResult{{"one", true, "ok 1 - one\n  ---\n  ...\n"}, {"two", false, "not ok 2 - two\n  error: 'x'\n1..2\n"}}
	if !slices.Equal(got, want) {
		t.Errorf("parseTAP returns %+v, want %+v", got, want)
	}
}
