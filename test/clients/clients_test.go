// Package clients tries the real binary with other people's clients, as their users
// have them: each *.mjs file is one client's story, told by Node's own test runner
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

	_ "github.com/unireel/unireel/internal/cli" // what the program is made of: a result is kept only while it is the same
	"github.com/unireel/unireel/internal/store/storetest"
)

// apiKey is the key of every file's server.
const apiKey = "sk-clients-0123456789abcdef"

// patience is how long one file may take; what its waits come to is well below it.
const patience = 3 * time.Minute

// binary is the program, built once.
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

	here, err := os.ReadFile("node_modules/.unireel-lock")

	lock, lockErr := os.ReadFile("package-lock.json")
	if err != nil || lockErr != nil || !bytes.Equal(here, lock) {
		t.Fatal("the clients are missing or not those of package-lock.json; install them with: scripts/setup test")
	}

	files, err := filepath.Glob("*.mjs")
	if err != nil {
		t.Fatal(err)
	}

	for _, file := range files {
		if file == "world.mjs" {
			continue
		}

		t.Run(strings.TrimSuffix(file, ".mjs"), func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, migrate, func(t *testing.T, at storetest.Place) {
				t.Parallel()
				sim := begin(t, nil, "sim", "dashscope", "--addr", "127.0.0.1:0", "--render-time", "300ms")
				url := begin(t, []string{
					"UNIREEL_DATA=" + t.TempDir(), "UNIREEL_ADDR=127.0.0.1:0", "UNIREEL_BOOTSTRAP_KEY=" + apiKey, "UNIREEL_FETCH_ALLOW=127.0.0.1/32",
					"DASHSCOPE_API_KEY=sk-simulated", "UNIREEL_DASHSCOPE_BASE_URL=" + sim, "UNIREEL_DATABASE=" + at.Database,
				}, "serve")
				tell(t, node, file, url)
			})
		})
	}
}

// migrate is `unireel migrate`.
func migrate(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(binary), "UNIREEL_DATABASE=" + database}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w\n%s", err, said)
	}

	return nil
}

// begin starts the program for the length of the test and waits until it says where
// it listens.
func begin(t *testing.T, env []string, args ...string) string {
	t.Helper()

	cmd := exec.Command(binary, args...)

	cmd.Env = append(plain(t), env...)
	said := &record{found: make(chan string, 1)}
	cmd.Stdout = said

	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)

		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()

			t.Errorf("unireel %s did not stop in time", args[0])
		}

		if t.Failed() {
			t.Logf("unireel %s said:\n%s", args[0], said)
		}
	})

	select {
	case found := <-said.found:
		return found
	case err := <-ended:
		ended <- err

		t.Fatalf("unireel %s ended: %v", args[0], err)
	case <-time.After(time.Minute):
		t.Fatalf("unireel %s did not say where it listens", args[0])
	}

	return ""
}

// plain is an environment without anybody's keys, proxies or telemetry.
func plain(t *testing.T) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
}

var address = regexp.MustCompile(`(http://127\.0\.0\.1:\d+) `)

// record keeps what a program says and finds its address there.
type record struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.text.Write(p)

	if where := address.FindSubmatch(r.text.Bytes()); where != nil {
		select {
		case r.found <- string(where[1]):
		default:
		}
	}

	return len(p), nil
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()

	return r.text.String()
}

// tell runs a file and reports each of its tests as one of Go's.
func tell(t *testing.T, node, file, url string) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	cmd := exec.CommandContext(ctx, node, "--test-reporter=tap", file)

	cmd.Env = append(plain(t), "UNIREEL_URL="+url, "UNIREEL_API_KEY="+apiKey)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()

	all := verdicts(string(out))
	for _, v := range all {
		t.Run(v.test, func(t *testing.T) {
			if !v.ok {
				t.Error(v.why)
			}
		})
	}

	if !t.Failed() && (err != nil || len(all) == 0) {
		t.Errorf("node %s: %v\n%s", file, err, out)
	}
}

// verdict is what Node says of one test.
type verdict struct {
	test string
	ok   bool
	why  string
}

// judged is a line of TAP about a test of the file; what is indented is inside one.
var judged = regexp.MustCompile(`(?m)^(not )?ok \d+ - (.*)$`)

func verdicts(tap string) []verdict {
	var all []verdict

	lines := judged.FindAllStringSubmatchIndex(tap, -1)
	for i, at := range lines {
		end := len(tap)
		if i+1 < len(lines) {
			end = lines[i+1][0]
		}

		all = append(all, verdict{tap[at[4]:at[5]], at[2] < 0, tap[at[0]:end]})
	}

	return all
}

func TestVerdicts(t *testing.T) {
	got := verdicts("TAP version 13\n# Subtest: one\n    not ok 1 - inside\nok 1 - one\n  ---\n  ...\nnot ok 2 - two\n  error: 'x'\n1..2\n")

	want := []verdict{{"one", true, "ok 1 - one\n  ---\n  ...\n"}, {"two", false, "not ok 2 - two\n  error: 'x'\n1..2\n"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
