//go:build !failpoint

package app

// failPoint does nothing in the program that is shipped; builds with the tag
// failpoint die at a named line.
func failPoint(string) {}

// haste is none in the program that is shipped.
func haste() int64 { return 1 }
