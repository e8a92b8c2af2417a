package credit

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/money"
)

// TestBalanceMatchesEntries applies random operations: nothing is spent that was
// not granted, and the entries explain the balance.
func TestBalanceMatchesEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			b                    Balance
			granted, spent, held money.Amount
		)

		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			amount := money.Amount(rapid.Int64Range(-50, 100).Draw(t, "amount"))

			var (
				next Balance
				err  error
			)

			switch kind := rapid.SampledFrom([]Kind{KindGrant, KindHold, KindCapture, KindRelease}).Draw(t, "kind"); kind {
			case KindGrant:
				if next, err = Grant(b, amount); err == nil {
					granted += amount
				}
			case KindHold:
				if next, err = Hold(b, amount); err == nil {
					held += amount
				}
			case KindCapture:
				if next, err = Capture(b, amount); err == nil {
					held = held - amount
					spent = spent + amount
				}
			case KindRelease:
				if next, err = Release(b, amount); err == nil {
					held -= amount
				}
			}

			if err != nil {
				continue
			}

			b = next
			if (b != Balance{granted, spent, held}) || b.Free() < 0 || b.Held < 0 {
				t.Fatalf("balance %+v, entries say granted %d spent %d held %d", b, granted, spent, held)
			}
		}
	})
}

func TestSplitHoldIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := money.Amount(rapid.Int64Range(0, 1<<50).Draw(t, "hold"))
		used := money.Amount(rapid.Int64Range(0, 1<<50).Draw(t, "used"))

		capture, release, excess := SplitHold(hold, used)
		if capture+release != hold || capture+excess != used || capture < 0 || release < 0 {
			t.Fatalf("hold %d used %d: capture %d release %d excess %d", hold, used, capture, release, excess)
		}
	})
}
