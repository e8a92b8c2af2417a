// Package providertest is the contract of internal/provider as one test suite,
// which every provider runs against its own supplier: real, simulated or embedded.
// It uses a provider only through its interfaces, as dispatch does. Only tests
// import it.
package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Harness is one provider and what the suite needs to control its supplier. Every
// test of the suite builds its own harness and, if the provider is a
// provider.Closer, closes it at the end.
type Harness struct {
	Provider provider.Provider
	// Submission is a valid submission; the suite varies its TaskID and Prompt. The
	// smaller its video, the faster the suite.
	Submission provider.Submission
	// Advance makes the supplier progress between two polls: it moves the
	// supplier's clock, or waits until something changed. A render must end after
	// at most 2000 calls.
	Advance func(*testing.T)
	// UnknownID is a well-formed remote ID that the supplier never returned.
	UnknownID provider.RemoteID

	// The fields below are optional. Without one, the suite skips its tests.

	// Secret must not appear in any failure.
	Secret string
	// InvalidSubmission is a submission that the supplier rejects, in the response
	// to Submit or later in a report.
	InvalidSubmission *provider.Submission
	// ExpireResult makes a result's link or file unavailable.
	ExpireResult func(*testing.T, provider.Result)
	// FailAll makes every further call fail. HangAll makes every further call hang
	// until the test ends.
	FailAll func(*testing.T)
	HangAll func(*testing.T)
	// ConnectTo returns the provider with another base URL and a short submit
	// timeout; nil if it submits without a network.
	ConnectTo func(t *testing.T, address string) provider.Provider
	// UploadedBytes reads back what was uploaded to an address.
	UploadedBytes func(t *testing.T, address string) []byte
}

// suiteTimeout is the longest that one test of the suite may take in real time.
const suiteTimeout = 90 * time.Second

// Run tests that a provider fulfils the contract.
func Run(t *testing.T, build func(*testing.T) Harness) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"a submission becomes a video", rendersVideo},
		{"an unknown remote ID is reported as unknown", unknownRemoteID},
		{"cancel stops the task or is too late", cancelsUnfinished},
		{"cancel after the end is too late", cancelAfterEnd},
		{"concurrent submissions", concurrentSubmissions},
		{"a cancelled context ends every call", cancelledContext},
		{"calls to a hanging supplier end with their context", hangingSupplier},
		{"a rejected submission reports the reason", invalidSubmission},
		{"a broken connection reports whether the submission was accepted", brokenConnection},
		{"every error is a failure", failingSupplier},
		{"an expired result is not found", expiredResult},
		{"submissions can be found", findsSubmissions},
		{"an upload arrives complete", uploadsFile},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := build(t)
			if c, ok := h.Provider.(provider.Closer); ok {
				t.Cleanup(func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}

			tc.test(t, h)
		})
	}
}

func rendersVideo(t *testing.T, h Harness) {
	ctx := suiteContext(t)
	o := h.variant(1)
	remoteID := h.submit(ctx, t, o)

	result := h.waitResult(ctx, t, remoteID)
	if result.Usage != nil && (result.Usage.Billed < 0 || result.Usage.Output <= 0) {
		t.Errorf("usage %+v: want milliseconds above 0", *result.Usage)
	}

	first := h.readResult(ctx, t, result)
	checkVideo(t, first, o)

	if again := h.readResult(ctx, t, result); !bytes.Equal(first, again) {
		t.Errorf("a second Open returned %d bytes that differ from the first's %d: a download cannot continue after a restart", len(again), len(first))
	}

	report, err := h.Provider.Poll(ctx, remoteID)
	if err != nil || report.Phase != provider.Rendered || report.Result == nil {
		t.Errorf("Poll after the end = %+v, %v; want the same result again", report, err)
	}
}

func unknownRemoteID(t *testing.T, h Harness) {
	ctx := suiteContext(t)

	report, err := h.Provider.Poll(ctx, h.UnknownID)
	if err != nil || report.Phase != provider.Unknown {
		t.Errorf("Poll of an unknown remote ID = %+v, %v; want phase unknown", report, err)
	}

	if c, ok := h.Provider.(provider.Canceler); ok {
		if cancelled, err := c.Cancel(ctx, h.UnknownID); err != nil || cancelled {
			t.Errorf("Cancel of an unknown remote ID = %v, %v; want false", cancelled, err)
		}
	}
}

func cancelsUnfinished(t *testing.T, h Harness) {
	c, ok := h.Provider.(provider.Canceler)
	if !ok {
		t.Log("it has no Cancel")
		return
	}

	ctx := suiteContext(t)
	remoteID := h.submit(ctx, t, h.variant(1))

	cancelled, err := c.Cancel(ctx, remoteID)
	if err != nil {
		t.Fatalf("Cancel: %v", err)
	}

	want := provider.Rendered
	if cancelled {
		want = provider.Cancelled
	}

	if got := h.pollToEnd(ctx, t, remoteID); got.Phase != want {
		t.Errorf("Cancel returned %v and the remote task ended %s; want %s", cancelled, got.Phase, want)
	}

	if again, err := c.Cancel(ctx, remoteID); err != nil || (again && !cancelled) {
		t.Errorf("a second Cancel = %v, %v", again, err)
	}
}

func cancelAfterEnd(t *testing.T, h Harness) {
	c, ok := h.Provider.(provider.Canceler)
	if !ok {
		t.Log("it has no Cancel")
		return
	}

	ctx := suiteContext(t)
	remoteID := h.submit(ctx, t, h.variant(1))
	h.waitResult(ctx, t, remoteID)

	if cancelled, err := c.Cancel(ctx, remoteID); err != nil || cancelled {
		t.Errorf("Cancel after the end = %v, %v; want false", cancelled, err)
	}

	if report, err := h.Provider.Poll(ctx, remoteID); err != nil || report.Phase != provider.Rendered {
		t.Errorf("Poll after a late Cancel = %+v, %v; want rendered", report, err)
	}
}

