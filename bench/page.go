package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is a line of a table: one figure for each database that has it.
type row struct {
	name string
	by   map[string]line
}

// rows brings the figures of one name together, in the order of their parts.
func rows(lines []line) []row {
	var all []row
	for _, l := range lines {
		i := slices.IndexFunc(all, func(r row) bool { return r.name == l.name })
		if i < 0 {
			i = len(all)
			all = append(all, row{name: l.name, by: map[string]line{}})
		}

		all[i].by[l.on] = l
	}

	return all
}

// once is what the databases have to say in one column; where all say the same it
// stands once.
func (r row) once(say func(line) string) string {
	var said []string

	for _, on := range both {
		l, ok := r.by[on]
		if text := say(l); ok && text != "" && !slices.Contains(said, text) {
			said = append(said, text)
		}
	}

	if len(said) < 2 {
		return strings.Join(said, "")
	}

	return fmt.Sprintf("%s: %s; %s: %s", sqlite, say(r.by[sqlite]), postgres, say(r.by[postgres]))
}

// figure is what was measured on a database and how it compares to the target:
// two columns.
func (r row) figure(on string) string {
	l, ok := r.by[on]
	if !ok {
		return " | "
	}

	return l.amount(l.measured) + " | " + l.compared()
}

// page is docs/performance.md.
func page(about []string, lines []line, b *bench) string {
	var s strings.Builder
	fmt.Fprintf(&s, `# What it does in a second

Written by `+"`make bench` (`go run ./bench`)"+`; no figure here was typed. The program as it is shipped, over HTTP on loopback, on each database in turn.
The load generator, the simulated supplier and PostgreSQL run on the same cores and take their share of them.
Whole lifecycles ran for %s, other loads for %s each; large tables have %s rows.
Against it: above 1 is better than the target, whichever way it points.

`, b.time, b.burst, thousands(int64(b.rows)))

	for _, text := range about {
		fmt.Fprintf(&s, "- %s\n", text)
	}

	alone := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.on != "" })
	tables := rows(slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.on == "" }))

	fmt.Fprintf(&s, "\n| what | target | %s | against it | %s | against it |\n|---|---|---|---|---|---|\n", sqlite, postgres)

	for _, r := range tables {
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", r.name, r.once(line.wanted), r.figure(sqlite), r.figure(postgres))
	}

	s.WriteString("\nWithout a database:\n\n| what | target | measured | against it | what bounds it here |\n|---|---|---|---|---|\n")

	for _, l := range alone {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", l.name, l.wanted(), strings.TrimSuffix(l.amount(l.measured)+"; "+l.also, "; "), l.compared(), l.bounds)
	}

	fmt.Fprintf(&s, "\n## Beside the figures\n\n| what | %s | %s | what bounds it here |\n|---|---|---|---|\n", sqlite, postgres)

	for _, r := range tables {
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", r.name, r.by[sqlite].also, r.by[postgres].also, r.once(func(l line) string { return l.bounds }))
	}

	s.WriteString("\n`go run ./bench -full` measures for 10 minutes and with 1,000,000 rows; `go run ./bench -help` lists the parts.\n")

	return s.String()
}
