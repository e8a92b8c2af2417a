package arch

import (
	"bytes"
	"go/ast"
	"go/format"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shortest is how little a package can say of itself: what it is, what comes
// before and after it, what it never does.
const shortest = 120 // bytes

func TestDocs(t *testing.T) {
	report(t, "docs", undocumented(sources(t)))
}

func undocumented(all []source) []finding {
	said := map[string]string{}
	first := map[string]source{}

	for _, s := range all {
		if s.test {
			continue
		}

		if _, ok := first[s.dir()]; !ok {
			first[s.dir()] = s
		}

		if s.file.Doc != nil {
			said[s.dir()] += s.file.Doc.Text()
		}
	}

	var found []finding

	for _, dir := range slices.Sorted(maps.Keys(first)) {
		s := first[dir]

		start := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			start = "Command "
		}

		if doc := said[dir]; !strings.HasPrefix(doc, start) || len(doc) < shortest {
			found = append(found, s.finding(s.file.Package, dir,
				"package %s: its comment must start with %q and say what it is, what comes before and after it, what it never does", dir, start))
		}
	}

	return found
}

func TestDocsRule(t *testing.T) {
	long := strings.Repeat("// It is this and that, and never something else.\n", 4)

	cases := map[string]struct {
		text string
		want []string
	}{
		"none":       {"package x\n", []string{"a"}},
		"too little": {"// Package x is x.\npackage x\n", []string{"a"}},
		"not its":    {"// Package y is.\n" + long + "package x\n", []string{"a"}},
		"whole":      {"// Package x is.\n" + long + "package x\n", nil},
		"a command":  {"// Command x is.\n" + long + "package main\n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(undocumented([]source{parse(t, "a/x.go", c.text)}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatted(t *testing.T) {
	for _, s := range sources(t) {
		if !formatted(s.text) {
			t.Errorf("%s: run make fmt", s.path)
		}
	}
}

func formatted(text []byte) bool {
	made, err := format.Source(text)
	return err == nil && bytes.Equal(made, text)
}

func TestFormattedRule(t *testing.T) {
	for text, want := range map[string]bool{"package x\n\nvar a = 1\n": true, "package x\nvar a=1\n": false, "package x\n}": false} {
		if got := formatted([]byte(text)); got != want {
			t.Errorf("formatted(%q) = %v", text, got)
		}
	}
}

// unwritten is what no file says: where its author's things lie, and what is to
// be done later. The words are cut in two here, so that this file says none.
var unwritten = regexp.MustCompile(`(^|[^\w.~-])/(ro` + `ot|wo` + `rk|Us` + `ers)/\w|(^|[^\w.~-])/ho` + `me/\w|\b(TO` + `DO|FIX` + `ME|HA` + `CK)\b`)

func TestUnwritten(t *testing.T) {
	for name, text := range files(t) {
		for i, line := range strings.Split(string(text), "\n") {
			if found := unwritten.FindString(line); found != "" {
				t.Errorf("%s:%d: says %q", name, i+1, found)
			}
		}
	}
}

func TestUnwrittenRule(t *testing.T) {
	for text, want := range map[string]bool{
		"see /ro" + "ot/x":              true,
		`"/ho` + `me/ann/x"`:            true,
		"// TO" + "DO: later":           true,
		"https://example.com/work/x":    false,
		"~/work/x and $HOME/x":          false,
		"/var/lib/unireel":              false,
		"the method todo of a task":     false,
		"/home is where the users live": false,
	} {
		if got := unwritten.MatchString(text); got != want {
			t.Errorf("matching %q: %v", text, got)
		}
	}
}

func TestNoSleepNoSkip(t *testing.T) {
	report(t, "waiting", waiting(sources(t)))
}

// waiting finds sleeps (a signal, a timer beside a context, a given clock or
// synctest's bubble are better) and skipped tests: what a test needs and does not
// find fails it, with the command that installs it.
func waiting(all []source) []finding {
	bubbles := map[string]bool{} // folders whose tests run under synctest's clock

	for _, s := range all {
		for _, spec := range s.file.Imports {
			if s.test && spec.Path.Value == `"testing/synctest"` {
				bubbles[s.dir()] = true
			}
		}
	}

	var found []finding

	for _, s := range all {
		bubble := s.test && bubbles[s.dir()]
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}

			from, _ := sel.X.(*ast.Ident)
			switch {
			case from == nil:
			case from.Name == "time" && sel.Sel.Name == "Sleep" && !bubble:
				found = append(found, s.finding(n.Pos(), "time.Sleep", "sleeps: wait for a signal instead"))
			case s.test && (sel.Sel.Name == "Skip" || sel.Sel.Name == "Skipf" || sel.Sel.Name == "SkipNow") && len(from.Name) == 1:
				found = append(found, s.finding(n.Pos(), from.Name+"."+sel.Sel.Name, "skips a test: let it fail and say what to install"))
			}

			return true
		})
	}

	return found
}

func TestWaitingRule(t *testing.T) {
	cases := map[string]struct {
		text string
		want []string
	}{
		"a sleep":     {"func f() { time.Sleep(1) }", []string{"time.Sleep"}},
		"in a bubble": {"import \"testing/synctest\"\nfunc f() { time.Sleep(1) }", nil},
		"a skip":      {"func f(t *testing.T) { t.Skip(`no ffmpeg`) }", []string{"t.Skip"}},
		"a timer":     {"func f() { time.NewTimer(1) }", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(waiting([]source{parse(t, "a/x_test.go", "package x\n"+c.text+"\n")}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}
