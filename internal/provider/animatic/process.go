package animatic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// killGrace is how long the pipes of a killed process may remain open.
const killGrace = 5 * time.Second

// tools are the programs that render a video, and the processor time that they have used.
type tools struct {
	ffmpeg, ffprobe string
	nice            string        // "" if there is none
	cpuTime         atomic.Int64  // of all ended processes, in nanoseconds
	onStart         func(pid int) // called for every process; may be nil
}

// invocation is one run of a program.
type invocation struct {
	program string
	args    []string
	stdout  io.Writer
}

// command prepares a process in a group of its own, which is killed when ctx ends.
func (t *tools) command(ctx context.Context, program string, args []string) (*exec.Cmd, *tailBuffer) {
	argv := append([]string{program}, args...)
	if t.nice != "" {
		argv = append([]string{t.nice, "-n", "10"}, argv...)
	}

	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}

		return nil
	}
	cmd.WaitDelay = killGrace
	stderr := &tailBuffer{}
	cmd.Stderr = stderr

	return cmd, stderr
}

// start starts a prepared process and sets its limits.
func (t *tools) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}

	if err := setLimits(cmd.Process.Pid); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = cmd.Cancel()
		_ = cmd.Wait()

		return fmt.Errorf("limit %s: %w", cmd.Path, err)
	}

	if t.onStart != nil {
		t.onStart(cmd.Process.Pid)
	}

	return nil
}

// wait waits for a process. Its error includes what the process wrote to stderr.
func (t *tools) wait(ctx context.Context, cmd *exec.Cmd, stderr *tailBuffer) error {
	err := cmd.Wait()
	if state := cmd.ProcessState; state != nil {
		t.cpuTime.Add(int64(state.UserTime() + state.SystemTime()))
	}

	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	if err != nil {
		return &toolError{err: err, stderr: stderr.String()}
	}

	return nil
}

// run runs a program and waits for it.
func (t *tools) run(ctx context.Context, c invocation) error {
	cmd, stderr := t.command(ctx, c.program, c.args)

	cmd.Stdout = c.stdout
	if err := t.start(cmd); err != nil {
		return err
	}

	return t.wait(ctx, cmd, stderr)
}

// toolError is the failure of a program. Its stderr is only for the log.
type toolError struct {
	err    error
	stderr string
}

func (e *toolError) Error() string { return fmt.Sprintf("%v: %s", e.err, e.stderr) }
func (e *toolError) Unwrap() error { return e.err }

// tailBuffer keeps the last tailBytes bytes that are written to it.
type tailBuffer struct{ buf []byte }

const tailBytes = 2 << 10

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if excess := len(t.buf) - tailBytes; excess > 0 {
		t.buf = append(t.buf[:0], t.buf[excess:]...)
	}

	return len(p), nil
}

func (t *tailBuffer) String() string { return strings.TrimSpace(string(t.buf)) }

// limitedBuffer is a buffer that does not grow over its limit.
type limitedBuffer struct {
	buf   []byte
	limit int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if len(l.buf)+len(p) > l.limit {
		return 0, fmt.Errorf("output exceeds %d bytes", l.limit)
	}

	l.buf = append(l.buf, p...)

	return len(p), nil
}
