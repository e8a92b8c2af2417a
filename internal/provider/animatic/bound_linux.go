package animatic

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The most that one process may take: address space in bytes (the picture of the
// largest size taken, its scaled copy and the libraries), CPU in seconds, and a
// file in bytes.
const (
	mostMemory = 4 << 30
	mostCPU    = 600
	mostFile   = 1 << 30
)

// bound limits a running process. What it inherited of a tighter limit stays: only
// a privileged process may widen one.
func bound(pid int) error {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_AS: mostMemory, unix.RLIMIT_CPU: mostCPU, unix.RLIMIT_FSIZE: mostFile, unix.RLIMIT_CORE: 0,
	} {
		var had unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &had); err != nil {
			return fmt.Errorf("read limit of resource %d: %w", resource, err)
		}

		most = min(most, had.Cur, had.Max)
		if err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil); err != nil {
			return fmt.Errorf("limit resource %d: %w", resource, err)
		}
	}

	return nil
}

// widen gives a pipe room for most of a frame, so that who fills it and who
// empties it take turns seldom. That it may not be widened is no error.
func widen(pipe any) {
	f, ok := pipe.(syscall.Conn)
	if !ok {
		return
	}

	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}
