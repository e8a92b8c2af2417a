package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A key that asked too often is told so, and when; who waits for a task waits for it too.
func TestARateLimitIsToldAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, retryHeader("Retry-After", "120"), 429)
		_, err := c.Get(context.Background(), "task_1")

		var no *Error
		if !errors.As(err, &no) || !no.RateLimited() || no.RetryAfter != 2*time.Minute {
			t.Errorf("%+v", err)
		}

		c, s := scripted(t, retryHeader("Retry-After", "120"), 429, 200)

		s.body = `{"id":"task_1","status":"completed"}`
		if _, err := c.Wait(context.Background(), "task_1", nil); err != nil || len(s.at) != 2 || s.at[1].Sub(s.at[0]) != 2*time.Minute {
			t.Errorf("%v at %v", err, s.at)
		}

		c, s = scripted(t, retryHeader("Retry-After", "3600"), 429)
		if _, err := c.Wait(context.Background(), "task_1", nil); !errors.As(err, &no) || len(s.at) != 1 {
			t.Errorf("%v at %v", err, s.at)
		}
	})
}
