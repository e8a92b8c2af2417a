package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/limit"
)

// maxRateLimitedKeys is the number of buckets that this instance keeps at once.
const maxRateLimitedKeys = 32768

func newRateLimits() *limit.Buckets { return limit.NewBuckets(0, 0, maxRateLimitedKeys) }

// admit authorizes the caller and applies the key's rate limit. A request that the key's
// scopes do not permit counts against its rate too.
func (a *API) admit(c *requestContext, access accessLevel) error {
	authErr := a.authorize(c, access.requiredScope())
	if c.key.ID != "" {
		if f := a.checkRate(c, access); f != nil {
			return f
		}
	}

	return authErr
}

// checkRate counts a request of a key that has a rate and sets the rate limit headers. The
// first three headers are those that most clients know; the other two are from later
// versions of the draft "RateLimit header fields for HTTP".
func (a *API) checkRate(c *requestContext, access accessLevel) *fault.Fault {
	policy := "read"
	rate := c.key.ReadRate.Or(a.RateRead)

	if access == accessCreate {
		policy = "create"
		rate = c.key.CreateRate.Or(a.RateCreate)
	}

	if rate == (account.Rate{}) {
		return nil
	}

	now := a.Now()
	ok, retryAfter, bucket := a.rateLimits.TakeWith(c.key.ID+" "+policy, limit.NewBucketPer(rate.Requests, rate.Per), now)
	remaining := bucket.Remaining(now)

	reset := retryAfter // without tokens: the time until the next one
	if ok {
		reset = bucket.UntilFull(now)
		if remaining == 0 {
			_, reset = bucket.Take(now) // TakeWith returned a copy of the bucket
		}
	}

	h := c.Header()
	seconds := strconv.FormatInt(wholeSeconds(reset), 10)
	h.Set("RateLimit-Limit", strconv.FormatInt(rate.Requests, 10))
	h.Set("RateLimit-Remaining", strconv.FormatInt(remaining, 10))
	h.Set("RateLimit-Reset", seconds)
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", policy, rate.Requests, wholeSeconds(rate.Per)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%s", policy, remaining, seconds))

	if ok {
		return nil
	}

	f := fault.New(fault.CodeRateLimited, "", fmt.Sprintf("This API key is limited to %s for such requests; repeat this one in %d s.", rate, wholeSeconds(retryAfter)))
	f.RetryAfter = retryAfter

	return f
}

// wholeSeconds returns a duration in seconds, rounded up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
