package arch

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A package variable serves only as a constant of a type that Go has no constants of: an
// error, a pattern, embedded files, a table. So it must have an initial value, that value
// must have no state of its own (no pointers, locks, empty maps), and no code in the package
// may write to it. Functions named init are not allowed: values are created explicitly by
// their user.

func TestNoState(t *testing.T) {
	report(t, "state", checkState(sources(t)))
}

func checkState(all []source) []finding {
	var found []finding

	variables := map[string]map[string]bool{} // package folder -> names

	for _, s := range all {
		if s.test {
			continue
		}

		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					found = append(found, s.finding(d.Pos(), "init", "an init function: initialize explicitly instead"))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					found = append(found, checkDeclarations(s, d, variables)...)
				}
			}
		}
	}

	for _, s := range all {
		if !s.test {
			found = append(found, findWrites(s, variables[s.dir()])...)
		}
	}

	return found
}

// checkDeclarations checks the declarations of package variables and records their names.
func checkDeclarations(s source, d *ast.GenDecl, variables map[string]map[string]bool) []finding {
	var found []finding

	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}

		for i, name := range v.Names {
			if name.Name == "_" {
				continue // an assertion that a type implements an interface
			}

			if variables[s.dir()] == nil {
				variables[s.dir()] = map[string]bool{}
			}

			variables[s.dir()][name.Name] = true

			switch {
			case isEmbedded(d, v):
			case len(v.Values) == 0:
				found = append(found, s.finding(name.Pos(), name.Name, "package variable %s has no initial value: its only purpose can be to be written", name.Name))
			case len(v.Values) == len(v.Names) && isStateful(v.Values[i]):
				found = append(found, s.finding(name.Pos(), name.Name, "package variable %s holds state", name.Name))
			}
		}
	}

	return found
}

func isEmbedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if group == nil {
			continue
		}

		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}

	return false
}

// isStateful reports whether an initial value can change: the result of make or new, a
// pointer to a composite literal, an empty map, a lock, a counter, a shared client.
func isStateful(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.UnaryExpr:
		return v.Op == token.AND
	case *ast.CompositeLit:
		if sel, ok := v.Type.(*ast.SelectorExpr); ok {
			return isStatefulType(sel)
		}

		m, ok := v.Type.(*ast.MapType)

		return ok && m != nil && len(v.Elts) == 0
	case *ast.CallExpr:
		switch f := v.Fun.(type) {
		case *ast.Ident:
			return f.Name == "make" || f.Name == "new"
		case *ast.SelectorExpr:
			return isStatefulType(f)
		}
	case *ast.SelectorExpr:
		return v.Sel.Name == "DefaultClient" || v.Sel.Name == "DefaultTransport"
	}

	return false
}

// isStatefulType reports whether a name belongs to a package whose values change when they
// are used.
func isStatefulType(sel *ast.SelectorExpr) bool {
	from, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}

	switch path.Base(from.Name) {
	case "sync", "atomic", "prometheus", "promauto", "rand", "bytes":
		return true
	case "http":
		return sel.Sel.Name == "Client" || sel.Sel.Name == "Transport"
	}

	return false
}

// findWrites finds code that writes to a package variable, or that takes its address, so that
// other code can write to it.
func findWrites(s source, variables map[string]bool) []finding {
	var found []finding

	add := func(e ast.Expr, how string) {
		if name := rootOf(e); name != nil && variables[name.Name] && isPackageLevel(s.file, name) {
			found = append(found, s.finding(name.Pos(), name.Name, "package variable %s is %s", name.Name, how))
		}
	}

	ast.Inspect(s.file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, left := range x.Lhs {
					add(left, "written")
				}
			}
		case *ast.IncDecStmt:
			add(x.X, "written")
		case *ast.RangeStmt:
			if x.Tok == token.ASSIGN {
				add(x.Key, "written")
				add(x.Value, "written")
			}
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				add(x.X, "used by its address")
			}
		case *ast.CallExpr:
			if f, ok := x.Fun.(*ast.Ident); ok && len(x.Args) > 0 && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
				add(x.Args[0], "written")
			}
		}

		return true
	})

	return found
}

// rootOf returns v for v, v[i], v.f and *v, and nil for other expressions.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// isPackageLevel reports whether a name refers to the package's variable and not to a local
// one. The parser resolves names within a file; a name that it leaves unresolved is
// declared in another file.
func isPackageLevel(file *ast.File, name *ast.Ident) bool {
	if name.Obj == nil {
		return true
	}

	return file.Scope.Lookup(name.Name) == name.Obj
}

func TestNoStateRule(t *testing.T) {
	cases := map[string]struct {
		text string
		want []string
	}{
		"an error":                 {"var ErrX = errors.New(`x`)", nil},
		"a pattern":                {"var re = regexp.MustCompile(`x`)", nil},
		"a table":                  {"var m = map[string]int{`a`: 1}", nil},
		"embedded files":           {"//go:embed x\nvar files embed.FS", nil},
		"embedded in a group":      {"var (\n//go:embed x\nfiles embed.FS\n)", nil},
		"an assertion":             {"var _ I = (*T)(nil)", nil},
		"a version":                {"var version = `dev`", nil},
		"an init":                  {"func init() {}", []string{"init"}},
		"a method called init":     {"func (T) init() {}", nil},
		"no value":                 {"var n int", []string{"n"}},
		"a lock":                   {"var mu sync.Mutex", []string{"mu"}},
		"a lock with a value":      {"var mu = sync.Mutex{}", []string{"mu"}},
		"an empty map":             {"var m = map[string]int{}", []string{"m"}},
		"a map from make":          {"var m = make(map[string]int)", []string{"m"}},
		"a pointer":                {"var c = &http.Client{}", []string{"c"}},
		"a counter":                {"var c = prometheus.NewCounter()", []string{"c"}},
		"written":                  {"var n = 1\nfunc f() { n = 2 }", []string{"n"}},
		"incremented":              {"var n = 1\nfunc f() { n++ }", []string{"n"}},
		"an entry written":         {"var m = map[string]int{`a`: 1}\nfunc f() { m[`b`] = 2 }", []string{"m"}},
		"a field written":          {"var v = T{1}\nfunc f() { v.x[2].y = 2 }", []string{"v"}},
		"an entry removed":         {"var m = map[string]int{`a`: 1}\nfunc f() { delete(m, `a`) }", []string{"m"}},
		"address taken":            {"var n = 1\nfunc f() *int { return &n }", []string{"n"}},
		"hidden by a local":        {"var n = 1\nfunc f() { n := 2; n = 3; n++; _ = n }", nil},
		"hidden by a local var":    {"var n = 1\nfunc f() { var n = 2; n = 3; _ = n }", nil},
		"hidden by a parameter":    {"var n = 1\nfunc f(n int) { n = 3 }", nil},
		"a field of the same name": {"var n = 1\nfunc f(t T) { t.n = 3 }", nil},
		"written, without a value": {"var n int\nfunc f() { n = 2 }", []string{"n", "n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(checkState([]source{parse(t, "a/x.go", "package x\n"+c.text+"\n")}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("written from another file", func(t *testing.T) {
		got := checkState([]source{
			parse(t, "a/x.go", "package x\nvar n = 1\n"),
			parse(t, "a/y.go", "package x\nfunc f() { n = 2 }\n"),
			parse(t, "b/y.go", "package y\nfunc f() { n = 2 }\n"),
		})
		if diff := cmp.Diff([]string{"n"}, names(got)); diff != "" {
			t.Errorf("found (-want +got):\n%s", diff)
		}
	})
}
