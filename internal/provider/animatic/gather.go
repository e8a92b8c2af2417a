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

// Bounds of what is copied into a film's folder.
const (
	mostReferences = 10
	mostBytes      = 512 << 20 // of one reference
	copyTime       = 2 * time.Minute
)

// errSlow ends what takes longer than it may.
var errSlow = errors.New("took too long")

// gather brings every reference into the film's folder and measures it.
func (f *film) gather(ctx context.Context) error {
	for i, r := range f.order.References {
		m, err := f.bring(ctx, r, fmt.Sprintf("reference%d", i+1))
		if err != nil {
			return err
		}

		f.sources = append(f.sources, m)
	}

	if f.order.Audio == nil || !f.order.Sound {
		return nil
	}

	m, err := f.bring(ctx, *f.order.Audio, "guide")
	f.guide = &m

	return err
}

func (f *film) bring(ctx context.Context, r provider.Reference, name string) (media, error) {
	path := filepath.Join(f.folder, name)
	if err := copyIn(ctx, r, path); err != nil {
		return media{}, err
	}

	return f.tools.measure(ctx, r.Kind, r.Param, path)
}

func copyIn(ctx context.Context, r provider.Reference, path string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, copyTime, errSlow)
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

	n, err := io.Copy(out, io.LimitReader(in, mostBytes+1))
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy reference %s: %w", r.Param, err)
	}

	if n > mostBytes {
		return badReference(r.Param, "It is larger than 512 MB. Send a smaller file.", nil)
	}

	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	return nil
}

// refuse looks at an order before it is taken: nil when a film can be made of it.
func refuse(o provider.Order) *provider.Failure {
	no := func(code fault.Code, param, detail string) *provider.Failure {
		return &provider.Failure{Taken: provider.NotTaken, Class: provider.Refused, Fault: fault.New(code, param, detail)}
	}
	if o.Width < 64 || o.Height < 64 || o.Width > 4096 || o.Height > 4096 || o.Width%2+o.Height%2 != 0 {
		return no(fault.CodeRefused, "size", "The preview's width and height must be even numbers of pixels from 64 to 4096.")
	}

	if o.Seconds < 1 || o.Seconds > 60 {
		return no(fault.CodeRefused, "duration", "A preview takes from 1 to 60 seconds.")
	}

	if o.Mode != provider.T2V && len(o.References) == 0 || len(o.References) > mostReferences {
		return no(fault.CodeRefused, "", fmt.Sprintf("A preview of this kind takes from 1 to %d references.", mostReferences))
	}

	list := o.References
	if o.Audio != nil && o.Sound {
		list = append(append([]provider.Reference(nil), list...), *o.Audio)
	}

	for _, r := range list {
		if r.Open == nil {
			return no(fault.CodeUnreachable, r.Param, "The preview needs our own copy of this reference. Send an address that this server can reach, or upload the file.")
		}
	}

	return nil
}
