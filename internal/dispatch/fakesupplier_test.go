package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// fakeSupplier is a supplier in memory, driven by the fake clock of the test. It has every
// optional capability of a provider; requiredOnly hides them.
type fakeSupplier struct {
	mu          sync.Mutex
	renders     map[provider.RemoteID]*render
	remoteIDs   []provider.RemoteID
	submissions []provider.Submission
	pollCounts  map[provider.RemoteID]int
	uploads     []string
	cancels     int
	renderIn    time.Duration
	video       []byte
	unreachable bool          // the calling process is dead: every call fails
	listLag     time.Duration // how old a task is before the list shows it
	listEmpty   bool          // lists are empty
	keyID       string        // ID of our key in lists

	// Hooks of the test; each may be nil. onSubmit decides whether the submission is
	// accepted and which error is returned. onPoll and onOpen may replace the result.
	onSubmit func(n int, o provider.Submission) (accepted bool, err error)
	onPoll   func(ctx context.Context, r *render, n int) (*provider.Report, error)
	onOpen   func(n int) (io.ReadCloser, error)
	onUpload func() error
	onCancel func(*render) (bool, error)
	opens    int
	// onOpenResult returns an error if the link does not work.
	onOpenResult func(provider.Result) error
}

// render is one video at the supplier.
type render struct {
	submission provider.Submission
	prompt     string
	remoteID   provider.RemoteID
	keyID      string
	requestID  string
	createdAt  time.Time
	cancelled  bool
	foreign    bool
	queued     bool // waiting in the supplier's own queue
	usage      *provider.Usage
	earlyPolls int // polls before it was rendered
}

func newFakeSupplier(video []byte) *fakeSupplier {
	return &fakeSupplier{renders: map[provider.RemoteID]*render{}, pollCounts: map[provider.RemoteID]int{}, renderIn: 40 * time.Second, video: video, keyID: "key-ours"}
}

var errUnreachable = errors.New("the supplier is unreachable")

// accepted returns the remote IDs of the renders that the supplier made for a task of ours.
func (s *fakeSupplier) accepted(task string) (list []provider.RemoteID) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, remoteID := range s.remoteIDs {
		if r := s.renders[remoteID]; !r.foreign && r.submission.TaskID == task {
			list = append(list, remoteID)
		}
	}

	return list
}

// addRender creates a render, for Submit or for a foreign client. s.mu must be held.
func (s *fakeSupplier) addRender(o provider.Submission, key string) *render {
	seconds := int64(o.Seconds) * 1000
	n := len(s.remoteIDs) + 1
	r := &render{
		submission: o, prompt: string([]rune(o.Prompt)[:min(len([]rune(o.Prompt)), 1500)]), keyID: key, createdAt: time.Now(), remoteID: provider.RemoteID(fmt.Sprintf("remote-%d", n)),
		requestID: fmt.Sprintf("request-%d", n), usage: &provider.Usage{Billed: seconds, Output: seconds},
	}
	s.renders[r.remoteID] = r
	s.remoteIDs = append(s.remoteIDs, r.remoteID)

	return r
}

// addForeign creates a task of another client of the same supplier account.
func (s *fakeSupplier) addForeign(o provider.Submission, key string) *render {
	s.mu.Lock()
	defer s.mu.Unlock()

	r := s.addRender(o, key)
	r.foreign = true

	return r
}

func (s *fakeSupplier) Submit(_ context.Context, submission provider.Submission) (provider.RemoteID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.unreachable {
		return "", &provider.Failure{Acceptance: provider.NotAccepted, Err: errUnreachable}
	}

	s.submissions = append(s.submissions, submission)
	accepted := true

	err := error(nil)
	if s.onSubmit != nil {
		accepted, err = s.onSubmit(len(s.submissions), submission)
	}

	if !accepted {
		return "", err
	}

	r := s.addRender(submission, s.keyID)

	if err != nil {
		return "", err
	}

	return r.remoteID, nil
}

