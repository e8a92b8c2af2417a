//go:build !race

package dispatch

// raced says whether the race detector watches.
const raced = false
