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

// command is one bounded run of ffprobe or ffmpeg.
type command struct {
	name         string
	args         []string
	timeout      time.Duration
	maxOutput    int    // bytes of standard output
	maxMemory    uint64 // bytes of address space, where the system can limit it
	maxFileBytes uint64 // bytes of the largest file that it may write, where the system can limit it
	cloneFlags   uintptr
}

// fileError means that a program failed because of its input file: it exited with an
// error, ran too long or wrote too much.
type fileError struct {
	reason string
}

func (e *fileError) Error() string { return e.reason }

// runCommand runs a program and returns its standard output. The program runs in a process
// group of its own, which is killed as a whole; in an empty folder, which is removed
// afterwards; with an environment that holds nothing of ours; and without a network where
// the system allows that (see sandbox).
func runCommand(ctx context.Context, c command) ([]byte, error) {
	path, err := exec.LookPath(c.name)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not installed; install it with: apt-get install ffmpeg (on macOS: brew install ffmpeg)", ErrToolMissing, c.name)
	}
	// A relative path would be looked up in the program's own folder.
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}

	workDir, err := os.MkdirTemp("", "unireel-tool-*")
	if err != nil {
		workDir = "/" // acceptable: no relative path is read or written, and other limits remain
	} else {
		defer os.RemoveAll(workDir)
	}

	timed, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	stdout := &cappedBuffer{max: c.maxOutput, onExceeded: cancel}
	stderr := &cappedBuffer{max: 4 << 10}
	cmd := exec.CommandContext(timed, path, c.args...)
	cmd.Stdout = stdout
	cmd.Stderr = stderr
	cmd.Env = []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"}
	cmd.Dir = workDir
	cmd.SysProcAttr = sysProcAttr(c.cloneFlags)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second

	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}

	setLimits(cmd.Process.Pid, c)
	err = cmd.Wait()

	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case stdout.exceeded:
		return nil, &fileError{"its output exceeded the limit"}
	case timed.Err() != nil:
		return nil, &fileError{"it took longer than " + c.timeout.String()}
	}

	var exitErr *exec.ExitError
	if errors.As(err, &exitErr) {
		return nil, &fileError{exitErr.String() + ": " + strings.TrimSpace(stderr.buf.String())}
	}

	if err != nil {
		return nil, fmt.Errorf("run %s: %w", c.name, err)
	}

	return stdout.buf.Bytes(), nil
}

// cappedBuffer keeps the first max bytes, discards the rest, and then calls onExceeded.
type cappedBuffer struct {
	buf        bytes.Buffer // not embedded: its ReadFrom would bypass the limit
	max        int
	exceeded   bool
	onExceeded func()
}

// Write never fails, so that the program does not fail because of us.
func (c *cappedBuffer) Write(p []byte) (int, error) {
	free := min(c.max-c.buf.Len(), len(p))
	c.buf.Write(p[:free])

	if free < len(p) {
		c.exceeded = true
		if c.onExceeded != nil {
			c.onExceeded()
		}
	}

	return len(p), nil
}
