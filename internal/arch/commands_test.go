package arch

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	targetPattern      = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	inlineCodePattern  = regexp.MustCompile("`([^`\n]+)`")
	makePattern        = regexp.MustCompile(`(?:^|[;&]\s*|\$ )make ([a-z][a-z-]*)`)
	scriptPattern      = regexp.MustCompile(`(?:^|[\s;&])(?:\./)?(scripts/[\w.-]+|\.ci/[\w.-]+)`)
	pinnedGoPattern    = regexp.MustCompile(`(?m)^go_version=([0-9.]+)$`)
	goDirectivePattern = regexp.MustCompile(`(?m)^go ([0-9.]+)$`)
)

// TestCommandsExist checks that every make target and script that a page names exists.
func TestCommandsExist(t *testing.T) {
	all := files(t)
	for name, text := range all {
		if !strings.HasSuffix(name, ".md") || strings.HasPrefix(name, "changelog/") {
			continue
		}

		for _, command := range unknownCommands(string(text), string(all["Makefile"]), all) {
			t.Errorf("%s names %q, which does not exist", name, command)
		}
	}
}

// unknownCommands lists the make targets and scripts that a page names and that do not exist.
func unknownCommands(page, makefile string, all map[string][]byte) []string {
	targets := map[string]bool{}
	for _, m := range targetPattern.FindAllStringSubmatch(makefile, -1) {
		targets[m[1]] = true
	}

	var found []string

	for _, line := range commands(page) {
		for _, m := range makePattern.FindAllStringSubmatch(line, -1) {
			if !targets[m[1]] {
				found = append(found, "make "+m[1])
			}
		}

		for _, m := range scriptPattern.FindAllStringSubmatch(line, -1) {
			if _, ok := all[m[1]]; !ok {
				found = append(found, m[1])
			}
		}
	}

	return found
}

// commands returns a page's lines in fenced blocks and its inline code.
func commands(page string) []string {
	var all []string

	fenced := false

	for line := range strings.SplitSeq(page, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced:
			all = append(all, line)
		default:
			for _, m := range inlineCodePattern.FindAllStringSubmatch(line, -1) {
				all = append(all, m[1])
			}
		}
	}

	return all
}

func TestCommandsRule(t *testing.T) {
	page := "Please make sure of `make demo` and `make tea`.\n```sh\n$ make test && make coffee\nscripts/setup demo\n./scripts/gone\n```\nmake nothing\n"
	makefile := "demo: x ## y\n\tmake tea\ntest:\n"

	got := unknownCommands(page, makefile, map[string][]byte{"scripts/setup": nil})
	if diff := cmp.Diff([]string{"make tea", "make coffee", "scripts/gone"}, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

// TestSetupPinsGoVersion checks that scripts/setup downloads, and the image is built with, the
// Go version of go.mod.
func TestSetupPinsGoVersion(t *testing.T) {
	all := files(t)
	pinned := pinnedGoPattern.FindSubmatch(all["scripts/setup"])

	required := goDirectivePattern.FindSubmatch(all["go.mod"])
	if pinned == nil || required == nil {
		t.Fatal("scripts/setup has no go_version=, or go.mod no go line")
	}

	if string(pinned[1]) != string(required[1]) {
		t.Errorf("scripts/setup downloads Go %s, go.mod requires %s: change the version and the checksums together", pinned[1], required[1])
	}

	if image := "golang:" + string(required[1]) + "-"; !strings.Contains(string(all["Dockerfile"]), image) {
		t.Errorf("the Dockerfile does not build with %s", image)
	}
}
