package arch

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// banned are words that this house does not name things by: each either says
// nothing (util) or is a second word for what has one (job: task).
var banned = []string{
	"job", "relay", "adaptor", "quota", "ratio", "platform", "dto", "common",
	"util", "helper", "base", "manager", "service", "impl",
}

func TestWords(t *testing.T) {
	report(t, "words", spoken(sources(t)))
}

// spoken checks what is named here: packages, folders, files and every declared
// identifier. A name that is only used belongs to somebody else.
func spoken(all []source) []finding {
	var found []finding
	for _, s := range all {
		check := func(p token.Pos, name string) {
			for _, word := range split(name) {
				if slices.Contains(banned, word) || slices.Contains(banned, strings.TrimSuffix(word, "s")) {
					found = append(found, s.finding(p, name, "%s says %q, which is no word of ours", name, word))
				}
			}
		}
		check(s.file.Package, strings.TrimSuffix(path.Base(s.path), ".go"))
		check(s.file.Package, path.Base(s.dir()))
		ast.Inspect(s.file, func(n ast.Node) bool {
			for _, name := range declared(n) {
				check(name.Pos(), name.Name)
			}
			return true
		})
	}
	return found
}

// declared gives the names that a node brings into being.
func declared(n ast.Node) []*ast.Ident {
	switch x := n.(type) {
	case *ast.FuncDecl:
		return []*ast.Ident{x.Name}
	case *ast.TypeSpec:
		return []*ast.Ident{x.Name}
	case *ast.ValueSpec:
		return x.Names
	case *ast.Field:
		return x.Names
	case *ast.AssignStmt:
		if x.Tok == token.DEFINE {
			return idents(x.Lhs)
		}
	case *ast.RangeStmt:
		if x.Tok == token.DEFINE {
			return idents([]ast.Expr{x.Key, x.Value})
		}
	}
	return nil
}

func idents(all []ast.Expr) []*ast.Ident {
	var found []*ast.Ident
	for _, e := range all {
		if name, ok := e.(*ast.Ident); ok {
			found = append(found, name)
		}
	}
	return found
}

// split cuts a name into lower-case words: taskID, HTTPServer, base_url.
func split(name string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = nil
	}
	letters := []rune(name)
	for i, r := range letters {
		switch {
		case !unicode.IsLetter(r):
			end()
			continue
		case unicode.IsUpper(r):
			lowerBefore := i > 0 && unicode.IsLower(letters[i-1])
			lowerAfter := i > 0 && unicode.IsUpper(letters[i-1]) && i+1 < len(letters) && unicode.IsLower(letters[i+1])
			if lowerBefore || lowerAfter {
				end()
			}
		}
		word = append(word, r)
	}
	end()
	return words
}

func TestSplit(t *testing.T) {
	cases := map[string][]string{
		"taskID":     {"task", "id"},
		"HTTPServer": {"http", "server"},
		"base_url":   {"base", "url"},
		"BaseURL":    {"base", "url"},
		"baseline":   {"baseline"},
		"x264Params": {"x", "params"},
		"_":          nil,
	}
	for name, want := range cases {
		if diff := cmp.Diff(want, split(name)); diff != "" {
			t.Errorf("split(%q) (-want +got):\n%s", name, diff)
		}
	}
}

func TestWordsRule(t *testing.T) {
	cases := map[string]struct {
		path, text string
		want       []string
	}{
		"a type":         {"a/x.go", "type TaskManager struct{}", []string{"TaskManager"}},
		"a function":     {"a/x.go", "func newJob() {}", []string{"newJob"}},
		"a parameter":    {"a/x.go", "func f(jobs int) {}", []string{"jobs"}},
		"a field":        {"a/x.go", "type T struct { quota_left int }", []string{"quota_left"}},
		"a local":        {"a/x.go", "func f() { ratio := 1; _ = ratio }", []string{"ratio"}},
		"a range":        {"a/x.go", "func f() { for _, job := range x { _ = job } }", []string{"job"}},
		"a constant":     {"a/x.go", "const platform = 1", []string{"platform"}},
		"a file":         {"a/string_util.go", "", []string{"string_util"}},
		"a folder":       {"internal/common/x.go", "", []string{"common"}},
		"a test":         {"a/x_test.go", "func TestHelper() {}", []string{"TestHelper"}},
		"whole words":    {"a/x.go", "func duration(baseline, migration int) {}", nil},
		"others' words":  {"a/x.go", "func f(t T) { t.Helper(); filepath.Base(`x`) }", nil},
		"words on a way": {"a/x.go", "const object = `video.generation.job`", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := names(spoken([]source{parse(t, c.path, "package x\n"+c.text+"\n")}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}
