package animatic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Limits for copying references into a job's folder.
const (
	maxReferences     = 10
	maxReferenceBytes = 512 << 20 // of one reference
	copyTimeout       = 2 * time.Minute
)

// errTimeout is the cause when a step takes too long.
var errTimeout = errors.New("took too long")

// collectReferences copies every reference into the job's folder and measures it.
func (c *composer) collectReferences(ctx context.Context) error {
	for i, r := range c.submission.References {
		m, err := c.importReference(ctx, r, fmt.Sprintf("reference%d", i+1))
		if err != nil {
			return err
		}

		c.sources = append(c.sources, m)
	}

	if c.submission.Audio == nil || !c.submission.Sound {
		return nil
	}

	m, err := c.importReference(ctx, *c.submission.Audio, "guide")
	c.guide = &m

	return err
}

func (c *composer) importReference(ctx context.Context, r provider.Reference, name string) (media, error) {
	path := filepath.Join(c.folder, name)
	if err := copyReference(ctx, r, path); err != nil {
		return media{}, err
	}

	return c.tools.probe(ctx, r.Kind, r.Param, path)
}

func copyReference(ctx context.Context, r provider.Reference, path string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, copyTimeout, errTimeout)
	defer cancel()

	in, err := r.Open(ctx)
	if err != nil {
		return fmt.Errorf("open reference %s: %w", r.Param, err)
	}

	defer func() { _ = in.Close() }()

	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy reference %s: %w", r.Param, err)
	}

	n, err := io.Copy(out, io.LimitReader(in, maxReferenceBytes+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy reference %s: %w", r.Param, err)
	}

	if n > maxReferenceBytes {
		return badReference(r.Param, "It is larger than 512 MB. Send a smaller file.", nil)
	}

	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	return nil
}

// validate checks a submission before it is accepted. It returns nil if a video can be rendered.
func validate(o provider.Submission) *provider.Failure {
	reject := func(code fault.Code, param, detail string) *provider.Failure {
		return &provider.Failure{Acceptance: provider.NotAccepted, Class: provider.InvalidRequest, Fault: fault.New(code, param, detail)}
	}
	if o.Width < 64 || o.Height < 64 || o.Width > 4096 || o.Height > 4096 || o.Width%2+o.Height%2 != 0 {
		return reject(fault.CodeSupplierRejected, "size", "The preview's width and height must be even numbers of pixels from 64 to 4096.")
	}

	if o.Seconds < 1 || o.Seconds > 60 {
		return reject(fault.CodeSupplierRejected, "duration", "A preview is from 1 to 60 seconds long.")
	}

	if o.Mode != provider.T2V && len(o.References) == 0 || len(o.References) > maxReferences {
		return reject(fault.CodeSupplierRejected, "", fmt.Sprintf("A preview of this kind needs from 1 to %d references.", maxReferences))
	}

	list := o.References
	if o.Audio != nil && o.Sound {
		list = append(append([]provider.Reference(nil), list...), *o.Audio)
	}

	for _, r := range list {
		if r.Open == nil {
			return reject(fault.CodeReferenceUnreachable, r.Param, "The preview needs a copy of this reference on this server. Send an address that this server can reach, or upload the file.")
		}
	}

	return nil
}
