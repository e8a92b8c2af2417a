package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/unireel/unireel/internal/cli"
)

// profileVar names the file of a profile to a copy of this program that is to be
// the server.
const profileVar = "UNIREEL_BENCH_PROFILE"

// served is the server instead of the bench, in a copy of this program that was
// started to be profiled.
func served() bool {
	path := os.Getenv(profileVar)
	if path == "" {
		return false
	}

	_ = os.Unsetenv(profileVar)

	file, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, []string{"serve"}, cli.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, House: cli.Built()})

	stop()
	pprof.StopCPUProfile()

	_ = file.Close()

	if heap, err := os.Create(path + ".heap"); err == nil {
		_ = pprof.WriteHeapProfile(heap) // as of the last collection, under load
		_ = heap.Close()
	}

	os.Exit(code)

	return true
}
