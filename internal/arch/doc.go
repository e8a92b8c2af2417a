// Package arch checks the structure of the repository with tests: which package may import
// which, how long a file or a function may be, that package variables hold no state, that
// documentation names only what exists, and which text no file contains. The tests read the
// source files themselves, so that a changed file is always seen (the result of a test that
// runs `go list` may come from the test cache, although a file has changed). The package is
// not on a task's path and imports no other package of the module. Each rule has a test
// that breaks it.
package arch
