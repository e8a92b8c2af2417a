package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A rate-limit error contains the server's Retry-After. Wait waits for it if it is not too
// long.
func TestRateLimitIsReportedAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newScriptedClient(t, retryHeader("Retry-After", "120"), 429)
		_, err := c.Get(context.Background(), "task_1")

		var apiErr *Error
		if !errors.As(err, &apiErr) || !apiErr.RateLimited() || apiErr.RetryAfter != 2*time.Minute {
			t.Errorf("%+v", err)
		}

		c, s := newScriptedClient(t, retryHeader("Retry-After", "120"), 429, 200)

		s.body = `{"id":"task_1","status":"completed"}`
		if _, err := c.Wait(context.Background(), "task_1", nil); err != nil || len(s.times) != 2 || s.times[1].Sub(s.times[0]) != 2*time.Minute {
			t.Errorf("%v at %v", err, s.times)
		}

		c, s = newScriptedClient(t, retryHeader("Retry-After", "3600"), 429)
		if _, err := c.Wait(context.Background(), "task_1", nil); !errors.As(err, &apiErr) || len(s.times) != 1 {
			t.Errorf("%v at %v", err, s.times)
		}
	})
}
