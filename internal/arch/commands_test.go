package arch

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	target  = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	inline  = regexp.MustCompile("`([^`\n]+)`")
	makes   = regexp.MustCompile(`(?:^|[;&]\s*|\$ )make ([a-z][a-z-]*)`)
	script  = regexp.MustCompile(`(?:^|[\s;&])(?:\./)?(scripts/[\w.-]+|\.ci/[\w.-]+)`)
	release = regexp.MustCompile(`(?m)^go_version=([0-9.]+)$`)
	wanted  = regexp.MustCompile(`(?m)^go ([0-9.]+)$`)
)

// TestCommandsExist holds the pages to what can really be typed.
func TestCommandsExist(t *testing.T) {
	all := files(t)
	for name, text := range all {
		if !strings.HasSuffix(name, ".md") || strings.HasPrefix(name, "changelog/") {
			continue
		}

		for _, said := range unknown(string(text), string(all["Makefile"]), all) {
			t.Errorf("%s says %q, which does not exist", name, said)
		}
	}
}

// unknown lists the make targets and scripts that a page names and nobody has.
func unknown(page, makefile string, all map[string][]byte) []string {
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(makefile, -1) {
		targets[m[1]] = true
	}

	var found []string

	for _, line := range commands(page) {
		for _, m := range makes.FindAllStringSubmatch(line, -1) {
			if !targets[m[1]] {
				found = append(found, "make "+m[1])
			}
		}

		for _, m := range script.FindAllStringSubmatch(line, -1) {
			if _, ok := all[m[1]]; !ok {
				found = append(found, m[1])
			}
		}
	}

	return found
}

// commands gives a page's fenced lines and what stands between backquotes.
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
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				all = append(all, m[1])
			}
		}
	}

	return all
}

func TestCommandsRule(t *testing.T) {
	page := "Please make sure of `make demo` and `make tea`.\n```sh\n$ make test && make coffee\nscripts/setup demo\n./scripts/gone\n```\nmake nothing\n"
	makefile := "demo: x ## y\n\tmake tea\ntest:\n"

	got := unknown(page, makefile, map[string][]byte{"scripts/setup": nil})
	if diff := cmp.Diff([]string{"make tea", "make coffee", "scripts/gone"}, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

// TestSetupFetchesOurGo: what scripts/setup fetches and what the image is built
// with is what go.mod asks for.
func TestSetupFetchesOurGo(t *testing.T) {
	all := files(t)
	pinned := release.FindSubmatch(all["scripts/setup"])

	asked := wanted.FindSubmatch(all["go.mod"])
	if pinned == nil || asked == nil {
		t.Fatal("scripts/setup has no go_version=, or go.mod no go line")
	}

	if string(pinned[1]) != string(asked[1]) {
		t.Errorf("scripts/setup fetches Go %s, go.mod asks for %s: change version and sums together", pinned[1], asked[1])
	}

	if image := "golang:" + string(asked[1]) + "-"; !strings.Contains(string(all["Dockerfile"]), image) {
		t.Errorf("the Dockerfile does not build with %s", image)
	}
}
