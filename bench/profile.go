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

// profileEnv is the environment variable with the profile's file name. A copy of this
// program that has it runs the server instead of the bench.
const profileEnv = "UNIREEL_BENCH_PROFILE"

// runProfiledServer runs the server under a profiler and does not return, if
// profileEnv is set; otherwise it returns false.
func runProfiledServer() bool {
	path := os.Getenv(profileEnv)
	if path == "" {
		return false
	}

	_ = os.Unsetenv(profileEnv)

	file, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(file)
	}

	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, []string{"serve"}, cli.Env{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, App: cli.NewApp()})

	stop()
	pprof.StopCPUProfile()

	_ = file.Close()

	if heap, err := os.Create(path + ".heap"); err == nil {
		_ = pprof.WriteHeapProfile(heap) // the state at the last garbage collection, which was under load
		_ = heap.Close()
	}

	os.Exit(code)

	return true
}
