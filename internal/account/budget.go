package account

import (
	"time"

	"github.com/unireel/unireel/internal/money"
)

// Period is how long a budget lasts before it is whole again: a day or a month by
// UTC.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Periods lists them, the shorter one first.
func Periods() []Period { return []Period{Day, Month} }

// Start is when the period began that a time lies in. Both are unix milliseconds.
func (p Period) Start(at int64) int64 { return p.first(at).UnixMilli() }

// End is when the next one begins.
func (p Period) End(at int64) int64 {
	if p == Month {
		return p.first(at).AddDate(0, 1, 0).UnixMilli()
	}

	return p.first(at).AddDate(0, 0, 1).UnixMilli()
}

func (p Period) first(at int64) time.Time {
	year, month, day := time.UnixMilli(at).UTC().Date()
	if p == Month {
		day = 1
	}

	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Budget is the most that a key's tasks of one day and of one month may cost, in
// micro-units; 0 is no bound. What is held counts as spent until it is released,
// always in the period in which the task was created.
type Budget struct{ Day, Month money.Amount }

// Of is the budget for a period.
func (b Budget) Of(p Period) money.Amount {
	if p == Month {
		return b.Month
	}

	return b.Day
}

// Spending is what a key's tasks of one period came to, in micro-units.
type Spending struct{ Spent, Held money.Amount }

// Left is how much of a budget is left beside it: below zero when the budget was
// made smaller.
func (s Spending) Left(budget money.Amount) money.Amount { return budget - s.Spent - s.Held }
