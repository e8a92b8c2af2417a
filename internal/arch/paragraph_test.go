package arch

import (
	"bytes"
	"go/ast"
	"testing"
)

// A page is readable at a glance when the steps of a function stand apart and each
// assignment has a line of its own. The linter wsl_v5 places the blank lines; these
// two figures show whether the whole holds.
const (
	longFunc    = 20 // lines that are not blank: from here on a function is expected to have steps
	minSpaced   = 70 // of 100 long functions, at least so many have a blank line
	maxParallel = 2  // of 1,000 lines, at most so many assign several values side by side
)

func TestParagraphs(t *testing.T) {
	all := sources(t)
	long, spaced := paragraphs(all)
	parallel, lines := parallels(all)

	t.Logf("%d of %d functions of %d lines and more have a blank line; %d parallel assignments in %d lines", spaced, long, longFunc, parallel, lines)

	if spaced*100 < long*minSpaced {
		t.Errorf("%d of %d long functions have a blank line: fewer than %d%%", spaced, long, minSpaced)
	}

	if parallel*1000 > lines*maxParallel {
		t.Errorf("%d parallel assignments in %d lines: more than %d in 1,000", parallel, lines, maxParallel)
	}
}

// paragraphs counts the long functions, and those of them that have a blank line.
func paragraphs(all []source) (long, spaced int) {
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}

			text := s.text[s.set.Position(f.Pos()).Offset:s.set.Position(f.End()).Offset]
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

// parallels counts assignments like a, b = 1, 2 and all lines that are not blank.
func parallels(all []source) (parallel, lines int) {
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
	wall := parse(t, "a/wall.go", "package x\n\nfunc F() {\n"+string(body)+"}\n")
	steps := parse(t, "a/steps.go", "package x\n\nfunc F() {\n\ta, b := 1, 2\n\n"+string(body)+"}\n")

	if long, spaced := paragraphs([]source{wall, steps}); long != 2 || spaced != 1 {
		t.Errorf("%d long functions, %d with a blank line; want 2 and 1", long, spaced)
	}

	if parallel, lines := parallels([]source{steps}); parallel != 1 || lines != longFunc+4 {
		t.Errorf("%d parallel assignments in %d lines; want 1 in %d", parallel, lines, longFunc+4)
	}
}
