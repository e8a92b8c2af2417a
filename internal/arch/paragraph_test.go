package arch

import (
	"bytes"
	"go/ast"
	"testing"
)

// Code is easy to read if blank lines separate the steps of a function and each assignment
// has its own line. The linter wsl_v5 requires the blank lines; these figures check the
// result for the repository as a whole.
const (
	longFunc               = 20 // non-blank lines: a function of this length is expected to have several steps
	minSpacedPercent       = 70 // of 100 long functions at least this many must have a blank line
	maxParallelPerThousand = 2  // of 1,000 lines at most this many may be parallel assignments
)

func TestParagraphs(t *testing.T) {
	all := sources(t)
	long, spaced := countParagraphs(all)
	parallel, lines := countParallelAssignments(all)

	t.Logf("%d of %d functions of %d lines and more have a blank line; %d parallel assignments in %d lines", spaced, long, longFunc, parallel, lines)

	if spaced*100 < long*minSpacedPercent {
		t.Errorf("%d of %d long functions have a blank line: fewer than %d%%", spaced, long, minSpacedPercent)
	}

	if parallel*1000 > lines*maxParallelPerThousand {
		t.Errorf("%d parallel assignments in %d lines: more than %d in 1,000", parallel, lines, maxParallelPerThousand)
	}
}

// countParagraphs counts the long functions, and those of them with a blank line.
func countParagraphs(all []source) (long, spaced int) {
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}

			text := s.text[s.fset.Position(f.Pos()).Offset:s.fset.Position(f.End()).Offset]
			if lineCount(text) < longFunc {
				continue
			}

			long++

			if bytes.Contains(text, []byte("\n\n")) {
				spaced++
			}
		}
	}

	return long, spaced
}

// countParallelAssignments counts assignments like a, b = 1, 2, and all non-blank lines.
func countParallelAssignments(all []source) (parallel, lines int) {
	for _, s := range all {
		lines += lineCount(s.text)

		ast.Inspect(s.file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) > 1 && len(a.Lhs) == len(a.Rhs) {
				parallel++
			}

			return true
		})
	}

	return parallel, lines
}

func TestParagraphsRule(t *testing.T) {
	body := bytes.Repeat([]byte("\t_ = 1\n"), longFunc)
	dense := parse(t, "a/dense.go", "package x\n\nfunc F() {\n"+string(body)+"}\n")
	separated := parse(t, "a/separated.go", "package x\n\nfunc F() {\n\ta, b := 1, 2\n\n"+string(body)+"}\n")

	if long, spaced := countParagraphs([]source{dense, separated}); long != 2 || spaced != 1 {
		t.Errorf("%d long functions, %d with a blank line; want 2 and 1", long, spaced)
	}

	if parallel, lines := countParallelAssignments([]source{separated}); parallel != 1 || lines != longFunc+4 {
		t.Errorf("%d parallel assignments in %d lines; want 1 in %d", parallel, lines, longFunc+4)
	}
}
