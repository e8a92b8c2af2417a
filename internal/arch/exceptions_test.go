package arch

import (
	"slices"
	"strings"
	"testing"
)

// exceptions lists the places where violating a rule is the better code. Each needs a
// reason, and an exception that is no longer needed is an error.
var exceptions = []struct {
	rule   string
	path   string // "*": every file
	name   string // the name of the finding
	reason string
}{
	{"state", "internal/api/serve.go", "buffers", "a sync.Pool: its buffers are reset before use, and it is not visible outside the package"},
	{"state", "internal/store/storetest/storetest.go", "shared", "one server for all tests of a process, started by the first that needs it: only a package variable is visible to all of them"},
	{"state", "internal/app/failpoint_on.go", "hits", "counts in test builds only, and the process ends when the count is reached"},
}

// report fails the test for every finding without an exception, and for every exception of
// the rule without a finding.
func report(t *testing.T, rule string, found []finding) {
	t.Helper()

	used := make([]bool, len(exceptions))

	slices.SortFunc(found, func(a, b finding) int {
		if a.path != b.path {
			return strings.Compare(a.path, b.path)
		}

		return a.line - b.line
	})

	for _, f := range found {
		covered := false

		for i, e := range exceptions {
			if e.rule == rule && (e.path == "*" || e.path == f.path) && e.name == f.name {
				used[i] = true
				covered = true
			}
		}

		if !covered {
			t.Errorf("%v", f)
		}
	}

	for i, e := range exceptions {
		if e.rule == rule && !used[i] && e.path != "*" {
			t.Errorf("the exception %s %s %q is no longer needed: remove it", e.rule, e.path, e.name)
		}

		if e.reason == "" {
			t.Errorf("the exception %s %s %q has no reason", e.rule, e.path, e.name)
		}
	}
}
