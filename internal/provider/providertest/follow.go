package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// end polls a ticket to its last phase and holds every report on the way to the
// contract: phases only go ahead, progress stays in its bounds and never falls.
func (h Harness) end(ctx context.Context, t *testing.T, ticket provider.Ticket) provider.Report {
	t.Helper()

	rank := map[provider.Phase]int{provider.Waiting: 1, provider.Rendering: 2, provider.Rendered: 3, provider.Broken: 3, provider.Stopped: 3, provider.Unknown: 3}
	at := 0
	progress := -1

	for range 2000 {
		report, err := h.Provider.Poll(ctx, ticket)
		if err != nil {
			t.Fatalf("Poll %s: %v", ticket, err)
		}

		now, known := rank[report.Phase]
		if !known || now < at {
			t.Fatalf("phase %q after rank %d", report.Phase, at)
		}

		if report.Progress < -1 || report.Progress > 100 || (now == 2 && (report.Progress > 99 || report.Progress < progress)) {
			t.Errorf("progress %d in phase %s after %d", report.Progress, report.Phase, progress)
		}

		at = now

		progress = report.Progress
		if now == 3 {
			return report
		}

		h.Next(t)
	}

	t.Fatalf("%s has not ended after 2000 polls", ticket)

	return provider.Report{}
}

// render follows a ticket to its result, which it carries through JSON, as the
// task row does.
func (h Harness) render(ctx context.Context, t *testing.T, ticket provider.Ticket) provider.Result {
	t.Helper()

	report := h.end(ctx, t, ticket)
	if report.Phase != provider.Rendered || report.Result == nil || report.Result.URL == "" {
		t.Fatalf("%s ended %s, result %+v, failure %v; want a result", ticket, report.Phase, report.Result, report.Failure)
	}

	kept, err := json.Marshal(report.Result)
	if err != nil {
		t.Fatal(err)
	}

	var result provider.Result
	if err := json.Unmarshal(kept, &result); err != nil {
		t.Fatal(err)
	}

	return result
}

func (h Harness) read(ctx context.Context, t *testing.T, r provider.Result) []byte {
	t.Helper()

	body, err := h.Provider.Open(ctx, r)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer body.Close()

	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read the result: %v", err)
	}

	return b
}

func together(t *testing.T, h Harness) {
	ctx := patient(t)

	const many = 3

	tickets := make([]provider.Ticket, many)

	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			ticket, err := h.Provider.Submit(ctx, h.order(n))
			if err != nil {
				t.Errorf("Submit: %v", err)
			}

			tickets[n] = ticket
		})
	}

	all.Wait()

	seen := map[provider.Ticket]bool{}
	for _, ticket := range tickets {
		if seen[ticket] {
			t.Fatalf("ticket %q was given twice", ticket)
		}

		seen[ticket] = true

		for range 2 {
			all.Go(func() {
				if _, err := h.Provider.Poll(ctx, ticket); err != nil {
					t.Errorf("Poll: %v", err)
				}
			})
		}
	}

	all.Wait()

	for _, ticket := range tickets {
		h.render(ctx, t, ticket)
	}
}

// calls is every method of the provider, each returning its error.
func (h Harness) calls(result provider.Result, ticket provider.Ticket) map[string]func(context.Context) error {
	calls := map[string]func(context.Context) error{
		"Submit": func(ctx context.Context) error {
			_, err := h.Provider.Submit(ctx, h.order(9))
			return err
		},
		"Poll": func(ctx context.Context) error {
			_, err := h.Provider.Poll(ctx, ticket)
			return err
		},
		"Open": func(ctx context.Context) error {
			body, err := h.Provider.Open(ctx, result)
			if err == nil {
				body.Close()
			}

			return err
		},
	}
	if c, ok := h.Provider.(provider.Canceler); ok {
		calls["Cancel"] = func(ctx context.Context) error {
			_, err := c.Cancel(ctx, ticket)
			return err
		}
	}

	if f, ok := h.Provider.(provider.Finder); ok {
		calls["Find"] = func(ctx context.Context) error {
			_, err := f.Find(ctx, h.Order.Model, time.Unix(0, 0))
			return err
		}
	}

	if u, ok := h.Provider.(provider.Uploader); ok {
		calls["Upload"] = func(ctx context.Context) error {
			_, err := u.Upload(ctx, h.Order.Model, "a.png", 3, bytes.NewReader([]byte("abc")))
			return err
		}
	}

	return calls
}

