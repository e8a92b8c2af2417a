package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The bounds of the delay between two attempts.
const (
	minBackoff = 500 * time.Millisecond
	maxBackoff = 8 * time.Second
	// maxRetryAfter is the longest Retry-After that the client waits for. If the
	// server asks for more, the request is not retried.
	maxRetryAfter = time.Minute
)

// backoff returns the delay after the given attempt. It doubles with each attempt, and
// half of it is random so that many clients do not retry at the same moment.
func backoff(attempt int) time.Duration {
	delay := min(minBackoff<<min(attempt-1, 10), maxBackoff)
	return delay/2 + rand.N(delay/2)
}

// retryDecision decides whether and after which delay a request that failed with an
// error response is sent again. The server's X-Should-Retry header has precedence. A
// request that is not idempotent is repeated only if the response says that the server
// did not process it (429).
func retryDecision(attempt int, resp *http.Response, idempotent bool) (time.Duration, bool) {
	retry := false

	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		retry = true
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		retry = idempotent
	}

	switch resp.Header.Get("X-Should-Retry") {
	case "false":
		retry = false
	case "true":
		retry = idempotent || retry
	}

	delay := backoff(attempt)
	if requested := retryAfter(resp.Header.Get("Retry-After"), time.Now()); requested > 0 {
		delay = max(requested, delay/2)
		retry = retry && requested <= maxRetryAfter
	}

	return delay, retry
}

// retryAfter parses a Retry-After header, in seconds or as a date. It returns 0 if the
// text is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}

	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}

	return 0
}

// sleep returns nil after the delay, or the error of ctx when ctx ends before.
func sleep(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
