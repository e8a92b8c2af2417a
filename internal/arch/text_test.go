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

// minDocLength is the minimum length of a package comment. It should say what the package
// is, what comes before and after it, and what it never does.
const minDocLength = 120 // bytes

func TestPackageDocs(t *testing.T) {
	report(t, "docs", checkPackageDocs(sources(t)))
}

func checkPackageDocs(all []source) []finding {
	docs := map[string]string{}
	first := map[string]source{}

	for _, s := range all {
		if s.test {
			continue
		}

		if _, ok := first[s.dir()]; !ok {
			first[s.dir()] = s
		}

		if s.file.Doc != nil {
			docs[s.dir()] += s.file.Doc.Text()
		}
	}

	var found []finding

	for _, dir := range slices.Sorted(maps.Keys(first)) {
		s := first[dir]

		start := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			start = "Command "
		}

		if doc := docs[dir]; !strings.HasPrefix(doc, start) || len(doc) < minDocLength {
			found = append(found, s.finding(s.file.Package, dir,
				"package %s: its comment must start with %q and say what it is, what comes before and after it, what it never does", dir, start))
		}
	}

	return found
}

func TestPackageDocsRule(t *testing.T) {
	long := strings.Repeat("// It is this and that, and never something else.\n", 4)

	cases := map[string]struct {
		text string
		want []string
	}{
		"no comment":   {"package x\n", []string{"a"}},
		"too short":    {"// Package x is x.\npackage x\n", []string{"a"}},
		"another name": {"// Package y is.\n" + long + "package x\n", []string{"a"}},
		"complete":     {"// Package x is.\n" + long + "package x\n", nil},
		"a command":    {"// Command x is.\n" + long + "package main\n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(checkPackageDocs([]source{parse(t, "a/x.go", c.text)}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFormatted(t *testing.T) {
	for _, s := range sources(t) {
		if !isFormatted(s.text) {
			t.Errorf("%s: run make fmt", s.path)
		}
	}
}

func isFormatted(text []byte) bool {
	want, err := format.Source(text)
	return err == nil && bytes.Equal(want, text)
}

func TestFormattedRule(t *testing.T) {
	for text, want := range map[string]bool{"package x\n\nvar a = 1\n": true, "package x\nvar a=1\n": false, "package x\n}": false} {
		if got := isFormatted([]byte(text)); got != want {
			t.Errorf("formatted(%q) = %v", text, got)
		}
	}
}

// forbiddenText matches text that no file may contain: paths of a developer's machine, and
// notes about unfinished work. The words are split here, so that this file does not match.
var forbiddenText = regexp.MustCompile(`(^|[^\w.~-])/(ro` + `ot|wo` + `rk|Us` + `ers)/\w|(^|[^\w.~-])/ho` + `me/\w|\b(TO` + `DO|FIX` + `ME|HA` + `CK)\b`)

func TestForbiddenText(t *testing.T) {
	for name, text := range files(t) {
		for i, line := range strings.Split(string(text), "\n") {
			if found := forbiddenText.FindString(line); found != "" {
				t.Errorf("%s:%d: contains %q", name, i+1, found)
			}
		}
	}
}

func TestForbiddenTextRule(t *testing.T) {
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
		if got := forbiddenText.MatchString(text); got != want {
			t.Errorf("matching %q: %v", text, got)
		}
	}
}

func TestNoSleepsOrSkips(t *testing.T) {
	report(t, "sleep", checkSleepsAndSkips(sources(t)))
}

// checkSleepsAndSkips finds sleeps and skipped tests. Instead of a sleep, use a signal, a
// timer together with a context, an injected clock, or synctest. Instead of a skip, a test
// whose requirement is missing must fail with the command that installs it.
func checkSleepsAndSkips(all []source) []finding {
	synctestDirs := map[string]bool{} // folders whose tests use synctest's clock

	for _, s := range all {
		for _, spec := range s.file.Imports {
			if s.test && spec.Path.Value == `"testing/synctest"` {
				synctestDirs[s.dir()] = true
			}
		}
	}

	var found []finding

	for _, s := range all {
		inSynctest := s.test && synctestDirs[s.dir()]
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}

			from, _ := sel.X.(*ast.Ident)
			switch {
			case from == nil:
			case from.Name == "time" && sel.Sel.Name == "Sleep" && !inSynctest:
				found = append(found, s.finding(n.Pos(), "time.Sleep", "sleeps: wait for a signal instead"))
			case s.test && (sel.Sel.Name == "Skip" || sel.Sel.Name == "Skipf" || sel.Sel.Name == "SkipNow") && len(from.Name) == 1:
				found = append(found, s.finding(n.Pos(), from.Name+"."+sel.Sel.Name, "skips a test: let it fail with the command that installs what is missing"))
			}

			return true
		})
	}

	return found
}

func TestSleepsAndSkipsRule(t *testing.T) {
	cases := map[string]struct {
		text string
		want []string
	}{
		"a sleep":     {"func f() { time.Sleep(1) }", []string{"time.Sleep"}},
		"in synctest": {"import \"testing/synctest\"\nfunc f() { time.Sleep(1) }", nil},
		"a skip":      {"func f(t *testing.T) { t.Skip(`no ffmpeg`) }", []string{"t.Skip"}},
		"a timer":     {"func f() { time.NewTimer(1) }", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(checkSleepsAndSkips([]source{parse(t, "a/x_test.go", "package x\n"+c.text+"\n")}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}