func deadContext(t *testing.T, h Harness) {
	ctx := patient(t)
	ticket := h.submit(ctx, t, h.order(1))
	result := h.render(ctx, t, ticket)
	dead, cancel := context.WithCancel(ctx)
	cancel()

	for name, call := range h.calls(result, ticket) {
		err := within(t, name, func() error { return call(dead) })
		if name == "Submit" && err == nil {
			t.Error("Submit under a dead context succeeded")
		}

		if err != nil {
			_ = h.failure(t, err)
		}
	}
}

func hanging(t *testing.T, h Harness) {
	if h.Stall == nil {
		t.Log("its supplier cannot hang")
		return
	}

	ctx := patient(t)
	ticket := h.submit(ctx, t, h.order(1))
	result := h.render(ctx, t, ticket)
	h.Stall(t)

	for name, call := range h.calls(result, ticket) {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := within(t, name, func() error { return call(short) })

		cancel()

		if err == nil {
			t.Errorf("%s over a hanging supplier succeeded", name)
			continue
		}

		if f := h.failure(t, err); name == "Submit" && f.Taken != provider.Unsure {
			t.Error("Submit over a hanging supplier says that it was not taken")
		}
	}
}

func trouble(t *testing.T, h Harness) {
	if h.Break == nil {
		t.Log("its supplier does not break")
		return
	}

	ctx := patient(t)
	ticket := h.submit(ctx, t, h.order(1))
	result := h.render(ctx, t, ticket)
	h.Break(t)

	for name, call := range h.calls(result, ticket) {
		err := within(t, name, func() error { return call(ctx) })
		if err == nil {
			t.Errorf("%s over a broken supplier succeeded", name)
			continue
		}

		_ = h.failure(t, err)
	}
}

// within fails the test when a call outlives its context by far.
func within(t *testing.T, name string, call func() error) error {
	t.Helper()

	done := make(chan error, 1)
	go func() { done <- call() }()

	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s goes on after its context ended", name)
		return nil
	}
}

// failure takes the *provider.Failure out of an error and checks it.
func (h Harness) failure(t *testing.T, err error) *provider.Failure {
	t.Helper()

	var f *provider.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %T %v: want a *provider.Failure", err, err)
	}

	h.checkFailure(t, f)

	return f
}

// checkFailure wants what every failure has: a fault that a customer can be
// told, and no secret anywhere.
func (h Harness) checkFailure(t *testing.T, f *provider.Failure) {
	t.Helper()

	if f.Fault == nil || f.Fault.Code == "" || f.Fault.Detail == "" {
		t.Fatalf("failure %v carries no fault with a code and a sentence", f)
	}

	if f.Fault.Code.Kind() == fault.Internal && f.Fault.Code != fault.CodeRender {
		t.Errorf("fault code %q is not one for a task that failed", f.Fault.Code)
	}

	if !strings.HasSuffix(f.Fault.Detail, ".") {
		t.Errorf("detail %q is not a sentence", f.Fault.Detail)
	}

	if f.Err != nil && strings.Contains(f.Fault.Error(), f.Err.Error()) {
		t.Errorf("the customer is shown the cause: %q", f.Fault.Error())
	}

	if h.Secret != "" && (strings.Contains(f.Error(), h.Secret) || strings.Contains(f.Fault.Error(), h.Secret)) {
		t.Error("the secret stands in a failure")
	}
}
