package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const (
	module = "github.com/unireel/unireel"
	root   = "../.."
)

// source is a parsed Go file.
type source struct {
	path string // from the repository's root, with slashes
	test bool
	text []byte
	fset *token.FileSet
	file *ast.File
}

func (s source) dir() string { return path.Dir(s.path) }

func (s source) line(p token.Pos) int { return s.fset.Position(p).Line }

func (s source) finding(p token.Pos, name, format string, args ...any) finding {
	return finding{path: s.path, line: s.line(p), name: name, text: fmt.Sprintf(format, args...)}
}

// finding is a violation of a rule.
type finding struct {
	path string
	line int
	name string // what an exception names; "" for the file itself
	text string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text) }

func parse(t *testing.T, name, text string) source {
	t.Helper()

	fset := token.NewFileSet()

	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}

	return source{path: name, test: strings.HasSuffix(name, "_test.go"), text: []byte(text), fset: fset, file: file}
}

// files reads every text file of the repository. The keys are paths from the root. It skips
// testdata, which has recorded exchanges, and what is not part of the sources.
func files(t *testing.T) map[string][]byte {
	t.Helper()

	found := map[string][]byte{}

	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "bin", "testdata", "unireel-data", "node_modules", "tmp":
				return filepath.SkipDir
			}

			return nil
		}

		if !entry.Type().IsRegular() {
			return nil
		}

		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}

		if bytes.IndexByte(text, 0) >= 0 {
			return nil
		}

		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}

		found[filepath.ToSlash(rel)] = text

		return nil
	})
	if err != nil {
		t.Fatalf("read the repository: %v", err)
	}

	return found
}

// sources parses every Go file of the repository, except those of tools, which is a module
// of its own.
func sources(t *testing.T) []source {
	t.Helper()

	var all []source

	for name, text := range files(t) {
		if strings.HasSuffix(name, ".go") && !strings.HasPrefix(name, "tools/") {
			all = append(all, parse(t, name, string(text)))
		}
	}

	if len(all) < 10 {
		t.Fatalf("only %d Go files found below %s", len(all), root)
	}

	return all
}
