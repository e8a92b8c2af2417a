package worker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// buildSubmission returns the submission of a task to the supplier: its request, with the
// prepared references where the supplier can read them.
func (s *submitter) buildSubmission(ctx context.Context, t task.Task) (provider.Submission, error) {
	r, err := s.env.Tasks.Request(ctx, t.ID)
	if err != nil {
		return provider.Submission{}, err
	}

	submission := provider.Submission{
		TaskID:          t.ID,
		Attempt:         t.Attempt,
		Model:           s.model,
		Mode:            provider.Mode(r.Mode),
		Prompt:          r.Prompt,
		NegativePrompt:  r.NegativePrompt,
		Size:            r.Size,
		Width:           r.Width,
		Height:          r.Height,
		Seconds:         r.Seconds,
		Sound:           r.Sound,
		ShotType:        r.ShotType,
		PromptExpansion: r.PromptExpansion,
		Watermark:       r.Watermark,
		Seed:            r.Seed,
	}

	for _, p := range r.Prepared.References {
		ref, err := s.buildReference(ctx, t.ID, p)
		if err != nil {
			return submission, err
		}

		submission.References = append(submission.References, ref)
	}

	if r.Prepared.Audio != nil {
		ref, err := s.buildReference(ctx, t.ID, *r.Prepared.Audio)
		if err != nil {
			return submission, err
		}

		submission.Audio = &ref
	}

	return submission, nil
}

// buildReference returns a prepared reference as the supplier gets it: by its own URL when
// the supplier can read that, else uploaded to the supplier, else as bytes.
func (s *submitter) buildReference(ctx context.Context, id string, p record.Reference) (provider.Reference, error) {
	ref := provider.Reference{
		Kind:           p.Kind,
		Param:          p.Param,
		URL:            p.URL,
		Name:           p.Name,
		MediaType:      p.Type,
		SizeBytes:      p.Bytes,
		DurationMillis: p.Millis,
		Width:          p.Width,
		Height:         p.Height,
		Sound:          p.Sound,
	}
	if p.Blob == "" {
		return ref, nil
	}

	ref.Open = func(ctx context.Context) (io.ReadCloser, error) { return s.env.Blobs.Open(ctx, p.Blob) }

	uploader, ok := s.up.Provider.(provider.Uploader)
	if ref.URL != "" || !ok {
		return ref, nil
	}

	ctx, cancel := context.WithTimeout(ctx, uploadTimeout)
	defer cancel()

	bytes, err := ref.Open(ctx)
	if errors.Is(err, blob.ErrNotFound) { // trying again would not help
		return ref, &provider.Failure{Class: provider.InvalidRequest, Err: err, Fault: fault.New(fault.CodeReferenceUnreachable, p.Param,
			"The stored reference of this task is lost. Nothing was charged; create the task again.")}
	}

	if err != nil {
		return ref, fmt.Errorf("reference %s of %s: %w", p.Param, id, err)
	}

	defer func() { _ = bytes.Close() }()

	ref.URL, err = uploader.Upload(ctx, s.model, p.Name, p.Bytes, bytes)
	if err != nil {
		return ref, fmt.Errorf("upload %s of %s: %w", p.Param, id, err)
	}

	return ref, nil
}
