package cli

import (
	"fmt"
	"runtime"

	"github.com/unireel/unireel/internal/app"
)

type versionCmd struct{}

// Help teaches by examples.
func (versionCmd) Help() string { return "Examples:\n\n  unireel version" }

// Run prints the version.
func (versionCmd) Run(w *World) error {
	_, err := fmt.Fprintf(w.Out, "unireel %s %s/%s %s\n", app.Version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
