package arch

import (
	"slices"
	"strings"
	"testing"
)

// exceptions are the places where breaking a rule is the better code. Each has
// its reason, and one that nothing needs any more fails.
var exceptions = []struct {
	rule string
	path string // "*": wherever the name stands
	name string // as the finding has it
	why  string
}{
	{"state", "internal/api/serve.go", "buffers", "a sync.Pool: what it holds is emptied before it is used, and never seen outside"},
	{"state", "internal/store/storetest/storetest.go", "shared", "one server for all tests of a process, started when the first asks: there is no other place that all of them see"},
	{"state", "internal/app/failpoint_on.go", "passed", "counts in test builds only, and what it counts for ends the process"},
}

// report fails the test for what no exception covers, and for exceptions of the
// rule that cover nothing.
func report(t *testing.T, rule string, found []finding) {
	t.Helper()

	needed := make([]bool, len(exceptions))

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
				needed[i] = true
				covered = true
			}
		}

		if !covered {
			t.Errorf("%v", f)
		}
	}

	for i, e := range exceptions {
		if e.rule == rule && !needed[i] && e.path != "*" {
			t.Errorf("the exception %s %s %q is not needed any more: remove it", e.rule, e.path, e.name)
		}

		if e.why == "" {
			t.Errorf("the exception %s %s %q has no reason", e.rule, e.path, e.name)
		}
	}
}
