//go:build race

package storetest

// Raced says whether the race detector watches.
const Raced = true
