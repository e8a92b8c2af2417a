//go:build !linux

package animatic

// setLimits does nothing: this system cannot limit another process. Its timeout and the
// limits on pictures and lengths remain.
func setLimits(int) error { return nil }

// enlargePipe does nothing on this system.
func enlargePipe(any) {}
