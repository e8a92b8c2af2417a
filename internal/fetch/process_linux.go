package fetch

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxOpenFiles is the number of files that a program may have open.
const maxOpenFiles = 64

// setLimits limits a process that has just started: address space, CPU time, the files
// that it writes and opens, and no core file. The limits come a moment late, but in that
// moment the program is still being loaded and has not read a byte of the customer's file.
// Errors are ignored: the process may already have ended, and its time is limited anyway.
func setLimits(pid int, c command) {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_AS:     c.maxMemory,
		unix.RLIMIT_CPU:    uint64(c.timeout/time.Second) + 1,
		unix.RLIMIT_FSIZE:  c.maxFileBytes,
		unix.RLIMIT_NOFILE: maxOpenFiles,
		unix.RLIMIT_CORE:   0,
	} {
		_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil)
	}
}

// noNetworkFlags returns the clone flags that start a program in a network namespace of its
// own, where there is no network. A user other than root needs a user namespace for that,
// which gives no access to more files. Root does not need one, and would lose access to
// the files of other users in it.
func noNetworkFlags() uintptr {
	if os.Geteuid() == 0 {
		return syscall.CLONE_NEWNET
	}

	return syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER
}

// sysProcAttr returns the attributes of a sandboxed process.
func sysProcAttr(cloneFlags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Cloneflags: cloneFlags}
}
