// Package clock is where the parts of the program that wait get the time from: the time of
// day, the ends of their waits, and their randomness.
//
// In a test all of it is reproducible. The time comes from testing/synctest, and every wait
// ends at an instant that belongs to one actor alone: the last digits of its nanoseconds
// are the actor's number. So no two actors become runnable at the same instant, which one
// acts first does not hang on the scheduler, and a run replays from its seed.
package clock

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// grain is the distance between two instants of the same actor. A wait lasts up to one
// grain longer than was asked for.
const grain = 100 * time.Microsecond

// Clock tells the time. Its zero value is not usable; it is copied freely.
type Clock struct {
	now  func() time.Time
	seed uint64
}

// New returns a clock that reads the time of day from now, and whose actors draw their
// random numbers from seed.
func New(now func() time.Time, seed uint64) Clock { return Clock{now: now, seed: seed} }

// Now returns the time of day.
func (c Clock) Now() time.Time { return c.now() }

// Millis returns the time of day in unix milliseconds.
func (c Clock) Millis() int64 { return c.now().UnixMilli() }

// Actor returns the clock of one actor: a goroutine, or what one does for one task at a
// time. Names of actors that run at the same time must differ.
func (c Clock) Actor(name string) Actor {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))

	return Actor{Clock: c, number: h.Sum64()}
}

// Actor is a clock whose waits end at instants that belong to one actor.
type Actor struct {
	Clock
	number uint64
}

// Delay returns how long to wait so that a wait of at least this duration ends at an
// instant of the actor. It is for timers; Sleep and AfterFunc use it.
func (a Actor) Delay(atLeast time.Duration) time.Duration {
	end := time.Now().Add(max(0, atLeast)).UnixNano()

	shift := int64(a.number%uint64(grain)) - end%int64(grain)
	if shift < 0 {
		shift += int64(grain)
	}

	return max(0, atLeast) + time.Duration(shift)
}

// Sleep waits, and returns false if ctx ended first.
func (a Actor) Sleep(ctx context.Context, atLeast time.Duration) bool {
	timer := time.NewTimer(a.Delay(atLeast))
	defer timer.Stop()

	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil // when both are ready, the end of ctx decides
	}
}

// Align waits for the actor's next instant, less than a tenth of a millisecond from now. An
// actor that was woken by another one calls it: several may have been woken at once, and
// each goes on at an instant of its own. It returns false if ctx ended.
func (a Actor) Align(ctx context.Context) bool { return a.Sleep(ctx, 0) }

// AfterFunc calls f in a goroutine of its own after the wait.
func (a Actor) AfterFunc(atLeast time.Duration, f func()) *time.Timer {
	return time.AfterFunc(a.Delay(atLeast), f)
}

// Rand returns the actor's stream of random numbers, from its start. One goroutine at a
// time may use it.
func (a Actor) Rand() *rand.Rand { return rand.New(rand.NewPCG(a.seed, a.number)) }
