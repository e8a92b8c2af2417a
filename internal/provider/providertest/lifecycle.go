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

// pollToEnd polls a remote task until its last phase and checks every report on
// the way: phases only move forward, progress stays within its bounds and never
// falls.
func (h Harness) pollToEnd(ctx context.Context, t *testing.T, remoteID provider.RemoteID) provider.Report {
	t.Helper()

	phaseOrder := map[provider.Phase]int{
		provider.Queued:    1,
		provider.Rendering: 2,
		provider.Rendered:  3,
		provider.Failed:    3,
		provider.Cancelled: 3,
		provider.Unknown:   3,
	}
	reached := 0
	progress := -1

	for range 2000 {
		report, err := h.Provider.Poll(ctx, remoteID)
		if err != nil {
			t.Fatalf("Poll %s: %v", remoteID, err)
		}

		current, known := phaseOrder[report.Phase]
		if !known || current < reached {
			t.Fatalf("phase %q after step %d", report.Phase, reached)
		}

		if report.Progress < -1 || report.Progress > 100 || (current == 2 && (report.Progress > 99 || report.Progress < progress)) {
			t.Errorf("progress %d in phase %s after %d", report.Progress, report.Phase, progress)
		}

		reached = current

		progress = report.Progress
		if current == 3 {
			return report
		}

		h.Advance(t)
	}

	t.Fatalf("%s has not ended after 2000 polls", remoteID)

	return provider.Report{}
}

// waitResult polls a remote task until it has a result, and returns that result
// after a round trip through JSON, as the task row stores it.
func (h Harness) waitResult(ctx context.Context, t *testing.T, remoteID provider.RemoteID) provider.Result {
	t.Helper()

	report := h.pollToEnd(ctx, t, remoteID)
	if report.Phase != provider.Rendered || report.Result == nil || report.Result.URL == "" {
		t.Fatalf("%s ended %s, result %+v, failure %v; want a result", remoteID, report.Phase, report.Result, report.Failure)
	}

	stored, err := json.Marshal(report.Result)
	if err != nil {
		t.Fatal(err)
	}

	var result provider.Result
	if err := json.Unmarshal(stored, &result); err != nil {
		t.Fatal(err)
	}

	return result
}

