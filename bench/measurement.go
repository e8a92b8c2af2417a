package main

import (
	"fmt"
	"strings"
)

// measurement is one figure, measured on one database.
type measurement struct {
	database  string // "" if the figure does not depend on a database
	name      string
	unit      string
	target    float64 // 0 if the figure has no target
	atMost    bool    // whether the target is a maximum; otherwise it is a minimum
	measured  float64
	note      string // details of the figure
	limitedBy string // what limits the figure on this machine
}

// targetRatio returns the measured value relative to the target: above 1 is better
// than the target. 0 means that there is none.
func (m measurement) targetRatio() float64 {
	switch {
	case m.target == 0 || m.measured <= 0:
		return 0
	case m.atMost:
		return m.target / m.measured
	}

	return m.measured / m.target
}

func (m measurement) targetText() string {
	switch {
	case m.target == 0:
		return ""
	case m.atMost:
		return "<= " + m.withUnit(m.target)
	}

	return ">= " + m.withUnit(m.target)
}

func (m measurement) withUnit(v float64) string {
	return strings.TrimSpace(formatNumber(v) + " " + m.unit)
}

func (m measurement) ratioText() string {
	if r := m.targetRatio(); r > 0 {
		return fmt.Sprintf("%.2f", r)
	}

	return ""
}

// formatNumber formats a number with three significant digits, and numbers from
// 1,000 on as integers.
func formatNumber(v float64) string {
	switch {
	case v >= 1000:
		return groupThousands(int64(v + 0.5))
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}

	return fmt.Sprintf("%.2f", v)
}

func groupThousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}

	return groupThousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// String formats a measurement as it is printed during the run.
func (m measurement) String() string {
	name := m.name
	if m.database != "" {
		name = m.database + ": " + name
	}

	text := name + ": " + m.withUnit(m.measured)
	if m.target > 0 {
		text += fmt.Sprintf(" (%s: %s)", m.targetText(), m.ratioText())
	}

	if m.note != "" {
		text += "; " + m.note
	}

	return text
}
