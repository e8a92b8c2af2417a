// Command unireel is the gateway, its command line and its simulator in one
// program. Here are only signals and the exit code; everything else is cli's.
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
	context.AfterFunc(ctx, stop) // a second signal ends at once
	code := cli.Run(ctx, os.Args[1:], cli.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: cli.Terminal(os.Stderr), House: cli.Built()})

	stop()
	os.Exit(code)
}
