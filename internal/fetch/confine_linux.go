package fetch

import (
	"time"

	"golang.org/x/sys/unix"
)

// confine bounds a process that has just begun: address space, CPU time, no core
// file. What fails is passed over: the process may have ended already, and its
// time is bounded in any case.
func confine(pid int, memory uint64, cpu time.Duration) {
	for kind, most := range map[int]uint64{
		unix.RLIMIT_AS:   memory,
		unix.RLIMIT_CPU:  uint64(cpu/time.Second) + 1,
		unix.RLIMIT_CORE: 0,
	} {
		_ = unix.Prlimit(pid, kind, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
}
