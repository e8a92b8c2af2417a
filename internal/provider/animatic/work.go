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

// work renders what waits, one film after the other, until the studio ends.
func (s *studio) work() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case r := <-s.waiting:
			s.render(r)
		}
	}
}

func (s *studio) render(r *render) {
	defer r.cancel(nil)

	if r.ctx.Err() != nil {
		return
	}

	ctx, cancel := context.WithTimeoutCause(r.ctx, s.timeout, errSlow)
	defer cancel()

	s.tell(r, provider.Report{Phase: provider.Rendering})

	path, err := s.shoot(ctx, r)
	if err != nil {
		_ = os.RemoveAll(r.folder)
		s.finish(r, provider.Report{Phase: provider.Broken, Progress: -1, Failure: broken(err)}, "")

		if !errors.Is(err, errCancelled) && !errors.Is(err, errClosed) {
			s.log.Warn("render broken", "task", r.order.Task, "attempt", r.order.Attempt, "error", err)
		}

		return
	}

	millis := int64(r.order.Seconds) * time.Second.Milliseconds()
	s.finish(r, provider.Report{Phase: provider.Rendered, Progress: 99, Result: &provider.Result{
		URL: scheme + string(r.ticket), Size: fmt.Sprintf("%d*%d", r.order.Width, r.order.Height),
		Usage: &provider.Usage{Billed: millis, Output: millis},
	}}, path)
}

// shoot makes the film and leaves nothing else in its folder. A panic, which no
// reference should be able to cause, breaks this film only.
func (s *studio) shoot(ctx context.Context, r *render) (path string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("render panicked: %v", p)
		}
	}()

	if err := os.Mkdir(r.folder, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}

	f := &film{tools: s.tools, letters: s.letters, order: r.order, seed: seedOf(r.order), folder: r.folder}

	path, err = f.make(ctx, func(done int) {
		s.tell(r, provider.Report{Phase: provider.Rendering, Progress: min(99, 99*done/f.frames)})
	})
	if err != nil {
		return "", err
	}

	list, err := os.ReadDir(r.folder)
	if err != nil {
		return "", fmt.Errorf("tidy folder: %w", err)
	}

	for _, e := range list {
		if e.Name() != filepath.Base(path) {
			_ = os.Remove(filepath.Join(r.folder, e.Name()))
		}
	}

	return path, nil
}

// tell sets a report; progress never falls, and an end stays.
func (s *studio) tell(r *render, report provider.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if !r.ended.IsZero() {
		return
	}

	report.Progress = max(report.Progress, r.report.Progress)
	r.report = report
}

// finish sets the last report. One that was cancelled meanwhile keeps nothing.
func (s *studio) finish(r *render, report provider.Report, film string) {
	s.mu.Lock()

	stopped := !r.ended.IsZero()
	if !stopped {
		r.ended = s.now()
		r.report = report
		r.film = film
	}
	s.mu.Unlock()

	if stopped {
		_ = os.RemoveAll(r.folder)
	}
}

// broken is what is told of a film that could not be made.
func broken(err error) *provider.Failure {
	var f *provider.Failure
	if errors.As(err, &f) {
		return f
	}

	detail := "The preview could not be rendered. Nothing was charged; create the task again, and tell the operator if it goes on."
	if errors.Is(err, errSlow) {
		detail = "The preview took longer to render than it may. Nothing was charged; ask for a shorter or smaller video."
	}

	return &provider.Failure{Class: provider.Refused, Err: err, Fault: fault.New(fault.CodeRender, "", detail).Because(err)}
}
