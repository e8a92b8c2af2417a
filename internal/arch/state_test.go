package arch

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A package variable is a constant that Go has no word for: an error, a pattern,
// embedded files, a table. So it has a value from the start, that value holds no
// state of its own (no pointers, locks, maps to fill), and nothing in the package
// writes to it. There is no init(): what is made is made where it can be seen.

func TestNoState(t *testing.T) {
	report(t, "state", state(sources(t)))
}

func state(all []source) []finding {
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
					found = append(found, s.finding(d.Pos(), "init", "an init function: make it where it can be seen"))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					found = append(found, born(s, d, variables)...)
				}
			}
		}
	}

	for _, s := range all {
		if !s.test {
			found = append(found, written(s, variables[s.dir()])...)
		}
	}

	return found
}

// born checks how package variables come to be, and notes their names.
func born(s source, d *ast.GenDecl, variables map[string]map[string]bool) []finding {
	var found []finding

	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}

		for i, name := range v.Names {
			if name.Name == "_" {
				continue // an assertion that a type has an interface's methods
			}

			if variables[s.dir()] == nil {
				variables[s.dir()] = map[string]bool{}
			}

			variables[s.dir()][name.Name] = true

			switch {
			case embedded(d, v):
			case len(v.Values) == 0:
				found = append(found, s.finding(name.Pos(), name.Name, "package variable %s has no value: it can only be there to be written", name.Name))
			case len(v.Values) == len(v.Names) && stateful(v.Values[i]):
				found = append(found, s.finding(name.Pos(), name.Name, "package variable %s holds state", name.Name))
			}
		}
	}

	return found
}

func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
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

// stateful says whether a first value is something that changes: made by make or
// new, a pointer to a composite, a lock, a counter, a shared client.
func stateful(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.UnaryExpr:
		return v.Op == token.AND
	case *ast.CompositeLit:
		if sel, ok := v.Type.(*ast.SelectorExpr); ok {
			return statefulType(sel)
		}

		m, ok := v.Type.(*ast.MapType)

		return ok && m != nil && len(v.Elts) == 0
	case *ast.CallExpr:
		switch f := v.Fun.(type) {
		case *ast.Ident:
			return f.Name == "make" || f.Name == "new"
		case *ast.SelectorExpr:
			return statefulType(f)
		}
	case *ast.SelectorExpr:
		return v.Sel.Name == "DefaultClient" || v.Sel.Name == "DefaultTransport"
	}

	return false
}

// statefulType knows the packages whose values change when they are used.
func statefulType(sel *ast.SelectorExpr) bool {
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

// written finds what writes to a package variable, or takes its address so that
// somebody else can.
func written(s source, variables map[string]bool) []finding {
	var found []finding

	say := func(e ast.Expr, how string) {
		if name := rootOf(e); name != nil && variables[name.Name] && outer(s.file, name) {
			found = append(found, s.finding(name.Pos(), name.Name, "package variable %s is %s", name.Name, how))
		}
	}

	ast.Inspect(s.file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, left := range x.Lhs {
					say(left, "written")
				}
			}
		case *ast.IncDecStmt:
			say(x.X, "written")
		case *ast.RangeStmt:
			if x.Tok == token.ASSIGN {
				say(x.Key, "written")
				say(x.Value, "written")
			}
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				say(x.X, "given out by its address")
			}
		case *ast.CallExpr:
			if f, ok := x.Fun.(*ast.Ident); ok && len(x.Args) > 0 && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") {
				say(x.Args[0], "written")
			}
		}

		return true
	})

	return found
}

// rootOf is v in v, v[i], v.f and *v; nil for anything else.
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

// outer says whether a name is the package's and not hidden by a local one. The
// parser resolves names within a file; one that it leaves open is another file's.
func outer(file *ast.File, name *ast.Ident) bool {
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
		"an error":                {"var ErrX = errors.New(`x`)", nil},
		"a pattern":               {"var re = regexp.MustCompile(`x`)", nil},
		"a table":                 {"var m = map[string]int{`a`: 1}", nil},
		"embedded files":          {"//go:embed x\nvar files embed.FS", nil},
		"embedded in a group":     {"var (\n//go:embed x\nfiles embed.FS\n)", nil},
		"an assertion":            {"var _ I = (*T)(nil)", nil},
		"a version":               {"var version = `dev`", nil},
		"an init":                 {"func init() {}", []string{"init"}},
		"a method called init":    {"func (T) init() {}", nil},
		"nothing yet":             {"var n int", []string{"n"}},
		"a lock":                  {"var mu sync.Mutex", []string{"mu"}},
		"a lock with a value":     {"var mu = sync.Mutex{}", []string{"mu"}},
		"a map to fill":           {"var m = map[string]int{}", []string{"m"}},
		"made":                    {"var m = make(map[string]int)", []string{"m"}},
		"a pointer":               {"var c = &http.Client{}", []string{"c"}},
		"a counter":               {"var c = prometheus.NewCounter()", []string{"c"}},
		"written":                 {"var n = 1\nfunc f() { n = 2 }", []string{"n"}},
		"counted":                 {"var n = 1\nfunc f() { n++ }", []string{"n"}},
		"an entry written":        {"var m = map[string]int{`a`: 1}\nfunc f() { m[`b`] = 2 }", []string{"m"}},
		"a field written":         {"var v = T{1}\nfunc f() { v.x[2].y = 2 }", []string{"v"}},
		"an entry removed":        {"var m = map[string]int{`a`: 1}\nfunc f() { delete(m, `a`) }", []string{"m"}},
		"given out":               {"var n = 1\nfunc f() *int { return &n }", []string{"n"}},
		"hidden by a local":       {"var n = 1\nfunc f() { n := 2; n = 3; n++; _ = n }", nil},
		"hidden by a local var":   {"var n = 1\nfunc f() { var n = 2; n = 3; _ = n }", nil},
		"hidden by a parameter":   {"var n = 1\nfunc f(n int) { n = 3 }", nil},
		"a field of the name":     {"var n = 1\nfunc f(t T) { t.n = 3 }", nil},
		"written and nothing yet": {"var n int\nfunc f() { n = 2 }", []string{"n", "n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, names(state([]source{parse(t, "a/x.go", "package x\n"+c.text+"\n")}))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("written from another file", func(t *testing.T) {
		got := state([]source{
			parse(t, "a/x.go", "package x\nvar n = 1\n"),
			parse(t, "a/y.go", "package x\nfunc f() { n = 2 }\n"),
			parse(t, "b/y.go", "package y\nfunc f() { n = 2 }\n"),
		})
		if diff := cmp.Diff([]string{"n"}, names(got)); diff != "" {
			t.Errorf("found (-want +got):\n%s", diff)
		}
	})
}
