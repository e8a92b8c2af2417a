package limit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// In any stretch of time a bucket gives at most its burst and what it gained.
func TestBucketNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.01, 5000).Draw(t, "rate")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		b := NewBucket(rate, burst)
		now := start

		var taken []time.Time

		for range rapid.IntRange(1, 300).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Second/time.Duration(1+int(rate)))).Draw(t, "step")))
			if ok, _ := b.Take(now); ok {
				taken = append(taken, now)
			}
		}

		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := float64(burst) + taken[j].Sub(taken[i]).Seconds()*rate + 1e-6
				if float64(j-i+1) > most {
					t.Fatalf("%d tokens in %s at %g a second, burst %d", j-i+1, taken[j].Sub(taken[i]), rate, burst)
				}
			}
		}
	})
}

// The wait is exact: a nanosecond earlier is refused, at it there is a token.
func TestBucketWaitIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBucket(rapid.Float64Range(0.01, 5000).Draw(t, "rate"), rapid.IntRange(1, 20).Draw(t, "burst"))

		now := start
		for range 100 {
			ok, wait := b.Take(now)
			if ok {
				if wait != 0 {
					t.Fatalf("a token and a wait of %s", wait)
				}

				continue
			}

			early := b
			if ok, _ := early.Take(now.Add(wait - 1)); ok {
				t.Fatal("the wait is too long")
			}

			now = now.Add(wait)
			if ok, _ := b.Take(now); !ok {
				t.Fatal("the wait is too short")
			}
		}
	})
}

func TestBucketGivesItsBurstAtOnce(t *testing.T) {
	b := NewBucket(5, 3)
	for i := range 3 {
		if ok, _ := b.Take(start); !ok {
			t.Fatalf("token %d was refused", i+1)
		}
	}

	if ok, wait := b.Take(start); ok || wait != 200*time.Millisecond {
		t.Fatalf("got %v, %s", ok, wait)
	}

	if b.Idle(start) || !b.Idle(start.Add(600*time.Millisecond)) {
		t.Fatal("a bucket is idle when it is full again")
	}
}

func TestNoRateNeverRefuses(t *testing.T) {
	b := NewBucket(0, 0)
	for range 1000 {
		if ok, _ := b.Take(start); !ok {
			t.Fatal("refused")
		}
	}
}

func TestStrangeRatesKeepTheirSense(t *testing.T) {
	for _, rate := range []float64{1e-300, 1e300} {
		b := NewBucket(rate, 1<<31-1)
		if ok, _ := b.Take(start); !ok {
			t.Fatalf("rate %g refuses its first token", rate)
		}
	}

	slow := NewBucket(1e-300, 1)
	slow.Take(start)

	if ok, wait := slow.Take(start); ok || wait <= 0 {
		t.Fatalf("got %v, %s", ok, wait)
	}
}

// A key's bucket behaves as if it were alone, while there is room for all keys.
func TestBucketsAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 20).Draw(t, "rate")
		burst := rapid.IntRange(1, 5).Draw(t, "burst")
		all := NewBuckets(rate, burst, 5)
		alone := map[string]*Bucket{}

		now := start
		for range rapid.IntRange(1, 200).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "step")))

			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key")
			if alone[key] == nil {
				b := NewBucket(rate, burst)
				alone[key] = &b
			}

			wantOK, wantWait := alone[key].Take(now)
			if ok, wait := all.Take(key, now); ok != wantOK || wait != wantWait {
				t.Fatalf("%s: got %v %s, want %v %s", key, ok, wait, wantOK, wantWait)
			}
		}
	})
}

// What is left is what can be taken at once, and a bucket is whole when it says so.
func TestABucketSaysWhatIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBucket(rapid.Float64Range(0.01, 5000).Draw(t, "rate"), rapid.IntRange(1, 20).Draw(t, "burst"))
		now := start

		whole := b.Left(now)
		for range rapid.IntRange(0, 60).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "step")))
			b.Take(now)
		}

		probe := b

		taken := int64(0)
		for ok, _ := probe.Take(now); ok; ok, _ = probe.Take(now) {
			taken++
		}

		if left := b.Left(now); left != taken {
			t.Fatalf("%d are left and %d were taken", left, taken)
		}

		if later := now.Add(b.Whole(now)); b.Left(later) != whole || !b.Idle(later) || b.Whole(now) > 0 && b.Idle(later.Add(-1)) {
			t.Fatalf("it is not whole after %s", b.Whole(now))
		}
	})
}

