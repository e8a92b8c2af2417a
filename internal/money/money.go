// Package money counts money in whole micro-units (millionths of the
// installation's currency). Every room may use it; it knows nothing of them.
// There is no floating point in it, and an overflow is an error, never a wrap.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a sum of money in micro-units: 1_000_000 is one dollar, yuan, euro.
type Amount int64

// Unit is one whole unit of the currency.
const Unit Amount = 1_000_000

// ErrOverflow says that a sum does not fit 63 bits.
var ErrOverflow = errors.New("amount out of range")

// Add returns a+b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	c := a + b
	if (c > a) != (b > 0) {
		return 0, ErrOverflow
	}

	return c, nil
}

// For returns what a price of a micro-units per second comes to for the given
// milliseconds, rounded once, half up, to a whole micro-unit. A price or a time
// below zero is an error.
func (a Amount) For(millis int64) (Amount, error) {
	if a < 0 || millis < 0 {
		return 0, fmt.Errorf("price %d for %d ms: %w", a, millis, ErrOverflow)
	}

	return mulDivRound(a, millis, 1000)
}

// Scale returns a x num / den, rounded half up: an operator's mark-up. Neither
// may be negative, den may not be 0.
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

// String writes the amount as a plain decimal with two to six places: "0.25",
// "12.50", "0.0375", "-3.00".
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

// Parse reads a plain decimal with at most six places: "10", "0.0375", "-1.5".
// No exponent, no sign but a leading minus, no white space.
func Parse(s string) (Amount, error) {
	body, negative := strings.CutPrefix(s, "-")

	whole, frac, dotted := strings.Cut(body, ".")
	if whole == "" || (dotted && frac == "") || len(frac) > 6 || !digits(whole) || !digits(frac) {
		return 0, fmt.Errorf("amount %q: want a decimal like 10 or 0.0375, at most six places", s)
	}

	u, err := strconv.ParseInt(whole+(frac + "000000")[:6], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, ErrOverflow)
	}

	if negative {
		u = -u
	}

	return Amount(u), nil
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}

	return true
}