func (s *fakeSupplier) Poll(ctx context.Context, remoteID provider.RemoteID) (provider.Report, error) {
	s.mu.Lock()
	s.pollCounts[remoteID]++
	n := s.pollCounts[remoteID]
	r := s.renders[remoteID]
	onPoll := s.onPoll
	unreachable := s.unreachable
	s.mu.Unlock()

	if unreachable {
		return provider.Report{}, &provider.Failure{Err: errUnreachable}
	}

	if r == nil {
		return provider.Report{Phase: provider.Unknown}, nil
	}

	if onPoll != nil {
		if report, err := onPoll(ctx, r, n); report != nil || err != nil {
			if err != nil {
				return provider.Report{}, err
			}

			return *report, nil
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	switch age := time.Since(r.createdAt); {
	case r.cancelled:
		return provider.Report{Phase: provider.Cancelled}, nil
	case age < s.renderIn:
		return provider.Report{Phase: provider.Rendering, Progress: -1}, nil
	}

	return provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
		URL: "fake://" + string(remoteID), Size: r.submission.Size,
		ExpiresAt: r.createdAt.Add(s.renderIn + 24*time.Hour).UnixMilli(), Usage: r.usage,
	}}, nil
}

func (s *fakeSupplier) Open(_ context.Context, result provider.Result) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.opens++
	if s.unreachable {
		return nil, &provider.Failure{Err: errUnreachable}
	}

	if s.onOpenResult != nil {
		if err := s.onOpenResult(result); err != nil {
			return nil, err
		}
	}

	if s.onOpen != nil {
		if r, err := s.onOpen(s.opens); r != nil || err != nil {
			return r, err
		}
	}

	return io.NopCloser(bytes.NewReader(s.video)), nil
}

func (s *fakeSupplier) Cancel(_ context.Context, remoteID provider.RemoteID) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cancels++

	r := s.renders[remoteID]
	if r == nil {
		return false, nil
	}

	ok := true

	err := error(nil)
	if s.onCancel != nil {
		ok, err = s.onCancel(r)
	}

	r.cancelled = r.cancelled || ok

	return ok, err
}

func (s *fakeSupplier) Find(_ context.Context, model string, since time.Time) ([]provider.RemoteTask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.unreachable {
		return nil, &provider.Failure{Err: errUnreachable}
	}

	var list []provider.RemoteTask

	for i := len(s.remoteIDs) - 1; i >= 0 && !s.listEmpty; i-- {
		r := s.renders[s.remoteIDs[i]]
		if r.submission.Model != model || r.createdAt.Before(since) || time.Since(r.createdAt) < s.listLag {
			continue
		}

		phase := provider.Rendering

		switch {
		case r.cancelled:
			phase = provider.Cancelled
		case r.queued:
			phase = provider.Queued
		}

		list = append(list, provider.RemoteTask{RemoteID: r.remoteID, Model: model, KeyID: r.keyID, RequestID: r.requestID, Phase: phase, CreatedAt: r.createdAt})
	}

	return list, nil
}

func (s *fakeSupplier) Upload(_ context.Context, model, name string, size int64, r io.Reader) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.onUpload != nil {
		if err := s.onUpload(); err != nil {
			return "", err
		}
	}

	n, err := io.Copy(io.Discard, r)
	if err != nil || n != size {
		return "", fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}

	s.uploads = append(s.uploads, name)

	return "oss://" + model + "/" + name, nil
}

// requiredOnly hides a supplier's optional capabilities.
type requiredOnly struct{ provider.Provider }

// notAcceptedErr is a failure of a class; the supplier did not accept the submission.
func notAcceptedErr(class provider.Class) error {
	return &provider.Failure{Acceptance: provider.NotAccepted, Class: class, Code: "Fake." + class.String(), Fault: fault.New(fault.CodeSupplierRejected, "", "The supplier rejected it.")}
}

// lostResponseErr is a response that never arrived: the outcome is unknown.
func lostResponseErr() error {
	return &provider.Failure{Acceptance: provider.AcceptanceUnknown, Err: io.ErrUnexpectedEOF}
}
