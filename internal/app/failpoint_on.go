//go:build failpoint

package app

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var passed atomic.Int64

// failPoint kills this process, as kill -9 would, when it comes for the n-th
// time to the line that UNIREEL_FAILPOINT names: "after-submit" or
// "after-submit:3". Only test builds have it.
func failPoint(name string) {
	want, nth, _ := strings.Cut(os.Getenv("UNIREEL_FAILPOINT"), ":")
	if want != name {
		return
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	if passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// haste divides the times of a rescue by UNIREEL_HASTE.
func haste() int64 {
	n, _ := strconv.ParseInt(os.Getenv("UNIREEL_HASTE"), 10, 64)
	return max(1, n)
}
