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

var update = flag.Bool("update", false, "write docs/states.md anew")

// drawing is docs/states.md, made from the law.
func drawing() string {
	var b strings.Builder
	b.WriteString("# The states of a task\n\nGenerated from the table of moves in `internal/task/state.go`; `make generate` draws it anew.\n\n" +
		"Customers see preparing, queued and submitting as `queued`, running and collecting as `in_progress`.\n\n```mermaid\nstateDiagram-v2\n    [*] --> preparing: has references to fetch\n    [*] --> queued: has none\n")

	for _, m := range Moves() {
		fmt.Fprintf(&b, "    %s --> %s\n", m.From, m.To)
	}

	for _, s := range States() {
		if s.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}

	b.WriteString("```\n\n| from | to | when |\n|---|---|---|\n")

	for _, m := range Moves() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", m.From, m.To, m.Why)
	}

	return b.String()
}

func TestTheDrawingIsTheLaw(t *testing.T) {
	const path = "../../docs/states.md"
	if *update {
		if err := os.WriteFile(path, []byte(drawing()), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(have), drawing()); diff != "" {
		t.Errorf("docs/states.md is not the law; run make generate\n%s", diff)
	}
}

// Every state can be reached, every one that is not final has a way to each kind
// of end that a customer may meet, and nothing follows an end.
func TestNoStateWithoutAWayOn(t *testing.T) {
	reach := func(from State) []State {
		seen := []State{from}
		for i := 0; i < len(seen); i++ {
			for _, m := range Moves() {
				if m.From == seen[i] && !slices.Contains(seen, m.To) {
					seen = append(seen, m.To)
				}
			}
		}

		return seen
	}
	for _, s := range States() {
		if !slices.Contains(reach(Preparing), s) {
			t.Errorf("%s cannot be reached", s)
		}

		if s.Final() {
			if len(reach(s)) != 1 {
				t.Errorf("something follows %s", s)
			}

			continue
		}

		for _, end := range []State{Completed, Failed} {
			if !slices.Contains(reach(s), end) {
				t.Errorf("%s cannot become %s", s, end)
			}
		}
	}

	for _, m := range Moves() {
		if !slices.Contains(States(), m.From) || !slices.Contains(States(), m.To) || m.Why == "" {
			t.Errorf("a move between states that are not listed, or without a reason: %+v", m)
		}
	}
}
