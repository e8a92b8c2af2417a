package account

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is how many requests are taken in a stretch of time. Who was silent that
// long may send them all at once. The zero Rate is no bound.
type Rate struct {
	Times int64
	Per   time.Duration // a second, a minute or an hour
}

// MaxRate is the most requests that a Rate may name.
const MaxRate = 1_000_000

var stretches = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// ParseRate reads "10/s", "600/m" or "100/h"; "" is no bound.
func ParseRate(text string) (Rate, error) {
	if text == "" {
		return Rate{}, nil
	}

	times, name, _ := strings.Cut(text, "/")

	n, err := strconv.ParseUint(times, 10, 32)
	for _, s := range stretches {
		if s.name == name && err == nil && n > 0 && n <= MaxRate {
			return Rate{Times: int64(n), Per: s.per}, nil
		}
	}

	return Rate{}, fmt.Errorf("%q is not a rate; write it like 10/s, 600/m or 100/h, with at most %d", text, MaxRate)
}

// String is what ParseRate reads.
func (r Rate) String() string {
	for _, s := range stretches {
		if r.Per == s.per && r.Times > 0 {
			return strconv.FormatInt(r.Times, 10) + "/" + s.name
		}
	}

	return ""
}

// Or is the rate, or another one where it is no bound.
func (r Rate) Or(other Rate) Rate {
	if r == (Rate{}) {
		return other
	}

	return r
}
