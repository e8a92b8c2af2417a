package task

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/states.md")

// statesPage generates docs/states.md from the transitions.
func statesPage() string {
	var b strings.Builder
	b.WriteString("# The states of a task\n\nGenerated from the table of transitions in `internal/task/state.go` by `make generate`.\n\n" +
		"Customers see preparing, queued and submitting as `queued`, and running and collecting as `in_progress`.\n\n```mermaid\nstateDiagram-v2\n    [*] --> preparing: has references to fetch\n    [*] --> queued: has none\n")

	for _, m := range Transitions() {
		fmt.Fprintf(&b, "    %s --> %s\n", m.From, m.To)
	}

	for _, s := range States() {
		if s.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}

	b.WriteString("```\n\n| from | to | when |\n|---|---|---|\n")

	for _, m := range Transitions() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.From, m.To, m.Reason)
	}

	return b.String()
}

func TestStatesPageIsUpToDate(t *testing.T) {
	const path = "../../docs/states.md"
	if *update {
		if err := os.WriteFile(path, []byte(statesPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(got), statesPage()); diff != "" {
		t.Errorf("docs/states.md does not match the table of transitions; run make generate\n%s", diff)
	}
}

// TestEveryStateHasTransitions checks that every state can be reached, that
// every state that is not final can lead to completed and to failed, and that
// nothing follows a final state.
func TestEveryStateHasTransitions(t *testing.T) {
	reachable := func(from State) []State {
		seen := []State{from}
		for i := 0; i < len(seen); i++ {
			for _, m := range Transitions() {
				if m.From == seen[i] && !slices.Contains(seen, m.To) {
					seen = append(seen, m.To)
				}
			}
		}

		return seen
	}
	for _, s := range States() {
		if !slices.Contains(reachable(Preparing), s) {
			t.Errorf("%s cannot be reached", s)
		}

		if s.Final() {
			if len(reachable(s)) != 1 {
				t.Errorf("something follows %s", s)
			}

			continue
		}

		for _, end := range []State{Completed, Failed} {
			if !slices.Contains(reachable(s), end) {
				t.Errorf("%s cannot become %s", s, end)
			}
		}
	}

	for _, m := range Transitions() {
		if !slices.Contains(States(), m.From) || !slices.Contains(States(), m.To) || m.Reason == "" {
			t.Errorf("a transition between states that are not listed, or without a reason: %+v", m)
		}
	}
}
