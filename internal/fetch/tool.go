package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tool is one bounded run of ffprobe or ffmpeg.
type tool struct {
	name   string
	args   []string
	wait   time.Duration
	output int    // bytes of standard output
	memory uint64 // bytes of address space, where the system can bound it
	writes uint64 // bytes of the largest file that it may write, likewise
	walls  uintptr
}

// badFile is a program's verdict that a file is at fault: it ended with an error,
// took too long or too much.
type badFile struct {
	why string
}

func (b *badFile) Error() string { return b.why }

// run gives what the program wrote. It runs in a process group of its own, that
// is killed whole; in an empty folder that goes with it; with an environment that
// holds nothing of ours; and without a network where the system allows that (see
// walls).
func run(ctx context.Context, t tool) ([]byte, error) {
	path, err := exec.LookPath(t.name)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not there; install it with: apt-get install ffmpeg (on macOS: brew install ffmpeg)", ErrNoTool, t.name)
	}
	// A relative name would be looked for in the program's own folder.
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}

	folder, err := os.MkdirTemp("", "unireel-tool-*")
	if err != nil {
		folder = "/" // nothing relative is read or written; the folder is one wall of several
	} else {
		defer os.RemoveAll(folder)
	}

	bounded, cancel := context.WithTimeout(ctx, t.wait)
	defer cancel()

	out := &capped{max: t.output, over: cancel}
	errs := &capped{max: 4 << 10}
	cmd := exec.CommandContext(bounded, path, t.args...)
	cmd.Stdout = out
	cmd.Stderr = errs
	cmd.Env = []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"}
	cmd.Dir = folder
	cmd.SysProcAttr = within(t.walls)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}

	confine(cmd.Process.Pid, t)
	err = cmd.Wait()

	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.full:
		return nil, &badFile{"it had more to say than is read"}
	case bounded.Err() != nil:
		return nil, &badFile{"it took longer than " + t.wait.String()}
	}

	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &badFile{exit.String() + ": " + strings.TrimSpace(errs.kept.String())}
	}

	if err != nil {
		return nil, fmt.Errorf("run %s: %w", t.name, err)
	}

	return out.kept.Bytes(), nil
}

// capped keeps the first max bytes. It swallows the rest, and calls over.
type capped struct {
	kept bytes.Buffer // not embedded: its ReadFrom would pass over the bound
	max  int
	full bool
	over func()
}

// Write never fails, so that the program is not blamed for it.
func (c *capped) Write(p []byte) (int, error) {
	room := min(c.max-c.kept.Len(), len(p))
	c.kept.Write(p[:room])

	if room < len(p) {
		c.full = true
		if c.over != nil {
			c.over()
		}
	}

	return len(p), nil
}
