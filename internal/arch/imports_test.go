package arch

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// importRule lists the packages of this module that a package may import.
type importRule struct {
	pkg     string // a folder, or a pattern of folders as in path.Match
	allowed string // folders below internal or patterns of them, separated by spaces; "*": all
}

// importRules has a row for every package. A package without a row is an error, and so is
// an import that the row does not list. Every package may import fault and money. Tests
// may import everything: a test can cover a path through many packages. A row or an entry
// that nothing needs is an error, too (TestImportRulesAreUsed).
var importRules = []importRule{
	{"cmd/unireel", "internal/cli"},
	{"client", ""},
	{"bench", "*"},

	// The path of a task.
	{"internal/api", "checkout catalog account task credit store blob limit fetch manual"},
	{"internal/catalog", ""},
	{"internal/checkout", "catalog credit task store account blob fetch"},
	{"internal/credit", ""},
	{"internal/dispatch", "dispatch/* catalog task blob fetch store clock"},
	{"internal/dispatch/record", "catalog task store clock"},
	{"internal/dispatch/workqueue", "clock"},
	{"internal/dispatch/upstream", "dispatch/record catalog task provider store clock"},
	{"internal/dispatch/lease", "dispatch/record store clock"},
	{"internal/dispatch/eta", "task provider store fairqueue clock"},
	{"internal/dispatch/reference", "dispatch/record dispatch/workqueue catalog task blob fetch store clock"},
	{"internal/dispatch/result", "dispatch/record dispatch/workqueue catalog task provider blob fetch store"},
	{"internal/dispatch/cleanup", "dispatch/record task blob store clock"},
	{"internal/dispatch/worker", "dispatch/record dispatch/upstream dispatch/lease dispatch/eta catalog task provider blob limit store clock"},
	{"internal/provider", ""},
	{"internal/webhook", "fetch store"},

	// The suppliers.
	{"internal/provider/all", "provider provider/*"},
	{"internal/provider/providertest", "provider"},
	{"internal/provider/dashscope/dashscopesim", ""},
	{"internal/provider/fal/falsim", "provider/providertest"},
	{"internal/provider/openai/openaisim", "provider/providertest"},
	{"internal/provider/uniall/uniallsim", "provider/providertest"},
	{"internal/provider/wavespeed/wavespeedsim", "provider/providertest"},
	{"internal/provider/*", "provider"},

	// The rules: types and functions without side effects.
	{"internal/task", "credit"},
	{"internal/account", ""},
	{"internal/fairqueue", ""},
	{"internal/fault", ""},
	{"internal/money", ""},

	// The tools.
	{"internal/store", "task credit account"},
	{"internal/store/storetest", ""},
	{"internal/blob", ""},
	{"internal/blob/*", "blob"},
	{"internal/fetch", ""},
	{"internal/clock", ""},
	{"internal/limit", ""},
	{"internal/sample", ""},
	{"internal/sample/make", ""},

	// The entrances and the program.
	{"internal/manual", "catalog sample"},
	{"internal/cli", "app config client sample provider/dashscope/dashscopesim"},
	{"internal/config", ""},
	{"internal/app", "api catalog checkout credit dispatch dispatch/upstream provider provider/* webhook account store blob blob/* fetch config sample clock"},
	{"internal/arch", ""},
}

// stdlibOnly packages import only Go's standard library.
var stdlibOnly = []string{"internal/fault", "internal/money", "internal/limit", "internal/fairqueue", "internal/clock", "internal/sample", "internal/sample/make", "client"}

// boundary restricts an external package, and those below it, to a few packages of this
// module.
type boundary struct {
	importPath string
	packages   []string // the only ones that may import it; bench may, too
	reason     string
}

var boundaries = []boundary{
	{"database/sql", []string{"internal/store"}, "SQL ends at store"},
	{"github.com/pressly/goose/v3", []string{"internal/store"}, "SQL ends at store"},
	{"modernc.org/sqlite", []string{"internal/store"}, "SQL ends at store"},
	{"github.com/jackc/pgx/v5", []string{"internal/store", "internal/store/storetest"}, "SQL ends at store"},
	{"github.com/minio/minio-go/v7", []string{"internal/blob/s3"}, "S3 ends at blob/s3"},
	{"github.com/alecthomas/kong", []string{"internal/cli", "internal/config"}, "flags end at config"},
}

// purePackages use no network, no database, no processes and no randomness.
var purePackages = []string{"internal/catalog", "internal/credit", "internal/account", "internal/task", "internal/fairqueue", "internal/fault", "internal/money", "internal/limit"}

var impureImports = []string{"net", "net/http", "database/sql", "os/exec", "syscall", "math/rand", "math/rand/v2", "crypto/rand"}

func TestImports(t *testing.T) {
	report(t, "imports", checkImports(sources(t)))
}

