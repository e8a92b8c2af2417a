package limit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// In any period of time a bucket grants at most its burst plus what it gained meanwhile.
func TestBucketKeepsItsRate(t *testing.T) {
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
				allowed := float64(burst) + taken[j].Sub(taken[i]).Seconds()*rate + 1e-6
				if float64(j-i+1) > allowed {
					t.Fatalf("%d tokens in %s at %g a second, burst %d", j-i+1, taken[j].Sub(taken[i]), rate, burst)
				}
			}
		}
	})
}

// The wait is exact: one nanosecond earlier there is no token, at that time there is one.
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

func TestBucketBurst(t *testing.T) {
	b := NewBucket(5, 3)
	for i := range 3 {
		if ok, _ := b.Take(start); !ok {
			t.Fatalf("token %d was refused", i+1)
		}
	}

	if ok, wait := b.Take(start); ok || wait != 200*time.Millisecond {
		t.Fatalf("got %v, %s", ok, wait)
	}

	if b.Full(start) || !b.Full(start.Add(600*time.Millisecond)) {
		t.Fatal("a bucket is idle when it is full again")
	}
}

func TestZeroRateIsUnlimited(t *testing.T) {
	b := NewBucket(0, 0)
	for range 1000 {
		if ok, _ := b.Take(start); !ok {
			t.Fatal("refused")
		}
	}
}

func TestExtremeRates(t *testing.T) {
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

// While all keys fit, a key's bucket behaves as if it were the only one.
func TestBucketsAreIndependent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.5, 20).Draw(t, "rate")
		burst := rapid.IntRange(1, 5).Draw(t, "burst")
		buckets := NewBuckets(rate, burst, 5)
		reference := map[string]*Bucket{}

		now := start
		for range rapid.IntRange(1, 200).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "step")))

			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key")
			if reference[key] == nil {
				b := NewBucket(rate, burst)
				reference[key] = &b
			}

			wantOK, wantWait := reference[key].Take(now)
			if ok, wait := buckets.Take(key, now); ok != wantOK || wait != wantWait {
				t.Fatalf("%s: got %v %s, want %v %s", key, ok, wait, wantOK, wantWait)
			}
		}
	})
}

// Remaining is the number of tokens that can be taken at once, and after UntilFull the bucket is full.
func TestBucketRemaining(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBucket(rapid.Float64Range(0.01, 5000).Draw(t, "rate"), rapid.IntRange(1, 20).Draw(t, "burst"))
		now := start

		capacity := b.Remaining(now)
		for range rapid.IntRange(0, 60).Draw(t, "asks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "step")))
			b.Take(now)
		}

		copied := b

		taken := int64(0)
		for ok, _ := copied.Take(now); ok; ok, _ = copied.Take(now) {
			taken++
		}

		if remaining := b.Remaining(now); remaining != taken {
			t.Fatalf("%d are left and %d were taken", remaining, taken)
		}

		if later := now.Add(b.UntilFull(now)); b.Remaining(later) != capacity || !b.Full(later) || b.UntilFull(now) > 0 && b.Full(later.Add(-1)) {
			t.Fatalf("the bucket is not full after %s", b.UntilFull(now))
		}
	})
}

func TestNewBucketPer(t *testing.T) {
	for tokens, per := range map[int64]time.Duration{1: time.Hour, 2: time.Minute, 7: time.Minute, 600: time.Minute, 1_000_000: time.Second} {
		b := NewBucketPer(tokens, per)
		for range tokens {
			if ok, _ := b.Take(start); !ok {
				t.Fatalf("%d in %s: refused", tokens, per)
			}
		}

		if untilFull := b.UntilFull(start); b.Remaining(start) != 0 || untilFull < per || untilFull > per+time.Duration(tokens) {
			t.Errorf("%d in %s: all are back after %s", tokens, per, untilFull)
		}
	}

	if b := NewBucketPer(0, time.Second); !b.Ready(start) || b != (Bucket{}) {
		t.Error("a bucket without a rate refuses")
	}
}

