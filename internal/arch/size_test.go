package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The limits apply to the longest functions and files: medians do not distinguish good code
// from bad. Blank lines are not counted, so that no one saves them.
const (
	maxFile    = 500 // non-blank lines, tests too
	maxFunc    = 45  // statements, including those of function literals in it
	maxParams  = 5
	maxMethods = 6 // of an interface; an embedded interface counts as one
)

func TestSizes(t *testing.T) {
	report(t, "sizes", checkSizes(sources(t)))
}

func checkSizes(all []source) []finding {
	var found []finding

	for _, s := range all {
		if lines := lineCount(s.text); lines > maxFile {
			found = append(found, s.finding(s.file.Package, "", "%d lines: more than %d", lines, maxFile))
		}

		if !s.test {
			found = append(found, checkFunctions(s)...)
			found = append(found, checkInterfaces(s)...)
		}
	}

	return found
}

// lineCount counts the non-blank lines.
func lineCount(text []byte) int {
	count := 0

	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) > 0 {
			count++
		}
	}

	return count
}

// countStatements counts the statements in a function's body. A block itself does not count.
func countStatements(body *ast.BlockStmt) int {
	count := 0

	ast.Inspect(body, func(n ast.Node) bool {
		if _, isBlock := n.(*ast.BlockStmt); isBlock {
			return true
		}

		if _, ok := n.(ast.Stmt); ok {
			count++
		}

		return true
	})

	return count
}

func checkFunctions(s source) []finding {
	var found []finding

	check := func(name string, pos token.Pos, signature *ast.FuncType, body *ast.BlockStmt) {
		if body != nil {
			if n := countStatements(body); n > maxFunc {
				found = append(found, s.finding(pos, name, "%s has %d statements: more than %d", name, n, maxFunc))
			}
		}

		if n := signature.Params.NumFields(); n > maxParams {
			found = append(found, s.finding(pos, name, "%s takes %d parameters: more than %d", name, n, maxParams))
		}
	}
	enclosing := "a function"

	ast.Inspect(s.file, func(n ast.Node) bool {
		switch f := n.(type) {
		case *ast.FuncDecl:
			enclosing = funcName(f)
			check(enclosing, f.Pos(), f.Type, f.Body)
		case *ast.FuncLit:
			check("a function in "+enclosing, f.Pos(), f.Type, f.Body)
		}

		return true
	})

	return found
}

// funcName returns "Hold", or "Store.Open" for a method.
func funcName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}

	recv := f.Recv.List[0].Type
	for {
		switch x := recv.(type) {
		case *ast.StarExpr:
			recv = x.X
			continue
		case *ast.IndexExpr:
			recv = x.X
			continue
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		}

		return f.Name.Name
	}
}

func checkInterfaces(s source) []finding {
	var found []finding

	ast.Inspect(s.file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}

		if iface, ok := spec.Type.(*ast.InterfaceType); ok && iface.Methods.NumFields() > maxMethods {
			found = append(found, s.finding(spec.Pos(), spec.Name.Name, "interface %s has %d methods: more than %d",
				spec.Name.Name, iface.Methods.NumFields(), maxMethods))
		}

		return true
	})

	return found
}

func TestSizesRule(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\t_ = 1\n", n) }

	cases := map[string]struct {
		path, text string
		want       []string
	}{
		"a long file":                     {"a/x.go", "package x\n" + strings.Repeat("// x\n", maxFile), []string{""}},
		"a file at the limit":             {"a/x.go", "package x\n" + strings.Repeat("\n// x\n", maxFile-1), nil},
		"a long test file":                {"a/x_test.go", "package x\n" + strings.Repeat("// x\n", maxFile), []string{""}},
		"a long function":                 {"a/x.go", "package x\nfunc (s *S[T]) F() {\n" + long(maxFunc+1) + "}\n", []string{"S.F"}},
		"a function at the limit":         {"a/x.go", "package x\nfunc F() {\n" + strings.ReplaceAll(long(maxFunc), "\n", "\n\n") + "}\n", nil},
		"a long test":                     {"a/x_test.go", "package x\nfunc F() {\n" + long(maxFunc+1) + "}\n", nil},
		"a long function literal":         {"a/x.go", "package x\nvar f = func() {\n" + long(maxFunc+1) + "}\n", []string{"a function in a function"}},
		"six parameters":                  {"a/x.go", "package x\nfunc F(a, b, c int, d, e, f string) {}\n", []string{"F"}},
		"five parameters":                 {"a/x.go", "package x\nfunc F(a, b, c int, d, e string) {}\n", nil},
		"an interface with seven methods": {"a/x.go", "package x\ntype I interface { A(); B(); C(); D(); E(); F(); G() }\n", []string{"I"}},
		"an interface at the limit":       {"a/x.go", "package x\ntype I interface { A(); B(); C(); D(); E(); F() }\n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(checkSizes([]source{parse(t, c.path, c.text)}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}

	got := checkSizes([]source{parse(t, "a/x.go", "package x\n\n\nfunc F(a, b, c, d, e, f int) {}\n")})
	if want := "a/x.go:4: F takes 6 parameters: more than 5"; len(got) != 1 || fmt.Sprint(got[0]) != want {
		t.Errorf("got %v, want %q", got, want)
	}
}
