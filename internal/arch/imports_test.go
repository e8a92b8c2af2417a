package arch

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// law says who may import whom. A row is a room (or a pattern of rooms) and
// what of ours it may import; all of ours that is not listed is forbidden, and a
// room without a row is forbidden too. Everybody may import fault and money.
// Tests and bench are free: a test proves a path through many rooms.
var law = []struct {
	room string
	may  string
}{
	{"cmd/unireel", "internal/cli"},
	{"client", ""},
	{"bench", "*"},

	// The path of a task.
	{"internal/api", "checkout catalog account task credit store blob limit fetch sample manual"},
	{"internal/catalog", ""},
	{"internal/checkout", "catalog credit task store account blob fetch sample"},
	{"internal/credit", ""},
	{"internal/dispatch", "catalog task provider blob limit fetch store sample"},
	{"internal/provider", ""},
	{"internal/webhook", "limit fetch store"},

	// The suppliers.
	{"internal/provider/all", "provider provider/*"},
	{"internal/provider/providertest", "provider"},
	{"internal/provider/dashscope/dashscopesim", "provider provider/dashscope"},
	{"internal/provider/fal/falsim", "provider/providertest"},
	{"internal/provider/openai/openaisim", "provider/providertest"},
	{"internal/provider/uniall/uniallsim", "provider/providertest"},
	{"internal/provider/wavespeed/wavespeedsim", "provider/providertest"},
	{"internal/provider/*", "provider"},

	// The law.
	{"internal/task", "credit"},
	{"internal/account", ""},
	{"internal/fault", ""},
	{"internal/money", ""},

	// The tools.
	{"internal/store", "task credit account"},
	{"internal/store/storetest", ""},
	{"internal/blob", ""},
	{"internal/blob/*", "blob"},
	{"internal/fetch", "sample"},
	{"internal/limit", ""},
	{"internal/sample", ""},
	{"internal/sample/make", ""},

	// The doors and the frame.
	{"internal/manual", "catalog sample"},
	{"internal/console", "checkout catalog account task credit store blob limit"},
	{"internal/cli", "app config client sample provider/dashscope/dashscopesim"},
	{"internal/config", ""},
	{"internal/app", "api catalog checkout credit dispatch provider provider/* provider/*/* webhook task account store blob blob/* fetch limit console config sample"},
	{"internal/arch", ""},
}

// alone import nothing but Go's standard library.
var alone = []string{"internal/fault", "internal/money", "internal/limit", "internal/sample", "internal/sample/make", "client"}

// ends are borders: what stands right of a room's name goes no further than it.
var ends = []struct {
	what  string // an import path
	rooms []string
	why   string
}{
	{"database/sql", []string{"internal/store"}, "SQL ends at store"},
	{"github.com/pressly/goose/v3", []string{"internal/store"}, "SQL ends at store"},
	{"modernc.org/sqlite", []string{"internal/store"}, "SQL ends at store"},
	{"github.com/jackc/pgx/v5", []string{"internal/store", "internal/store/storetest"}, "SQL ends at store"},
	{"github.com/minio/minio-go/v7", []string{"internal/blob/s3"}, "S3 ends at blob/s3"},
	{"github.com/alecthomas/kong", []string{"internal/cli", "internal/config"}, "flags end at config"},
}

// pure rooms touch nothing: no network, no database, no processes.
var pure = []string{"internal/catalog", "internal/credit", "internal/account", "internal/task", "internal/fault", "internal/money", "internal/limit"}

var impure = []string{"net", "net/http", "database/sql", "os/exec", "syscall", "math/rand", "math/rand/v2", "crypto/rand"}

func TestImports(t *testing.T) {
	report(t, "imports", imports(sources(t)))
}

func imports(all []source) []finding {
	var found []finding

	for _, s := range all {
		if s.test || strings.HasPrefix(s.path, "test/") {
			continue
		}

		for _, spec := range s.file.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				what = spec.Path.Value
			}

			if why := forbidden(s.dir(), what); why != "" {
				found = append(found, s.finding(spec.Pos(), what, "%s imports %s: %s", s.dir(), what, why))
			}
		}

		if _, ok := row(s.dir()); !ok {
			found = append(found, s.finding(s.file.Package, s.dir(), "the room %s has no row in the law: say what it may import", s.dir()))
		}
	}

	return found
}

