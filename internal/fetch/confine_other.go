//go:build !linux

package fetch

import "syscall"

// confine cannot bound another process on this system; its time is bounded all
// the same.
func confine(int, tool) {}

// noNetwork: this system has no such walls.
func noNetwork() uintptr { return 0 }

func within(uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
