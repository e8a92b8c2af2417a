// Package arch is the frame that the house is held to: who may import whom, how
// long a file or a function may grow, which words are not used, what is never
// written down. It is all tests, which read the sources by themselves, so that a
// changed file is always seen (a test that asks `go list` is served stale from
// the test cache). Nothing comes before or after it on a task's path, and it
// never imports a room. Each rule stands beside a test that breaks it.
package arch