func TestTakeWith(t *testing.T) {
	b := NewBuckets(0, 0, 10)
	take := func(initial Bucket, want bool, remaining int64) {
		t.Helper()

		if ok, _, after := b.TakeWith("k", initial, start); ok != want || after.Remaining(start) != remaining {
			t.Errorf("taken %v, %d left", ok, after.Remaining(start))
		}
	}
	take(NewBucket(2, 2), true, 1)
	take(NewBucket(2, 2), true, 0)
	take(NewBucket(2, 2), false, 0)
	take(NewBucket(3, 3), true, 2) // the rate has changed

	if ok, _ := b.Take("other", start); !ok {
		t.Error("a bucket without a rate refuses")
	}
}

func TestBucketsMaxKeys(t *testing.T) {
	b := NewBuckets(1, 1, 10)
	for i := range 1000 {
		b.Take(fmt.Sprint(i), start)

		if b.Len() > 10 {
			t.Fatalf("%d keys", b.Len())
		}
	}

	if ok, _ := b.Take("999", start); ok {
		t.Fatal("the newest key was forgotten before older ones")
	}

	for range 10 {
		b.Take("one", start.Add(time.Hour))
	}

	if b.Len() != 1 {
		t.Fatalf("idle keys are remembered: %d", b.Len())
	}
}

// Compares Slots with a model: Acquire never exceeds the limit, the limit stays within
// 1..max, is halved at most once in halveInterval and grows by at most one in growInterval.
func TestSlotsMatchModel(t *testing.T) {
	const halveInterval, growInterval = time.Second, 10 * time.Second

	rapid.Check(t, func(t *rapid.T) {
		s := NewSlots(halveInterval, growInterval)
		now := start
		maxSlots := 0
		inUse := 0

		var halvedAt, changedAt time.Time

		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "step")))
			before := s.Limit("k")

			switch rapid.SampledFrom([]string{"acquire", "acquire", "release", "force acquire", "set max", "halve", "success", "success"}).Draw(t, "act") {
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
			case "force acquire":
				s.ForceAcquire("k")

				inUse++
			case "set max":
				maxSlots = rapid.IntRange(0, 9).Draw(t, "most")
				s.SetMax("k", maxSlots)
			case "halve":
				want := before
				if halvedAt.IsZero() || now.Sub(halvedAt) >= halveInterval {
					want = max(before/2, min(1, maxSlots))
					halvedAt = now
				}

				changedAt = now
				if got := s.Halve("k", now); got != want {
					t.Fatalf("halved %d to %d, want %d", before, got, want)
				}
			case "success":
				got := s.RecordSuccess("k", now)

				grows := before < maxSlots && now.Sub(changedAt) >= growInterval
				if grows {
					changedAt = now
				}

				if (got == before+1) != grows || got > before+1 || got < before {
					t.Fatalf("success changed the limit from %[2]d to %[1]d", got, before)
				}
			}

			if l := s.Limit("k"); l > maxSlots || l < min(1, maxSlots) {
				t.Fatalf("limit %d of %d", l, maxSlots)
			}

			if s.InUse("k") != inUse || s.Free("k") != max(s.Limit("k")-inUse, 0) {
				t.Fatalf("in use %d, want %d", s.InUse("k"), inUse)
			}
		}
	})
}

func TestSlotsHalveAndGrow(t *testing.T) {
	s := NewSlots(time.Second, time.Minute)
	s.SetMax("k", 8)

	if got := s.Halve("k", start); got != 4 {
		t.Fatalf("got %d", got)
	}

	if got := s.Halve("k", start.Add(time.Millisecond)); got != 4 {
		t.Fatalf("one burst of refusals counted twice: %d", got)
	}

	now := start
	for want := 5; want <= 8; want++ {
		now = now.Add(time.Minute + time.Millisecond)
		if got := s.RecordSuccess("k", now); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}

	if got := s.RecordSuccess("k", now.Add(time.Hour)); got != 8 {
		t.Fatalf("grew beyond the configured maximum: %d", got)
	}

	s.SetMax("k", 20)

	if s.Limit("k") != 20 || s.Acquire("other") {
		t.Fatal("a limit at its maximum follows a new maximum; an unknown key has no slots")
	}
}