func checkImports(all []source) []finding {
	var found []finding

	for _, s := range all {
		if s.test || strings.HasPrefix(s.path, "test/") {
			continue
		}

		for _, spec := range s.file.Imports {
			importPath := pathOf(spec)
			if reason := forbiddenReason(s.dir(), importPath); reason != "" {
				found = append(found, s.finding(spec.Pos(), importPath, "%s imports %s: %s", s.dir(), importPath, reason))
			}
		}

		if _, ok := findRule(importRules, s.dir()); !ok {
			found = append(found, s.finding(s.file.Package, s.dir(), "package %s has no row in importRules: add one that lists what it may import", s.dir()))
		}
	}

	return found
}

// pathOf returns the path of an import declaration.
func pathOf(spec *ast.ImportSpec) string {
	importPath, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}

	return importPath
}

// forbiddenReason says why the package must not import importPath; "" if it may.
func forbiddenReason(pkg, importPath string) string {
	if internal, ok := strings.CutPrefix(importPath, module+"/"); ok {
		return forbiddenInternalReason(pkg, internal)
	}

	first, _, _ := strings.Cut(importPath, "/")
	if slices.Contains(stdlibOnly, pkg) && strings.Contains(first, ".") {
		return "it imports the standard library only"
	}

	if slices.Contains(purePackages, pkg) && slices.Contains(impureImports, importPath) {
		return "the package is pure"
	}

	for _, boundary := range boundaries {
		if boundary.covers(importPath) && !slices.Contains(boundary.packages, pkg) && pkg != "bench" {
			return boundary.reason
		}
	}

	return ""
}

func (b boundary) covers(importPath string) bool {
	return importPath == b.importPath || strings.HasPrefix(importPath, b.importPath+"/")
}

func forbiddenInternalReason(pkg, importPath string) string {
	if slices.Contains(stdlibOnly, pkg) {
		return "it imports the standard library only"
	}

	if importPath == "internal/fault" || importPath == "internal/money" {
		return ""
	}

	rule, _ := findRule(importRules, pkg)
	for _, entry := range strings.Fields(rule.allowed) {
		if matchesEntry(entry, importPath) {
			return ""
		}
	}

	return "its row in importRules does not list it"
}

// matchesEntry reports whether an entry of a row covers a package of this module.
func matchesEntry(entry, importPath string) bool {
	if entry == "*" || entry == importPath {
		return true
	}

	ok, err := path.Match("internal/"+entry, importPath)

	return err == nil && ok
}

// findRule finds the row of a package: the one with its name, else the first pattern that
// matches.
func findRule(rules []importRule, pkg string) (importRule, bool) {
	for _, r := range rules {
		if r.pkg == pkg {
			return r, true
		}
	}

	for _, r := range rules {
		if ok, err := path.Match(r.pkg, pkg); err == nil && ok {
			return r, true
		}
	}

	return importRule{}, false
}

