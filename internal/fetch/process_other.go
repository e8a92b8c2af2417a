//go:build !linux

package fetch

import "syscall"

// setLimits does nothing: this system cannot limit another process. Its time is limited
// all the same.
func setLimits(int, command) {}

// noNetworkFlags returns 0: this system has no network namespaces.
func noNetworkFlags() uintptr { return 0 }

func sysProcAttr(uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
