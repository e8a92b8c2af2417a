package cli

import (
	"fmt"
	"runtime"

	"github.com/unireel/unireel/internal/app"
)

type versionCmd struct{}

// Help returns examples.
func (versionCmd) Help() string { return "Examples:\n\n  unireel version" }

// Run prints the version.
func (versionCmd) Run(env *Env) error {
	_, err := fmt.Fprintf(env.Out, "unireel %s %s/%s %s\n", app.Version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
