//go:build failpoint

package app

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var hits atomic.Int64

// failPoint kills this process, as kill -9 would, when it reaches the point that
// UNIREEL_FAILPOINT names for the n-th time: "after-submit" or "after-submit:3". Only
// test builds contain it.
func failPoint(name string) {
	want, nth, _ := strings.Cut(os.Getenv("UNIREEL_FAILPOINT"), ":")
	if want != name {
		return
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	if hits.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

// recoverySpeedup returns the number by which the delays of a recovery are divided, from
// UNIREEL_RECOVERY_SPEEDUP.
func recoverySpeedup() int64 {
	n, _ := strconv.ParseInt(os.Getenv("UNIREEL_RECOVERY_SPEEDUP"), 10, 64)
	return max(1, n)
}
