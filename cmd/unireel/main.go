// Command unireel is the gateway, its command line and its supplier simulators in one
// program. This package only handles signals and the exit code; package cli does the rest.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/unireel/unireel/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := cli.Run(ctx, os.Args[1:], cli.Env{
		In:       os.Stdin,
		Out:      os.Stdout,
		Err:      os.Stderr,
		Terminal: cli.Terminal(os.Stderr),
		App:      cli.NewApp(),
	})

	stop()
	os.Exit(code)
}
