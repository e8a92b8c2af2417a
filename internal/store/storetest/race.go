//go:build race

package storetest

// RaceEnabled reports whether the race detector is on.
const RaceEnabled = true
