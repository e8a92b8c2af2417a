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

// grace is how long the pipes of a killed process may stay open.
const grace = 5 * time.Second

// tools are the programs that a film is made with, and what they have cost.
type tools struct {
	ffmpeg, ffprobe string
	nice            string        // "" when there is none
	spent           atomic.Int64  // CPU of all that ended, in nanoseconds
	started         func(pid int) // told of every process; may be nil
}

// call is one run of a program.
type call struct {
	program string
	args    []string
	out     io.Writer
}

// command prepares a process in a group of its own that dies with ctx.
func (t *tools) command(ctx context.Context, program string, args []string) (*exec.Cmd, *tail) {
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
	cmd.WaitDelay = grace
	said := &tail{}
	cmd.Stderr = said

	return cmd, said
}

// begin starts a prepared process and bounds what it may take.
func (t *tools) begin(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}

	if err := bound(cmd.Process.Pid); err != nil && !errors.Is(err, syscall.ESRCH) {
		_ = cmd.Cancel()
		_ = cmd.Wait()

		return fmt.Errorf("bound %s: %w", cmd.Path, err)
	}

	if t.started != nil {
		t.started(cmd.Process.Pid)
	}

	return nil
}

// wait ends a process and says what it said when it failed.
func (t *tools) wait(ctx context.Context, cmd *exec.Cmd, said *tail) error {
	err := cmd.Wait()
	if state := cmd.ProcessState; state != nil {
		t.spent.Add(int64(state.UserTime() + state.SystemTime()))
	}

	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	if err != nil {
		return &toolError{err: err, said: said.String()}
	}

	return nil
}

// run runs a program to its end.
func (t *tools) run(ctx context.Context, c call) error {
	cmd, said := t.command(ctx, c.program, c.args)

	cmd.Stdout = c.out
	if err := t.begin(cmd); err != nil {
		return err
	}

	return t.wait(ctx, cmd, said)
}

// toolError is a program that failed. What it said is for the log only.
type toolError struct {
	err  error
	said string
}

func (e *toolError) Error() string { return fmt.Sprintf("%v: %s", e.err, e.said) }
func (e *toolError) Unwrap() error { return e.err }

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

const tailBytes = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}

	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.kept)) }

// limited is a buffer that refuses to grow over its limit.
type limited struct {
	kept  []byte
	limit int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(l.kept)+len(p) > l.limit {
		return 0, fmt.Errorf("keep output: over %d bytes", l.limit)
	}

	l.kept = append(l.kept, p...)

	return len(p), nil
}
