//go:build !failpoint

package app

// failPoint does nothing in the released program. In builds with the tag failpoint it
// kills the process at a chosen point.
func failPoint(string) {}

// recoverySpeedup is 1 in the released program: recovery takes its normal time.
func recoverySpeedup() int64 { return 1 }