// forbidden says why the room may not import what, or "".
func forbidden(room, what string) string {
	if ours, ok := strings.CutPrefix(what, module+"/"); ok {
		return forbiddenOurs(room, ours)
	}

	first, _, _ := strings.Cut(what, "/")
	if slices.Contains(alone, room) && strings.Contains(first, ".") {
		return "it imports the standard library only"
	}

	if slices.Contains(pure, room) && slices.Contains(impure, what) {
		return "the room is pure"
	}

	for _, end := range ends {
		if (what == end.what || strings.HasPrefix(what, end.what+"/")) && !slices.Contains(end.rooms, room) && room != "bench" {
			return end.why
		}
	}

	return ""
}

func forbiddenOurs(room, ours string) string {
	if slices.Contains(alone, room) {
		return "it imports the standard library only"
	}

	if ours == "internal/fault" || ours == "internal/money" {
		return ""
	}

	may, _ := row(room)
	for _, pattern := range strings.Fields(may) {
		if pattern == "*" || pattern == ours || "internal/"+pattern == ours {
			return ""
		}

		if ok, err := path.Match("internal/"+pattern, ours); err == nil && ok {
			return ""
		}
	}

	return "the law does not list it"
}

// row finds what the room may import: by its name, else by the first pattern.
func row(room string) (string, bool) {
	for _, r := range law {
		if r.room == room {
			return r.may, true
		}
	}

	for _, r := range law {
		if ok, err := path.Match(r.room, room); err == nil && ok {
			return r.may, true
		}
	}

	return "", false
}

func TestImportsRule(t *testing.T) {
	cases := map[string]struct {
		path, imports string
		want          []string
	}{
		"the path":            {"internal/api/x.go", `"net/http"; "` + module + `/internal/checkout"`, nil},
		"fault for everybody": {"internal/store/x.go", `"` + module + `/internal/fault"`, nil},
		"backwards":           {"internal/checkout/x.go", `"` + module + `/internal/api"`, []string{module + "/internal/api"}},
		"across":              {"internal/provider/a/x.go", `"` + module + `/internal/provider/b"`, []string{module + "/internal/provider/b"}},
		"provider to store":   {"internal/provider/a/x.go", `"` + module + `/internal/store"`, []string{module + "/internal/store"}},
		"all to a provider":   {"internal/provider/all/x.go", `"` + module + `/internal/provider/a"`, nil},
		"api to dispatch":     {"internal/api/x.go", `"` + module + `/internal/dispatch"`, []string{module + "/internal/dispatch"}},
		"client to us":        {"client/x.go", `"` + module + `/internal/fault"`, []string{module + "/internal/fault"}},
		"config by a room":    {"internal/dispatch/x.go", `"` + module + `/internal/config"`, []string{module + "/internal/config"}},
		"money and a library": {"internal/money/x.go", `"example.org/decimal"`, []string{"example.org/decimal"}},
		"SQL at the door":     {"internal/api/x.go", `"database/sql"`, []string{"database/sql"}},
		"driver in dispatch":  {"internal/dispatch/x.go", `"modernc.org/sqlite/lib"`, []string{"modernc.org/sqlite/lib"}},
		"catalog and network": {"internal/catalog/x.go", `"net/http"`, []string{"net/http"}},
		"tests are free":      {"internal/money/x_test.go", `"` + module + `/internal/store"`, nil},
		"a room unknown":      {"internal/attic/x.go", `"fmt"`, []string{"internal/attic"}},
		"a folder below":      {"internal/task/deep/x.go", `"fmt"`, []string{"internal/task/deep"}},
		"cli to store":        {"internal/cli/x.go", `"` + module + `/internal/store"`, []string{module + "/internal/store"}},
		"nobody imports cli":  {"internal/app/x.go", `"` + module + `/internal/cli"`, []string{module + "/internal/cli"}},
		"the wrong model":     {"internal/task/x.go", `"` + module + `/internal/catalog"`, []string{module + "/internal/catalog"}},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		t.Run(name, func(t *testing.T) {
			got := imports([]source{parse(t, c.path, "package x\nimport ("+c.imports+")\n")})
			if diff := cmp.Diff(c.want, names(got)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// names lists what was found, for comparing.
func names(found []finding) []string {
	var all []string
	for _, f := range found {
		all = append(all, f.name)
	}

	return all
}
