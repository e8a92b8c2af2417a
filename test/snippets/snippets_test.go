// Package snippets runs the commands of the README, the quickstart and the guides as a
// reader would paste them: from the top of a fresh copy of the repository, one page after
// the other, each in a shell of its own. A block marked sh is run; one marked console is
// only shown, because it needs a supplier's key or never ends.
package snippets

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/unireel/unireel/internal/cli" // the program's sources: a cached result holds only while they are the same
)

const root = "../.."

// pageTimeout bounds one page; the longest needs about half a minute on an idle machine.
const pageTimeout = 2 * time.Minute

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	address    = regexp.MustCompile(`127\.0\.0\.1:(8080|8081|8090)`)
)

func TestSnippets(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/guides/*.md"))
	if err != nil {
		t.Fatal(err)
	}

	pages = append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "docs/quickstart.md"))

	for _, page := range pages {
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}

		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}

			runPage(t, string(text))
		})
	}
}

// runPage runs the page's shell blocks in one shell that ends at the first error.
func runPage(t *testing.T, text string) {
	t.Helper()

	blocks := shellBlock.FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("the page has no block marked sh")
	}

	// The servers that a page starts in the background end with its shell. Only they
	// are ended: the shell knows their process IDs.
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
	for _, b := range blocks {
		script += b[1]
	}

	ctx, cancel := context.WithTimeout(t.Context(), pageTimeout)
	defer cancel()

	ports := freePorts(t)
	script = address.ReplaceAllStringFunc(script, func(a string) string { return "127.0.0.1:" + ports[strings.TrimPrefix(a, "127.0.0.1:")] })
	// The simulator has no variable for its address: what it listens on by default is said.
	script = strings.Replace(script, "sim dashscope", "sim dashscope --addr 127.0.0.1:"+ports["8090"], 1)

	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = copyRepository(t)
	cmd.Env = append(environment(),
		"PATH="+npmFolder(t)+":"+os.Getenv("PATH"),
		"XDG_DATA_HOME="+t.TempDir(), // the data folder of a new user
		"UNIREEL_ADDR=127.0.0.1:"+ports["8080"],
	)
	// An interrupt lets the shell end its servers before it ends itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second

	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the page's commands fail: %v\n%s", err, output)
	}

	checkVideos(t, cmd.Dir, script)
}

// checkVideos looks at every video that the page's commands write by name.
func checkVideos(t *testing.T, folder, script string) {
	t.Helper()

	names := regexp.MustCompile(`[\w-]+\.mp4`).FindAllString(script, -1)
	checked := 0

	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			continue // a link's last part, not a file that the page writes
		}

		checked++

		if len(data) < 12 || string(data[4:8]) != "ftyp" {
			t.Errorf("%s is no MP4 file; it begins with %q", name, data[:min(len(data), 100)])
		}
	}

	if strings.Contains(script, ".mp4") && checked == 0 {
		t.Error("the page's commands wrote no video")
	}
}

// copyRepository copies what git knows of this checkout, changed files as they are now.
func copyRepository(t *testing.T) string {
	t.Helper()

	folder := t.TempDir()
	copying := exec.Command("bash", "-c", `set -euo pipefail
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
			while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done |
			tar --null --files-from=- -cf - | tar -xf - -C "$1"`, "bash", folder)
	copying.Dir = root

	if output, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, output)
	}

	return folder
}

// npmFolder has an npm that installs the clients which scripts/setup got before, so that
// the tests need no network.
func npmFolder(t *testing.T) string {
	t.Helper()

	modules, err := filepath.Abs(filepath.Join(root, "test/clients/node_modules"))
	if err != nil {
		t.Fatal(err)
	}

	if _, err := os.Stat(filepath.Join(modules, "openai")); err != nil {
		t.Fatal("the clients are missing; install them with: scripts/setup test")
	}

	folder := t.TempDir()

	script := fmt.Sprintf("#!/bin/sh\nset -eu\n[ \"$1\" = install ]\nln -sfn %q node_modules\n", modules)
	if err := os.WriteFile(filepath.Join(folder, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}

	return folder
}

// freePorts finds a free port for each that the pages use.
func freePorts(t *testing.T) map[string]string {
	t.Helper()

	ports := map[string]string{}

	for _, port := range []string{"8080", "8081", "8090"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()

		_, free, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}

		ports[port] = free
	}

	return ports
}

// environment is this process's, without what would configure the program.
func environment() []string {
	var kept []string

	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "UNIREEL_") && !strings.HasPrefix(entry, "DASHSCOPE_") && !strings.HasPrefix(entry, "PATH=") {
			kept = append(kept, entry)
		}
	}

	return kept
}

// TestBlocks shows that only blocks marked sh are run.
func TestBlocks(t *testing.T) {
	page := "```sh\none\n```\n\n```console\n$ two\n```\n\n```sh\nthree\n```\n"

	var got bytes.Buffer
	for _, b := range shellBlock.FindAllStringSubmatch(page, -1) {
		got.WriteString(b[1])
	}

	if got.String() != "one\nthree\n" {
		t.Errorf("blocks are %q", got.String())
	}
}
