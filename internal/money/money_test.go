package money

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParseString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Min(math.MinInt64+1).Draw(t, "a"))

		got, err := Parse(a.String())
		if err != nil || got != a {
			t.Fatalf("Parse(%q) = %d, %v; want %d", a.String(), got, err, a)
		}
	})
}

func TestForMillisRoundsHalfUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Amount(rapid.Int64Range(0, math.MaxInt64).Draw(t, "price"))
		ms := rapid.Int64Range(0, math.MaxInt64).Draw(t, "millis")
		want := new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(ms))
		want.Add(want, big.NewInt(500)).Div(want, big.NewInt(1000))

		got, err := a.ForMillis(ms)
		if !want.IsInt64() {
			if !errors.Is(err, ErrOverflow) {
				t.Fatalf("%d for %d ms = %d, %v; want overflow", a, ms, got, err)
			}

			return
		}

		if err != nil || int64(got) != want.Int64() {
			t.Fatalf("%d for %d ms = %d, %v; want %s", a, ms, got, err, want)
		}
	})
}

func TestAddOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64().Draw(t, "a")
		b := rapid.Int64().Draw(t, "b")
		want := new(big.Int).Add(big.NewInt(a), big.NewInt(b))

		got, err := Amount(a).Add(Amount(b))
		if want.IsInt64() != (err == nil) || (err == nil && int64(got) != want.Int64()) {
			t.Fatalf("%d + %d = %d, %v", a, b, got, err)
		}
	})
}

func TestString(t *testing.T) {
	for a, want := range map[Amount]string{0: "0.00", 250_000: "0.25", 37_500: "0.0375", 12_500_000: "12.50", -3_000_000: "-3.00", 1: "0.000001"} {
		if got := a.String(); got != want {
			t.Errorf("%d = %q, want %q", int64(a), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "0.0375", "-1.5", "", ".", "1e3", "99999999999999999999", "+1", "--1"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		if a, err := Parse(s); err == nil {
			if b, err := Parse(a.String()); err != nil || a != b {
				t.Fatalf("%q -> %d -> %q -> %d, %v", s, a, a.String(), b, err)
			}
		}
	})
}