func TestImportsRule(t *testing.T) {
	cases := map[string]struct {
		path, imports string
		want          []string
	}{
		"along the path":             {"internal/api/x.go", `"net/http"; "` + module + `/internal/checkout"`, nil},
		"fault is for everybody":     {"internal/store/x.go", `"` + module + `/internal/fault"`, nil},
		"against the path":           {"internal/checkout/x.go", `"` + module + `/internal/api"`, []string{module + "/internal/api"}},
		"between providers":          {"internal/provider/a/x.go", `"` + module + `/internal/provider/b"`, []string{module + "/internal/provider/b"}},
		"provider to store":          {"internal/provider/a/x.go", `"` + module + `/internal/store"`, []string{module + "/internal/store"}},
		"all to a provider":          {"internal/provider/all/x.go", `"` + module + `/internal/provider/a"`, nil},
		"api to dispatch":            {"internal/api/x.go", `"` + module + `/internal/dispatch"`, []string{module + "/internal/dispatch"}},
		"client to internal":         {"client/x.go", `"` + module + `/internal/fault"`, []string{module + "/internal/fault"}},
		"config outside app and cli": {"internal/dispatch/x.go", `"` + module + `/internal/config"`, []string{module + "/internal/config"}},
		"money and a library":        {"internal/money/x.go", `"example.org/decimal"`, []string{"example.org/decimal"}},
		"SQL in api":                 {"internal/api/x.go", `"database/sql"`, []string{"database/sql"}},
		"driver in dispatch":         {"internal/dispatch/x.go", `"modernc.org/sqlite/lib"`, []string{"modernc.org/sqlite/lib"}},
		"catalog and network":        {"internal/catalog/x.go", `"net/http"`, []string{"net/http"}},
		"tests are free":             {"internal/money/x_test.go", `"` + module + `/internal/store"`, nil},
		"an unknown package":         {"internal/attic/x.go", `"fmt"`, []string{"internal/attic"}},
		"a folder without a row":     {"internal/task/deep/x.go", `"fmt"`, []string{"internal/task/deep"}},
		"cli to store":               {"internal/cli/x.go", `"` + module + `/internal/store"`, []string{module + "/internal/store"}},
		"app to cli":                 {"internal/app/x.go", `"` + module + `/internal/cli"`, []string{module + "/internal/cli"}},
		"task to catalog":            {"internal/task/x.go", `"` + module + `/internal/catalog"`, []string{module + "/internal/catalog"}},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		t.Run(name, func(t *testing.T) {
			got := checkImports([]source{parse(t, c.path, "package x\nimport ("+c.imports+")\n")})
			if diff := cmp.Diff(c.want, names(got)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImportRulesAreUsed(t *testing.T) {
	all := sources(t)

	for _, unused := range unusedRules(importRules, all) {
		t.Errorf("importRules: %s: remove it", unused)
	}

	for _, unused := range unusedBoundaries(boundaries, all) {
		t.Errorf("boundaries: %s: remove it", unused)
	}

	for _, pkg := range slices.Concat(stdlibOnly, purePackages) {
		if !slices.ContainsFunc(all, func(s source) bool { return s.dir() == pkg }) {
			t.Errorf("there is no package %s: remove it from stdlibOnly and purePackages", pkg)
		}
	}
}

// unusedRules lists the rows that no package needs, and the entries of rows that no import
// needs. Tests do not count: they need no row.
func unusedRules(rules []importRule, all []source) []string {
	rowUsed := map[string]bool{}
	entryUsed := map[[2]string]bool{}

	for _, s := range all {
		rule, ok := findRule(rules, s.dir())
		if s.test || !ok {
			continue
		}

		rowUsed[rule.pkg] = true

		for _, spec := range s.file.Imports {
			importPath, ok := strings.CutPrefix(pathOf(spec), module+"/")
			if !ok {
				continue
			}

			for _, entry := range strings.Fields(rule.allowed) {
				if matchesEntry(entry, importPath) {
					entryUsed[[2]string{rule.pkg, entry}] = true
				}
			}
		}
	}

	var unused []string

	for _, r := range rules {
		if !rowUsed[r.pkg] {
			unused = append(unused, "no package needs the row "+r.pkg)
			continue
		}

		for _, entry := range strings.Fields(r.allowed) {
			if !entryUsed[[2]string{r.pkg, entry}] {
				unused = append(unused, "no import needs "+entry+" in the row "+r.pkg)
			}
		}
	}

	return unused
}

// unusedBoundaries lists the packages that a boundary allows to import its path and that do
// not import it.
func unusedBoundaries(list []boundary, all []source) []string {
	var unused []string

	for _, b := range list {
		for _, pkg := range b.packages {
			imports := slices.ContainsFunc(all, func(s source) bool {
				return !s.test && s.dir() == pkg && slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool { return b.covers(pathOf(spec)) })
			})
			if !imports {
				unused = append(unused, pkg+" does not import "+b.importPath)
			}
		}
	}

	return unused
}

func TestImportRulesAreUsedRule(t *testing.T) {
	all := []source{
		parse(t, "internal/a/a.go", "package a\nimport (`"+module+"/internal/b`; `"+module+"/internal/p/x`; `example.org/sql/driver`)\n"),
		parse(t, "internal/a/a_test.go", "package a\nimport (`"+module+"/internal/c`; `example.org/kv`)\n"),
		parse(t, "internal/b/b.go", "package b\n"),
		parse(t, "internal/p/x/x.go", "package x\nimport `"+module+"/internal/b`\n"),
		parse(t, "internal/t/t_test.go", "package t\n"),
	}

	rules := []importRule{
		{"internal/a", "b c p/* q/*"},
		{"internal/b", ""},
		{"internal/t", ""},
		{"internal/p/*", "*"},
		{"internal/p/y", "b"},
		{"internal/?", "b"},
	}

	want := []string{
		"no import needs c in the row internal/a",
		"no import needs q/* in the row internal/a",
		"no package needs the row internal/t",
		"no package needs the row internal/p/y",
		"no package needs the row internal/?",
	}
	if diff := cmp.Diff(want, unusedRules(rules, all)); diff != "" {
		t.Errorf("unused rules (-want +got):\n%s", diff)
	}

	list := []boundary{
		{"example.org/sql", []string{"internal/a", "internal/b"}, "SQL ends at a"},
		{"example.org/kv", []string{"internal/a"}, "keys end at a"},
	}

	want = []string{"internal/b does not import example.org/sql", "internal/a does not import example.org/kv"}
	if diff := cmp.Diff(want, unusedBoundaries(list, all)); diff != "" {
		t.Errorf("unused boundaries (-want +got):\n%s", diff)
	}
}

// names lists the names of findings, for comparison.
func names(found []finding) []string {
	var all []string
	for _, f := range found {
		all = append(all, f.name)
	}

	return all
}
