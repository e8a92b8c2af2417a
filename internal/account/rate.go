package account

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is the number of requests that are accepted in a unit of time. A caller
// that has sent nothing for one unit may send them all at once. The zero Rate is
// no limit.
type Rate struct {
	Requests int64
	Per      time.Duration // a second, a minute or an hour
}

// MaxRate is the largest number of requests that a Rate may have.
const MaxRate = 1_000_000

var rateUnits = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// ParseRate reads "10/s", "600/m" or "100/h"; "" is no limit.
func ParseRate(text string) (Rate, error) {
	if text == "" {
		return Rate{}, nil
	}

	count, unit, _ := strings.Cut(text, "/")

	n, err := strconv.ParseUint(count, 10, 32)
	for _, s := range rateUnits {
		if s.name == unit && err == nil && n > 0 && n <= MaxRate {
			return Rate{Requests: int64(n), Per: s.per}, nil
		}
	}

	return Rate{}, fmt.Errorf("%q is not a rate; write it like 10/s, 600/m or 100/h, with at most %d", text, MaxRate)
}

// String formats the rate so that ParseRate reads it back.
func (r Rate) String() string {
	for _, s := range rateUnits {
		if r.Per == s.per && r.Requests > 0 {
			return strconv.FormatInt(r.Requests, 10) + "/" + s.name
		}
	}

	return ""
}

// Or returns the rate, or other if the rate is no limit.
func (r Rate) Or(other Rate) Rate {
	if r == (Rate{}) {
		return other
	}

	return r
}
