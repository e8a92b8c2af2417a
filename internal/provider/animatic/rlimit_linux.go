package animatic

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The limits of one process: address space in bytes (for the largest allowed picture, its
// scaled copy and the libraries), CPU time in seconds, and the size of a file in bytes.
const (
	maxMemory     = 4 << 30
	maxCPUSeconds = 600
	maxFileBytes  = 1 << 30
)

// setLimits limits a running process. A stricter limit that it inherited stays, because
// only a privileged process may raise one.
func setLimits(pid int) error {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS:    maxMemory,
		unix.RLIMIT_CPU:   maxCPUSeconds,
		unix.RLIMIT_FSIZE: maxFileBytes,
		unix.RLIMIT_CORE:  0,
	} {
		var current unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &current); err != nil {
			return fmt.Errorf("read limit of resource %d: %w", resource, err)
		}

		limit = min(limit, current.Cur, current.Max)
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
			return fmt.Errorf("limit resource %d: %w", resource, err)
		}
	}

	return nil
}

// enlargePipe enlarges a pipe's buffer to hold most of a frame, so that writer and reader
// block less often. If the system does not allow it, the pipe works all the same.
func enlargePipe(pipe any) {
	f, ok := pipe.(syscall.Conn)
	if !ok {
		return
	}

	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}
