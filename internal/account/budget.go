package account

import (
	"time"

	"github.com/unireel/unireel/internal/money"
)

// Period is the time after which a budget starts again: a day or a month in UTC.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Periods lists all periods, the shorter one first.
func Periods() []Period { return []Period{Day, Month} }

// Start returns the start of the period that contains at. Both are unix
// milliseconds.
func (p Period) Start(at int64) int64 { return p.startTime(at).UnixMilli() }

// End returns the start of the period after the one that contains at.
func (p Period) End(at int64) int64 {
	if p == Month {
		return p.startTime(at).AddDate(0, 1, 0).UnixMilli()
	}

	return p.startTime(at).AddDate(0, 0, 1).UnixMilli()
}

func (p Period) startTime(at int64) time.Time {
	year, month, day := time.UnixMilli(at).UTC().Date()
	if p == Month {
		day = 1
	}

	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Budget is the most that a key's tasks of one day and of one month may cost, in
// micro-units; 0 is no limit. A hold counts as spent until it is released,
// always in the period in which the task was created.
type Budget struct{ Day, Month money.Amount }

// For returns the budget of a period.
func (b Budget) For(p Period) money.Amount {
	if p == Month {
		return b.Month
	}

	return b.Day
}

// Spending is what a key's tasks of one period have cost and hold, in
// micro-units.
type Spending struct{ Spent, Held money.Amount }

// Remaining returns how much of a budget is left. It is negative if the budget
// was reduced below what is already spent and held.
func (s Spending) Remaining(budget money.Amount) money.Amount { return budget - s.Spent - s.Held }
