package fetch

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxOpen is how many files a program may have open.
const maxOpen = 64

// confine bounds a process that has just begun: address space, CPU time, what it
// writes and opens, no core file. The instant before goes into its own loading: it
// has not read a byte of a customer's. What fails is passed over: the process may
// have ended already, and its time is bounded in any case.
func confine(pid int, t tool) {
	for kind, most := range map[int]uint64{
		unix.RLIMIT_AS:     t.memory,
		unix.RLIMIT_CPU:    uint64(t.wait/time.Second) + 1,
		unix.RLIMIT_FSIZE:  t.writes,
		unix.RLIMIT_NOFILE: maxOpen,
		unix.RLIMIT_CORE:   0,
	} {
		_ = unix.Prlimit(pid, kind, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
}

// noNetwork is what puts a program where there is no network: a namespace of its
// own. Who is not root needs a user of its own for that, which opens no more files
// than before; root as such a user would lose rights to files of others, and can do
// without.
func noNetwork() uintptr {
	if os.Geteuid() == 0 {
		return syscall.CLONE_NEWNET
	}

	return syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER
}

// within is how a process begins inside walls.
func within(walls uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Cloneflags: walls}
}
