package client

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// The bounds of a pause between two tries.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 8 * time.Second
	// longestAsked is the longest Retry-After that is waited out; a server that
	// asks for more is not asked again.
	longestAsked = time.Minute
)

// backoff is the pause after the given try: doubling, with the upper half random
// so that many clients do not come back at once.
func backoff(try int) time.Duration {
	pause := min(firstPause<<min(try-1, 10), longestPause)
	return pause/2 + rand.N(pause/2)
}

// afterAnswer says whether and when a call that was answered with an error is
// sent again. The server's x-should-retry decides where it is given; a call that
// is not safe to repeat is repeated only when the answer says that it was not
// taken (429).
func afterAnswer(try int, answer *http.Response, safe bool) (time.Duration, bool) {
	again := false

	switch answer.StatusCode {
	case http.StatusTooManyRequests:
		again = true
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = safe
	}

	switch answer.Header.Get("X-Should-Retry") {
	case "false":
		again = false
	case "true":
		again = safe || again
	}

	pause := backoff(try)
	if asked := retryAfter(answer.Header.Get("Retry-After"), time.Now()); asked > 0 {
		pause = max(asked, pause/2)
		again = again && asked <= longestAsked
	}

	return pause, again
}

// retryAfter reads seconds or a date; 0 for neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}

	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}

	return 0
}

// wait ends after the pause, or with the context's error.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
