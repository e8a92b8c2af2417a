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
	routePattern    = regexp.MustCompile(`\{"([A-Z]+)", "(/[^"]*)"`)
	endpointPattern = regexp.MustCompile("(?m)^\\| `([A-Z]+) (/[^` ]*)` \\|")
	testNamePattern = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	filePattern     = regexp.MustCompile("`((?:client|cmd|deploy|docs|internal|scripts|test)/[\\w./-]*\\w)/?`")
	pricePattern    = regexp.MustCompile("(?m)^\\| `(wan[^`]+)` \\|.*\\| ([0-9.]+) \\|$")
	envPattern      = regexp.MustCompile(`(?m)(?:^|[\s=])(UNIREEL_[A-Z0-9_]+)[:=]`)
	usdPricePattern = regexp.MustCompile(`per_second: \{USD: "([0-9.]+)"`)
)

// The reference pages that are compared with the code.
const (
	endpointsPage = "docs/reference/endpoints.md"
	modelsPage    = "docs/reference/models.md"
)

// TestEndpointsPageIsComplete compares the endpoints page with routes.go.
func TestEndpointsPageIsComplete(t *testing.T) {
	all := files(t)
	if diff := cmp.Diff(endpoints(routePattern, all["internal/api/routes.go"]), endpoints(endpointPattern, all[endpointsPage])); diff != "" {
		t.Errorf("endpoints of routes.go and of %s (-routes +page):\n%s", endpointsPage, diff)
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

// TestDeploymentsUseDocumentedSettings checks that docs/config.md documents every setting in
// the compose files, the systemd unit and the Dockerfile.
func TestDeploymentsUseDocumentedSettings(t *testing.T) {
	all := files(t)
	for _, name := range []string{"compose.yaml", "deploy/replicas/compose.yaml", "deploy/unireel.service", "Dockerfile"} {
		set := envPattern.FindAllSubmatch(all[name], -1)
		for _, m := range set {
			if !strings.Contains(string(all["docs/config.md"]), "`"+string(m[1])+"`") {
				t.Errorf("%s sets %s, which docs/config.md does not document", name, m[1])
			}
		}

		if len(set) == 0 {
			t.Errorf("%s has no setting", name)
		}
	}
}

// TestModelsPageIsComplete compares the price table with the model files.
func TestModelsPageIsComplete(t *testing.T) {
	all := files(t)
	want := map[string]string{}
	got := map[string]string{}

	for name, text := range all {
		if id, ok := strings.CutSuffix(path.Base(name), ".yaml"); ok && path.Dir(name) == "internal/catalog/models" {
			if m := usdPricePattern.FindSubmatch(text); m != nil {
				want[id] = string(m[1])
			}
		}
	}

	for _, m := range pricePattern.FindAllSubmatch(all[modelsPage], -1) {
		got[string(m[1])] = string(m[2])
	}

	if len(want) == 0 {
		t.Fatal("no model file has a price in USD")
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("prices of the model files and of %s (-files +page):\n%s", modelsPage, diff)
	}
}

// TestDocsNameWhatExists checks that every test, file and folder that a page names exists.
func TestDocsNameWhatExists(t *testing.T) {
	all := files(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		page := path.Ext(name) == ".md" && (!strings.Contains(name, "/") || strings.HasPrefix(name, "docs/"))
		if !page {
			continue
		}

		for _, missing := range missingNames(string(all[name]), all) {
			t.Errorf("%s names %s, which does not exist", name, missing)
		}
	}
}

// missingNames lists the tests and files that a page names and that do not exist.
func missingNames(page string, all map[string][]byte) []string {
	existing := map[string]bool{}

	for name, text := range all {
		for ; name != "."; name = path.Dir(name) {
			existing[name] = true
		}

		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			existing[string(m[1])] = true
		}
	}

	var missing []string

	for _, name := range testNamePattern.FindAllString(page, -1) {
		if !existing[name] {
			missing = append(missing, name)
		}
	}

	for _, m := range filePattern.FindAllStringSubmatch(page, -1) {
		if !existing[m[1]] {
			missing = append(missing, m[1])
		}
	}

	return missing
}

func TestDocsNamesRule(t *testing.T) {
	all := map[string][]byte{"internal/a/x_test.go": []byte("package a\n\nfunc TestHere(t *testing.T) {}\n")}

	page := "TestHere and TestGone; `internal/a`, `internal/a/x_test.go`, `internal/b/y.go` and internal/c."
	if diff := cmp.Diff([]string{"TestGone", "internal/b/y.go"}, missingNames(page, all)); diff != "" {
		t.Errorf("missing names (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"DELETE /v1/x/{id}", "GET /"}, endpoints(routePattern, []byte(`{"GET", "/{$}", open}, {"DELETE", "/v1/x/{id}", write}`))); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}

	if diff := cmp.Diff([]string{"GET /", "POST /v1/x"}, endpoints(endpointPattern, []byte("| `GET /` | a |\n| `POST /v1/x` | b |\n`PUT /v1/y`\n"))); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}