func TestABucketOfSoManyIsBackInItsTime(t *testing.T) {
	for tokens, per := range map[int64]time.Duration{1: time.Hour, 2: time.Minute, 7: time.Minute, 600: time.Minute, 1_000_000: time.Second} {
		b := BucketOf(tokens, per)
		for range tokens {
			if ok, _ := b.Take(start); !ok {
				t.Fatalf("%d in %s: refused", tokens, per)
			}
		}

		if back := b.Whole(start); b.Left(start) != 0 || back < per || back > per+time.Duration(tokens) {
			t.Errorf("%d in %s: all are back after %s", tokens, per, back)
		}
	}

	if b := BucketOf(0, time.Second); !b.Ready(start) || b != (Bucket{}) {
		t.Error("no rate refuses")
	}
}

func TestAKeyMayHaveARateOfItsOwn(t *testing.T) {
	b := NewBuckets(0, 0, 10)
	take := func(like Bucket, want bool, left int64) {
		t.Helper()

		if ok, _, after := b.TakeOf("k", like, start); ok != want || after.Left(start) != left {
			t.Errorf("taken %v, %d left", ok, after.Left(start))
		}
	}
	take(NewBucket(2, 2), true, 1)
	take(NewBucket(2, 2), true, 0)
	take(NewBucket(2, 2), false, 0)
	take(NewBucket(3, 3), true, 2) // it was changed

	if ok, _ := b.Take("other", start); !ok {
		t.Error("a bucket without a rate refuses")
	}
}

func TestBucketsStayBounded(t *testing.T) {
	b := NewBuckets(1, 1, 10)
	for i := range 1000 {
		b.Take(fmt.Sprint(i), start)

		if b.Keys() > 10 {
			t.Fatalf("%d keys", b.Keys())
		}
	}

	if ok, _ := b.Take("999", start); ok {
		t.Fatal("the newest key was forgotten before older ones")
	}

	for range 10 {
		b.Take("one", start.Add(time.Hour))
	}

	if b.Keys() != 1 {
		t.Fatalf("idle keys are remembered: %d", b.Keys())
	}
}

// A model of slots: counts never pass the limit by Acquire, the limit stays
// within 1..most, halving is at most one per settle time, growth one per calm.
func TestSlotsKeepTheirLaws(t *testing.T) {
	const settle, calm = time.Second, 10 * time.Second

	rapid.Check(t, func(t *rapid.T) {
		s := NewSlots(settle, calm)
		now := start
		most := 0
		inUse := 0

		var halved, changed time.Time

		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "step")))
			before := s.Limit("k")

			switch rapid.SampledFrom([]string{"acquire", "acquire", "release", "adopt", "resize", "halve", "calm", "calm"}).Draw(t, "act") {
			case "acquire":
				ok := s.Acquire("k")
				if ok != (inUse < before) {
					t.Fatalf("acquire gave %v with %d of %d", ok, inUse, before)
				}

				if ok {
					inUse++
				}
			case "release":
				s.Release("k")

				inUse = max(inUse-1, 0)
			case "adopt":
				s.Adopt("k")

				inUse++
			case "resize":
				most = rapid.IntRange(0, 9).Draw(t, "most")
				s.Resize("k", most)
			case "halve":
				want := before
				if halved.IsZero() || now.Sub(halved) >= settle {
					want = max(before/2, min(1, most))
					halved = now
				}

				changed = now
				if got := s.Halve("k", now); got != want {
					t.Fatalf("halved %d to %d, want %d", before, got, want)
				}
			case "calm":
				got := s.Calm("k", now)

				grows := before < most && now.Sub(changed) >= calm
				if grows {
					changed = now
				}

				if (got == before+1) != grows || got > before+1 || got < before {
					t.Fatalf("calm made %d of %d", got, before)
				}
			}

			if l := s.Limit("k"); l > most || l < min(1, most) {
				t.Fatalf("limit %d of %d", l, most)
			}

			if s.InUse("k") != inUse || s.Free("k") != max(s.Limit("k")-inUse, 0) {
				t.Fatalf("in use %d, want %d", s.InUse("k"), inUse)
			}
		}
	})
}

func TestSlotsGiveWayAndComeBack(t *testing.T) {
	s := NewSlots(time.Second, time.Minute)
	s.Resize("k", 8)

	if got := s.Halve("k", start); got != 4 {
		t.Fatalf("got %d", got)
	}

	if got := s.Halve("k", start.Add(time.Millisecond)); got != 4 {
		t.Fatalf("one burst of refusals counted twice: %d", got)
	}

	now := start
	for want := 5; want <= 8; want++ {
		now = now.Add(time.Minute + time.Millisecond)
		if got := s.Calm("k", now); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}

	if got := s.Calm("k", now.Add(time.Hour)); got != 8 {
		t.Fatalf("grew beyond what is configured: %d", got)
	}

	s.Resize("k", 20)

	if s.Limit("k") != 20 || s.Acquire("other") {
		t.Fatal("a limit at its most follows a new most; an unknown key has no slots")
	}
}
