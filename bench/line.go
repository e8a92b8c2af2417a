package main

import (
	"fmt"
	"strings"
)

// line is one measured row.
type line struct {
	name     string
	unit     string
	target   float64 // 0: the line is for orientation and has none
	most     bool    // the target is the most that it may be, not the least
	measured float64
	also     string // what belongs beside the figure
	bounds   string // what bounds it here
}

// better says how often the target is met: above 1 is better than asked. 0 is
// unknown.
func (l line) better() float64 {
	switch {
	case l.target == 0 || l.measured <= 0:
		return 0
	case l.most:
		return l.target / l.measured
	}
	return l.measured / l.target
}

func (l line) wanted() string {
	switch {
	case l.target == 0:
		return ""
	case l.most:
		return "<= " + l.amount(l.target)
	}
	return ">= " + l.amount(l.target)
}

func (l line) found() string {
	text := l.amount(l.measured)
	if l.also != "" {
		text += "; " + l.also
	}
	return text
}

func (l line) amount(v float64) string { return strings.TrimSpace(figure(v) + " " + l.unit) }

func (l line) compared() string {
	if r := l.better(); r > 0 {
		return fmt.Sprintf("%.2f", r)
	}
	return ""
}

// figure writes a number with three digits that mean something.
func figure(v float64) string {
	switch {
	case v >= 1000:
		return thousands(int64(v + 0.5))
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// elsewhere are the targets that one node with SQLite cannot show.
var elsewhere = []string{
	"durable creates a second, PostgreSQL, 1,000 accounts and one hot account",
	"10,000 idle listeners to events",
	"take-over of a dead replica's tasks",
}

// page is docs/performance.md.
func page(machine string, lines []line, b *bench) string {
	var s strings.Builder
	fmt.Fprintf(&s, `# What it does in a second

Written by `+"`make bench` (`go run ./bench`)"+`; no figure here was typed. One node, SQLite with `+"`synchronous=FULL`"+`, the program as it is shipped, over
HTTP on loopback. The load generator and the simulated supplier run on the same cores and take their share of them.
Whole lifecycles ran for %s, other loads for %s each; large tables have %s rows.

%s

| what | measured | target | against it | what bounds it here |
|---|---|---|---|---|
`, b.time, b.burst, thousands(int64(b.rows)), machine)
	for _, l := range lines {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", l.name, l.found(), l.wanted(), l.compared(), l.bounds)
	}
	for _, name := range elsewhere {
		fmt.Fprintf(&s, "| %s | not on one node | | | |\n", name)
	}
	s.WriteString("\nAgainst it: above 1 is better than the target, whichever way it points. `go run ./bench -full` measures for 10 minutes and with 1,000,000 rows.\n")
	return s.String()
}