func (h Harness) readResult(ctx context.Context, t *testing.T, r provider.Result) []byte {
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

func concurrentSubmissions(t *testing.T, h Harness) {
	ctx := suiteContext(t)

	const count = 3

	remoteIDs := make([]provider.RemoteID, count)

	var wg sync.WaitGroup
	for n := range count {
		wg.Go(func() {
			remoteID, err := h.Provider.Submit(ctx, h.variant(n))
			if err != nil {
				t.Errorf("Submit: %v", err)
			}

			remoteIDs[n] = remoteID
		})
	}

	wg.Wait()

	seen := map[provider.RemoteID]bool{}
	for _, remoteID := range remoteIDs {
		if seen[remoteID] {
			t.Fatalf("remote ID %q was returned twice", remoteID)
		}

		seen[remoteID] = true

		for range 2 {
			wg.Go(func() {
				if _, err := h.Provider.Poll(ctx, remoteID); err != nil {
					t.Errorf("Poll: %v", err)
				}
			})
		}
	}

	wg.Wait()

	for _, remoteID := range remoteIDs {
		h.waitResult(ctx, t, remoteID)
	}
}

// methods returns every method of the provider as a function that returns its
// error.
func (h Harness) methods(result provider.Result, remoteID provider.RemoteID) map[string]func(context.Context) error {
	methods := map[string]func(context.Context) error{
		"Submit": func(ctx context.Context) error {
			_, err := h.Provider.Submit(ctx, h.variant(9))
			return err
		},
		"Poll": func(ctx context.Context) error {
			_, err := h.Provider.Poll(ctx, remoteID)
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
		methods["Cancel"] = func(ctx context.Context) error {
			_, err := c.Cancel(ctx, remoteID)
			return err
		}
	}

	if f, ok := h.Provider.(provider.Finder); ok {
		methods["Find"] = func(ctx context.Context) error {
			_, err := f.Find(ctx, h.Submission.Model, time.Unix(0, 0))
			return err
		}
	}

	if u, ok := h.Provider.(provider.Uploader); ok {
		methods["Upload"] = func(ctx context.Context) error {
			_, err := u.Upload(ctx, h.Submission.Model, "a.png", 3, bytes.NewReader([]byte("abc")))
			return err
		}
	}

	return methods
}

func cancelledContext(t *testing.T, h Harness) {
	ctx := suiteContext(t)
	remoteID := h.submit(ctx, t, h.variant(1))
	result := h.waitResult(ctx, t, remoteID)
	cancelledCtx, cancel := context.WithCancel(ctx)
	cancel()

	for name, call := range h.methods(result, remoteID) {
		err := mustReturn(t, name, func() error { return call(cancelledCtx) })
		if name == "Submit" && err == nil {
			t.Error("Submit with a cancelled context succeeded")
		}

		if err != nil {
			_ = h.asFailure(t, err)
		}
	}
}

func hangingSupplier(t *testing.T, h Harness) {
	if h.HangAll == nil {
		t.Log("its supplier cannot be made to hang")
		return
	}

	ctx := suiteContext(t)
	remoteID := h.submit(ctx, t, h.variant(1))
	result := h.waitResult(ctx, t, remoteID)
	h.HangAll(t)

	for name, call := range h.methods(result, remoteID) {
		shortCtx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := mustReturn(t, name, func() error { return call(shortCtx) })

		cancel()

		if err == nil {
			t.Errorf("%s with a hanging supplier succeeded", name)
			continue
		}

		if f := h.asFailure(t, err); name == "Submit" && f.Acceptance != provider.AcceptanceUnknown {
			t.Error("Submit with a hanging supplier says that it was not accepted")
		}
	}
}

func failingSupplier(t *testing.T, h Harness) {
	if h.FailAll == nil {
		t.Log("its supplier cannot be made to fail")
		return
	}

	ctx := suiteContext(t)
	remoteID := h.submit(ctx, t, h.variant(1))
	result := h.waitResult(ctx, t, remoteID)
	h.FailAll(t)

	for name, call := range h.methods(result, remoteID) {
		err := mustReturn(t, name, func() error { return call(ctx) })
		if err == nil {
			t.Errorf("%s with a failing supplier succeeded", name)
			continue
		}

		_ = h.asFailure(t, err)
	}
}

// mustReturn fails the test when a call is still running long after its context
// ended.
func mustReturn(t *testing.T, name string, call func() error) error {
	t.Helper()

	done := make(chan error, 1)
	go func() { done <- call() }()

	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s is still running after its context ended", name)
		return nil
	}
}

// asFailure returns the *provider.Failure in an error and checks it.
func (h Harness) asFailure(t *testing.T, err error) *provider.Failure {
	t.Helper()

	var f *provider.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error %T %v: want a *provider.Failure", err, err)
	}

	h.checkFailure(t, f)

	return f
}

// checkFailure checks what every failure must have: a fault that a customer can
// read, and no secret anywhere.
func (h Harness) checkFailure(t *testing.T, f *provider.Failure) {
	t.Helper()

	if f.Fault == nil || f.Fault.Code == "" || f.Fault.Detail == "" {
		t.Fatalf("failure %v has no fault with a code and a detail", f)
	}

	if f.Fault.Code.Kind() == fault.Internal && f.Fault.Code != fault.CodeRenderFailed {
		t.Errorf("fault code %q is not for a failed task", f.Fault.Code)
	}

	if !strings.HasSuffix(f.Fault.Detail, ".") {
		t.Errorf("detail %q is not a sentence", f.Fault.Detail)
	}

	if f.Err != nil && strings.Contains(f.Fault.Error(), f.Err.Error()) {
		t.Errorf("the customer is shown the cause: %q", f.Fault.Error())
	}

	if h.Secret != "" && (strings.Contains(f.Error(), h.Secret) || strings.Contains(f.Fault.Error(), h.Secret)) {
		t.Error("a failure contains the secret")
	}
}
