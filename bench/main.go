// Command bench measures the lines of docs/performance.md against the real
// program: it builds it, starts it on a folder of its own, loads it over HTTP on
// loopback, and writes each figure beside its target and beside what bounds it.
// The load generator shares the machine's cores with the server.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// part measures some lines.
type part struct {
	name string
	run  func(context.Context, *bench) ([]line, error)
}

// parts are all that one node can show, in the order of the table.
var parts = []part{
	{"disk", disk},
	{"creates", creates},
	{"reads", reads},
	{"lifecycles", lifecycles},
	{"hundred", hundred},
	{"backlog", backlog},
	{"flood", flood},
	{"finished", finished},
	{"idle", idle},
	{"animatic", animatic},
}

// bench is one run.
type bench struct {
	binary  string
	profile string        // a folder for the servers' profiles; "" is none
	folder  string        // scratch of this run
	film    []byte        // what the simulated supplier renders
	time    time.Duration // of whole lifecycles
	burst   time.Duration // of any other load
	rows    int           // of a large table
}

type options struct {
	out, only, profile string
	time               time.Duration
	full               bool
}

func main() {
	if served() {
		return
	}
	var o options
	flag.StringVar(&o.out, "o", "docs/performance.md", "where the table goes; a run of some parts only writes none")
	flag.StringVar(&o.only, "only", "", "measure only these parts, by name, with commas")
	flag.StringVar(&o.profile, "profile", "", "write profiles (CPU, heap) of each server into this folder; figures are a little lower")
	flag.DurationVar(&o.time, "time", 0, "how long whole lifecycles run (default 1m, with -full 10m)")
	flag.BoolVar(&o.full, "full", false, "the sizes and times of the targets: 10 minutes of lifecycles, 1,000,000 rows")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	folder, err := os.MkdirTemp("", "unireel-bench-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := &bench{folder: folder, profile: o.profile, time: time.Minute, burst: 10 * time.Second, rows: 100_000}
	if o.full {
		b.time, b.burst, b.rows = 10*time.Minute, time.Minute, 1_000_000
	}
	if o.time > 0 {
		b.time = o.time
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	if b.film, err = film(ctx, folder); err != nil {
		return err
	}
	machine := describe(folder)
	fmt.Println(machine)
	var all []line
	for _, p := range parts {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+p.name+",") {
			continue
		}
		lines, err := p.run(ctx, b)
		if err == nil {
			err = ctx.Err() // what was cut short is no figure
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, l := range lines {
			fmt.Printf("%s: %s (%s) %s\n", l.name, l.found(), l.wanted(), l.compared())
		}
		all = append(all, lines...)
	}
	if o.only != "" {
		return nil // some parts are not the table
	}
	return os.WriteFile(o.out, []byte(page(machine, all, b)), 0o644)
}
