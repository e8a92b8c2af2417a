package arch

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	routed  = regexp.MustCompile(`\{"([A-Z]+)", "(/[^"]*)"`)
	told    = regexp.MustCompile("(?m)^\\| `([A-Z]+) (/[^` ]*)` \\|")
	proof   = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	ourFile = regexp.MustCompile("`((?:client|cmd|deploy|docs|internal|scripts|test)/[\\w./-]*\\w)/?`")
	priced  = regexp.MustCompile("(?m)^\\| `(wan[^`]+)` \\|.*\\| ([0-9.]+) \\|$")
	sets    = regexp.MustCompile(`(?m)(?:^|[\s=])(UNIREEL_[A-Z0-9_]+)[:=]`)
	perUnit = regexp.MustCompile(`per_second: \{USD: "([0-9.]+)"`)
)

// TestREADMEListsEveryEndpoint holds the README's tables to routes.go.
func TestREADMEListsEveryEndpoint(t *testing.T) {
	all := files(t)
	if diff := cmp.Diff(endpoints(routed, all["internal/api/routes.go"]), endpoints(told, all["README.md"])); diff != "" {
		t.Errorf("endpoints of routes.go and of README.md (-routes +README):\n%s", diff)
	}
}

func endpoints(pattern *regexp.Regexp, text []byte) []string {
	var list []string
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		list = append(list, string(m[1])+" "+strings.ReplaceAll(string(m[2]), "{$}", ""))
	}

	slices.Sort(list)

	return list
}

// TestDeploymentsUseKnobs: what a compose file or a unit sets is a knob that
// config.md describes.
func TestDeploymentsUseKnobs(t *testing.T) {
	all := files(t)
	for _, name := range []string{"compose.yaml", "deploy/replicas/compose.yaml", "deploy/unireel.service", "Dockerfile"} {
		set := sets.FindAllSubmatch(all[name], -1)
		for _, m := range set {
			if !strings.Contains(string(all["docs/config.md"]), "`"+string(m[1])+"`") {
				t.Errorf("%s sets %s, which is no knob", name, m[1])
			}
		}

		if len(set) == 0 {
			t.Errorf("%s sets no knob", name)
		}
	}
}

// TestREADMEPricesEveryModel holds the README's price table to the model files.
func TestREADMEPricesEveryModel(t *testing.T) {
	all := files(t)
	want := map[string]string{}
	got := map[string]string{}

	for name, text := range all {
		if id, ok := strings.CutSuffix(path.Base(name), ".yaml"); ok && path.Dir(name) == "internal/catalog/models" {
			if m := perUnit.FindSubmatch(text); m != nil {
				want[id] = string(m[1])
			}
		}
	}

	for _, m := range priced.FindAllSubmatch(all["README.md"], -1) {
		got[string(m[1])] = string(m[2])
	}

	if len(want) == 0 {
		t.Fatal("no model file has a price in USD")
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices of the model files and of README.md (-files +README):\n%s", diff)
	}
}

// TestPagesNameWhatExists: a test, file or folder that README.md or docs/ names
// is there.
func TestPagesNameWhatExists(t *testing.T) {
	all := files(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		page := name == "README.md" || path.Dir(name) == "docs" && path.Ext(name) == ".md"
		if !page {
			continue
		}

		for _, gone := range absent(string(all[name]), all) {
			t.Errorf("%s names %s, which does not exist", name, gone)
		}
	}
}

// absent lists the tests and files that a page names and nobody has.
func absent(page string, all map[string][]byte) []string {
	there := map[string]bool{}

	for name, text := range all {
		for ; name != "."; name = path.Dir(name) {
			there[name] = true
		}

		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
	}

	var gone []string

	for _, said := range proof.FindAllString(page, -1) {
		if !there[said] {
			gone = append(gone, said)
		}
	}

	for _, m := range ourFile.FindAllStringSubmatch(page, -1) {
		if !there[m[1]] {
			gone = append(gone, m[1])
		}
	}

	return gone
}

func TestPagesRules(t *testing.T) {
	all := map[string][]byte{"internal/a/x_test.go": []byte("package a\n\nfunc TestHere(t *testing.T) {}\n")}

	page := "TestHere and TestGone; `internal/a`, `internal/a/x_test.go`, `internal/b/y.go` and internal/c."
	if diff := cmp.Diff([]string{"TestGone", "internal/b/y.go"}, absent(page, all)); diff != "" {
		t.Errorf("absent (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"DELETE /v1/x/{id}", "GET /"}, endpoints(routed, []byte(`{"GET", "/{$}", open}, {"DELETE", "/v1/x/{id}", write}`))); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"GET /", "POST /v1/x"}, endpoints(told, []byte("| `GET /` | a |\n| `POST /v1/x` | b |\n`PUT /v1/y`\n"))); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
