package main

import (
	"fmt"
	"strings"
)

// line is one figure: what was measured, on which database.
type line struct {
	on       string // "": it has none to speak of
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

// String is a line as it is printed while the run goes on.
func (l line) String() string {
	name := l.name
	if l.on != "" {
		name = l.on + ": " + name
	}

	text := name + ": " + l.amount(l.measured)
	if l.target > 0 {
		text += fmt.Sprintf(" (%s: %s)", l.wanted(), l.compared())
	}

	if l.also != "" {
		text += "; " + l.also
	}

	return text
}