func invalidSubmission(t *testing.T, h Harness) {
	if h.InvalidSubmission == nil {
		t.Log("its supplier rejects nothing")
		return
	}

	ctx := suiteContext(t)

	remoteID, err := h.Provider.Submit(ctx, *h.InvalidSubmission)
	if err != nil {
		if f := h.asFailure(t, err); f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest {
			t.Errorf("an invalid submission: acceptance %d, class %s; want not accepted, invalid_request", f.Acceptance, f.Class)
		}

		return
	}

	report := h.pollToEnd(ctx, t, remoteID)
	if report.Phase != provider.Failed || report.Failure == nil {
		t.Fatalf("an invalid submission ended %s; want failed with a failure", report.Phase)
	}

	h.checkFailure(t, report.Failure)

	if report.Failure.Class != provider.InvalidRequest {
		t.Errorf("class %s, want invalid_request", report.Failure.Class)
	}
}

func expiredResult(t *testing.T, h Harness) {
	if h.ExpireResult == nil {
		t.Log("its results do not expire")
		return
	}

	ctx := suiteContext(t)
	result := h.waitResult(ctx, t, h.submit(ctx, t, h.variant(1)))
	h.ExpireResult(t, result)

	body, err := h.Provider.Open(ctx, result)
	if err == nil {
		body.Close()
		t.Fatal("Open of an expired result returned a body")
	}

	if f := h.asFailure(t, err); f.Class != provider.NotFound {
		t.Errorf("Open of an expired result: class %s, want not_found", f.Class)
	}
}

func findsSubmissions(t *testing.T, h Harness) {
	f, ok := h.Provider.(provider.Finder)
	if !ok {
		t.Log("it has no Find")
		return
	}

	ctx := suiteContext(t)

	want := map[provider.RemoteID]bool{}
	for n := range 3 {
		want[h.submit(ctx, t, h.variant(n))] = true
		h.Advance(t)
	}

	list, err := f.Find(ctx, h.Submission.Model, time.Unix(0, 0))
	if err != nil {
		t.Fatalf("Find: %v", err)
	}

	for n, remoteTask := range list {
		if remoteTask.Model != h.Submission.Model || remoteTask.RemoteID == "" || remoteTask.KeyID == "" || remoteTask.CreatedAt.IsZero() {
			t.Errorf("found %+v: want model, remote ID, key and time", remoteTask)
		}

		if n > 0 && remoteTask.CreatedAt.After(list[n-1].CreatedAt) {
			t.Errorf("%s at %s comes after an older one: want the newest first", remoteTask.RemoteID, remoteTask.CreatedAt)
		}

		delete(want, remoteTask.RemoteID)
	}

	if len(want) > 0 {
		t.Errorf("not found: %v in %+v", want, list)
	}

	if list, err := f.Find(ctx, h.Submission.Model+"-other", time.Unix(0, 0)); err != nil || len(list) > 0 {
		t.Errorf("Find of another model = %+v, %v; want none", list, err)
	}

	if len(list) > 0 {
		newest := list[0].CreatedAt.Add(time.Millisecond)
		if list, err := f.Find(ctx, h.Submission.Model, newest); err != nil || len(list) > 0 {
			t.Errorf("Find since after the newest = %+v, %v; want none", list, err)
		}
	}
}

func uploadsFile(t *testing.T, h Harness) {
	u, ok := h.Provider.(provider.Uploader)
	if !ok {
		t.Log("it has no Upload")
		return
	}

	ctx := suiteContext(t)
	sent := bytes.Repeat([]byte("a picture's bytes \x00\r\n--"), 5000)

	address, err := u.Upload(ctx, h.Submission.Model, "角色 one.png", int64(len(sent)), bytes.NewReader(sent))
	if err != nil || address == "" {
		t.Fatalf("Upload = %q, %v", address, err)
	}

	if h.UploadedBytes != nil {
		if got := h.UploadedBytes(t, address); !bytes.Equal(got, sent) {
			t.Errorf("stored %d bytes, sent %d", len(got), len(sent))
		}
	}

	o := h.variant(1)
	if len(o.References) > 0 {
		o.References[0] = provider.Reference{
			Kind:      "image",
			Param:     "images[0]",
			URL:       address,
			Name:      "one.png",
			MediaType: "image/png",
		}
		h.waitResult(ctx, t, h.submit(ctx, t, o))
	}

	if _, err := u.Upload(ctx, h.Submission.Model, "short.png", 10, bytes.NewReader([]byte("five!"))); err == nil {
		t.Error("Upload of fewer bytes than announced succeeded")
	}
}

// variant returns the n-th variation of the harness's submission.
func (h Harness) variant(n int) provider.Submission {
	o := h.Submission
	o.TaskID = fmt.Sprintf("task_suite%d", n)
	o.Attempt = 1
	o.Prompt = fmt.Sprintf("%s (%d)", o.Prompt, n)
	o.References = append([]provider.Reference(nil), o.References...)

	return o
}

func (h Harness) submit(ctx context.Context, t *testing.T, o provider.Submission) provider.RemoteID {
	t.Helper()

	remoteID, err := h.Provider.Submit(ctx, o)
	if err != nil || remoteID == "" {
		t.Fatalf("Submit = %q, %v", remoteID, err)
	}

	return remoteID
}

// suiteContext returns a context that ends before the test binary times out.
func suiteContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), suiteTimeout, errors.New("the test took longer than the suite's timeout"))
	t.Cleanup(cancel)

	return ctx
}
