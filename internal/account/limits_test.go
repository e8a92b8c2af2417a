package account

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPeriodBoundariesInUTC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Int64Range(0, time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()).Draw(t, "at")
		for p, layout := range map[Period]string{Day: "2006-01-02", Month: "2006-01"} {
			start := p.Start(at)
			end := p.End(at)

			name := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(layout) }
			if start > at || end <= at || name(start) != name(at) || name(end-1) != name(at) || name(start-1) == name(at) || name(end) == name(at) {
				t.Fatalf("%s of %d: %d to %d", p, at, start, end)
			}

			if p.Start(end) != end || p.Start(start) != start {
				t.Fatalf("the start of the %s of %d is in another period", p, at)
			}
		}
	})
}

func TestRateRoundTrip(t *testing.T) {
	for text, want := range map[string]Rate{"": {}, "10/s": {10, time.Second}, "600/m": {600, time.Minute}, "1/h": {1, time.Hour}, "1000000/s": {MaxRate, time.Second}} {
		got, err := ParseRate(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q is %+v, %q, %v", text, got, got.String(), err)
		}
	}

	for _, text := range []string{"10", "0/s", "-1/s", "+1/s", "1.5/s", "10/d", "10/", "/s", " 1/s", "1000001/s", "99999999999999999999/s", "1/s/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	f.Add("10/s")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			return
		}

		if reparsed, err := ParseRate(r.String()); err != nil || reparsed != r {
			t.Errorf("%q is %+v, which is parsed back as %+v, %v", text, r, reparsed, err)
		}
	})
}
