package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/limit"
)

// pacesMost is how many keys are paced at once by this instance.
const pacesMost = 32768

func newPaces() *limit.Buckets { return limit.NewBuckets(0, 0, pacesMost) }

// admit lets a caller in whose key may do what an endpoint needs, and who does not
// ask too often. Who asks for what their key may not do has asked all the same.
func (a *API) admit(c *call, n need) error {
	refused := a.authorize(c, n.scope())
	if c.key.ID != "" {
		if f := a.pace(c, n); f != nil {
			return f
		}
	}

	return refused
}

// pace counts a request of a key that has a rate, and tells it how it stands: of the
// fields, the first three are what most clients know, the other two what the draft
// "RateLimit header fields for HTTP" has made of them since.
func (a *API) pace(c *call, n need) *fault.Fault {
	what := "read"
	rate := c.key.Reads.Or(a.RateRead)

	if n == create {
		what = "create"
		rate = c.key.Creates.Or(a.RateCreate)
	}

	if rate == (account.Rate{}) {
		return nil
	}

	now := a.Now()
	ok, wait, bucket := a.paces.TakeOf(c.key.ID+" "+what, limit.BucketOf(rate.Times, rate.Per), now)
	left := bucket.Left(now)

	reset := wait // whoever has nothing left waits for the next
	if ok {
		reset = bucket.Whole(now)
		if left == 0 {
			_, reset = bucket.Take(now) // of a copy
		}
	}

	h := c.Header()
	seconds := strconv.FormatInt(wholeSeconds(reset), 10)
	h.Set("RateLimit-Limit", strconv.FormatInt(rate.Times, 10))
	h.Set("RateLimit-Remaining", strconv.FormatInt(left, 10))
	h.Set("RateLimit-Reset", seconds)
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", what, rate.Times, wholeSeconds(rate.Per)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%s", what, left, seconds))

	if ok {
		return nil
	}

	f := fault.New(fault.CodeRate, "", fmt.Sprintf("This API key may send %s of such requests and has sent them; repeat this one in %d s.", rate, wholeSeconds(wait)))
	f.After = wait

	return f
}

// wholeSeconds is a time in seconds, none too few.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
