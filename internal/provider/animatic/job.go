package animatic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// runWorker renders queued jobs, one at a time, until the renderer is closed.
func (s *renderer) runWorker() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case j := <-s.queue:
			s.runJob(j)
		}
	}
}

func (s *renderer) runJob(j *job) {
	defer j.cancel(nil)

	if j.ctx.Err() != nil {
		return
	}

	ctx, cancel := context.WithTimeoutCause(j.ctx, s.timeout, errTimeout)
	defer cancel()

	s.setReport(j, provider.Report{Phase: provider.Rendering})

	path, err := s.compose(ctx, j)
	if err != nil {
		_ = os.RemoveAll(j.folder)
		s.finish(j, provider.Report{Phase: provider.Failed, Progress: -1, Failure: failureOf(err)}, "")

		if !errors.Is(err, errCancelled) && !errors.Is(err, errClosed) {
			s.log.Warn("render failed", "task", j.submission.TaskID, "attempt", j.submission.Attempt, "error", err)
		}

		return
	}

	millis := int64(j.submission.Seconds) * time.Second.Milliseconds()
	s.finish(j, provider.Report{Phase: provider.Rendered, Progress: 99, Result: &provider.Result{
		URL:   scheme + string(j.remoteID),
		Size:  fmt.Sprintf("%d*%d", j.submission.Width, j.submission.Height),
		Usage: &provider.Usage{Billed: millis, Output: millis},
	}}, path)
}

// compose renders the video and removes everything else from its folder. A panic, which
// no reference should be able to cause, fails only this job.
func (s *renderer) compose(ctx context.Context, j *job) (path string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("render panicked: %v", p)
		}
	}()

	if err := os.Mkdir(j.folder, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}

	c := &composer{tools: s.tools, font: s.font, submission: j.submission, seed: videoSeed(j.submission), folder: j.folder}

	path, err = c.compose(ctx, func(done int) {
		s.setReport(j, provider.Report{Phase: provider.Rendering, Progress: min(99, 99*done/c.frames)})
	})
	if err != nil {
		return "", err
	}

	list, err := os.ReadDir(j.folder)
	if err != nil {
		return "", fmt.Errorf("clean up folder: %w", err)
	}

	for _, e := range list {
		if e.Name() != filepath.Base(path) {
			_ = os.Remove(filepath.Join(j.folder, e.Name()))
		}
	}

	return path, nil
}

// setReport sets a job's report unless the job has ended. Progress never decreases.
func (s *renderer) setReport(j *job, report provider.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !j.endedAt.IsZero() {
		return
	}

	report.Progress = max(report.Progress, j.report.Progress)
	j.report = report
}

// finish sets the final report. If the job was cancelled meanwhile, its files are removed.
func (s *renderer) finish(j *job, report provider.Report, videoPath string) {
	s.mu.Lock()

	alreadyEnded := !j.endedAt.IsZero()
	if !alreadyEnded {
		j.endedAt = s.now()
		j.report = report
		j.videoPath = videoPath
	}
	s.mu.Unlock()

	if alreadyEnded {
		_ = os.RemoveAll(j.folder)
	}
}

// failureOf returns the failure to report for a video that could not be rendered.
func failureOf(err error) *provider.Failure {
	var f *provider.Failure
	if errors.As(err, &f) {
		return f
	}

	detail := "The preview could not be rendered. Nothing was charged; create the task again, and tell the operator if it keeps failing."
	if errors.Is(err, errTimeout) {
		detail = "The preview took too long to render. Nothing was charged; ask for a shorter or smaller video."
	}

	return &provider.Failure{
		Class: provider.InvalidRequest,
		Err:   err,
		Fault: fault.New(fault.CodeRenderFailed, "", detail).WithCause(err),
	}
}
