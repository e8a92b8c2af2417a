// Package money counts money in whole micro-units (millionths of the
// installation's currency). Every package may import it; it imports none of
// them. It uses no floating point, and an overflow is an error and never wraps
// around.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a sum of money in micro-units: 1_000_000 is one dollar, yuan or
// euro.
type Amount int64

// Unit is one whole unit of the currency.
const Unit Amount = 1_000_000

// ErrOverflow means that a sum does not fit into 63 bits.
var ErrOverflow = errors.New("amount out of range")

// Add returns a+b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	c := a + b
	if (c > a) != (b > 0) {
		return 0, ErrOverflow
	}

	return c, nil
}

// ForMillis returns the price of the given number of milliseconds at a
// micro-units per second. The result is rounded once, half up, to a whole
// micro-unit. A negative price or time is an error.
func (a Amount) ForMillis(millis int64) (Amount, error) {
	if a < 0 || millis < 0 {
		return 0, fmt.Errorf("price %d for %d ms: %w", a, millis, ErrOverflow)
	}

	return mulDivRound(a, millis, 1000)
}

// Scale returns a × num / den, rounded half up. It applies an operator's
// mark-up. a and num must not be negative, and den must be positive.
func (a Amount) Scale(num, den int64) (Amount, error) {
	if a < 0 || num < 0 || den <= 0 {
		return 0, fmt.Errorf("scale %d by %d/%d: %w", a, num, den, ErrOverflow)
	}

	return mulDivRound(a, num, den)
}

func mulDivRound(a Amount, num, den int64) (Amount, error) {
	hi, lo := bits.Mul64(uint64(a), uint64(num))
	lo, carry := bits.Add64(lo, uint64(den)/2, 0)

	hi += carry
	if hi >= uint64(den) {
		return 0, ErrOverflow
	}

	q, _ := bits.Div64(hi, lo, uint64(den))
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}

	return Amount(q), nil
}

// String formats the amount as a plain decimal with two to six decimal places:
// "0.25", "12.50", "0.0375", "-3.00".
func (a Amount) String() string {
	sign := ""

	u := uint64(a)
	if a < 0 {
		sign = "-"
		u = -uint64(a)
	}

	frac := strings.TrimRight(fmt.Sprintf("%06d", u%uint64(Unit)), "0")
	for len(frac) < 2 {
		frac += "0"
	}

	return sign + strconv.FormatUint(u/uint64(Unit), 10) + "." + frac
}

// Parse reads a plain decimal with at most six decimal places: "10", "0.0375",
// "-1.5". It accepts no exponent, no white space, and no sign except a leading
// minus.
func Parse(s string) (Amount, error) {
	unsigned, negative := strings.CutPrefix(s, "-")

	whole, frac, hasPoint := strings.Cut(unsigned, ".")
	if whole == "" || (hasPoint && frac == "") || len(frac) > 6 || !isDigits(whole) || !isDigits(frac) {
		return 0, fmt.Errorf("amount %q: want a decimal like 10 or 0.0375, with at most six decimal places", s)
	}

	micros, err := strconv.ParseInt(whole+(frac + "000000")[:6], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, ErrOverflow)
	}

	if negative {
		micros = -micros
	}

	return Amount(micros), nil
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}

	return true
}
