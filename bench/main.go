// Command bench measures the lines of docs/performance.md against the real
// program: it builds it, starts it on a folder of its own and on a database of
// its own, loads it over HTTP on loopback, and writes each figure beside its
// target and beside what bounds it. Each part runs on SQLite and on PostgreSQL,
// whose server is a private one that starts and ends with the run. The load
// generator shares the machine's cores with all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// part measures some lines.
type part struct {
	name string
	on   []string // the databases it is measured on; none: it has no database to speak of
	run  func(context.Context, *bench) ([]line, error)
	what string // for people
}

// parts are all that one machine can show, in the order of the tables.
var parts = []part{
	{"disk", nil, disk, "how often the bare disk makes something durable"},
	{"creates", both, creates, "durable creates of 1,000 accounts and of one hot account; their latency at 1,000/s"},
	{"reads", both, reads, "status reads over 100,000 tasks"},
	{"lifecycles", both, lifecycles, "whole tasks against a supplier that is done at once"},
	{"hundred", both, hundred, "100 tasks of 5 s, and how soon their end is seen"},
	{"backlog", both, backlog, "a great queue of 1,000 accounts in 4 lanes: memory, processor, claims, getting up after kill -9"},
	{"flood", both, flood, "one account's flood before another's first task"},
	{"finished", both, finished, "creates and reads beside many finished tasks"},
	{"takeover", []string{postgres}, takeover, "3 replicas on one database: kill -9, until another polls"},
	{"idle", both, idle, "memory of a server with nothing to do"},
	{"listeners", both, listeners, "memory of idle listeners to an account's events"},
	{"size", nil, size, "the program's size"},
	{"animatic", nil, animatic, "a preview of 5 s"},
}

var both = []string{sqlite, postgres}

// bench is one run.
type bench struct {
	on      *database // what the part that runs is measured on
	binary  string
	profile string        // a folder for the servers' profiles; "" is none
	folder  string        // scratch of this run
	film    []byte        // what the simulated supplier renders
	time    time.Duration // of whole lifecycles
	burst   time.Duration // of any other load
	rows    int           // of a large table
	kills   int           // of replicas
}

type options struct {
	out, only, profile, databases string
	time                          time.Duration
	full, short                   bool
}

func main() {
	if served() {
		return
	}

	var o options
	flag.StringVar(&o.out, "o", "docs/performance.md", "write the tables into this `file`; a run of some parts or of one database only writes none")
	flag.StringVar(&o.only, "only", "", "measure only these `parts`, with commas between them")
	flag.StringVar(&o.databases, "databases", "sqlite,postgres", "measure on these `databases`, with a comma between them")
	flag.StringVar(&o.profile, "profile", "", "write profiles (CPU, heap) of each server into this `folder`; figures are a little lower")
	flag.DurationVar(&o.time, "time", 0, "let whole lifecycles run for this `time` (default 1m, with -full 10m)")
	flag.BoolVar(&o.full, "full", false, "the sizes and times of the targets: 10 minutes of lifecycles, bursts of a minute, 1,000,000 rows, 20 kills")
	flag.BoolVar(&o.short, "short", false, "small sizes and short times, to see that every part works; its figures mean nothing and are not written")

	flag.Usage = usage

	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)

	stop()

	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprint(out, `Measures what docs/performance.md shows, on this machine, and writes it there.

It builds the program, starts it on loopback with folders and databases of its
own, and ends all that it started. It needs ffmpeg and PostgreSQL's server
(scripts/setup gets them); no database has to run. It takes about a quarter of
an hour on 2 cores, and wants them for itself.

  go run ./bench                                  everything, on both databases
  go run ./bench -only creates,backlog            two parts, printed, not written
  go run ./bench -only creates -databases postgres -profile /tmp/profiles
  go run ./bench -full -o /tmp/full.md            the targets' own sizes; hours

Parts:

`)

	for _, p := range parts {
		on := "once"
		if len(p.on) > 0 {
			on = strings.Join(p.on, ", ")
		}

		fmt.Fprintf(out, "  %-11s %s (%s)\n", p.name, p.what, on)
	}

	fmt.Fprint(out, "\nFlags:\n\n")
	flag.PrintDefaults()
}

// chosen are the parts of -only.
func chosen(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}

	var list []part

	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there is no part %q; -help lists them", only, name)
		}

		list = append(list, parts[i])
	}

	return list, nil
}

func run(ctx context.Context, o options) (err error) {
	list, err := chosen(o.only)
	if err != nil {
		return err
	}

	names, err := choose(o.databases)
	if err != nil {
		return err
	}

	folder, err := os.MkdirTemp("", "unireel-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	b := o.bench(folder)
	if err := b.build(ctx); err != nil {
		return err
	}

	if b.film, err = film(ctx, folder); err != nil {
		return err
	}

	about := []string{describe(folder)}

	var on []*database
	defer func() {
		for _, d := range on {
			err = errors.Join(err, d.close())
		}
	}()

	for _, name := range names {
		d, err := b.open(ctx, name)
		if err != nil {
			return err
		}

		on = append(on, d)

		text, err := d.describe(ctx, folder)
		if err != nil {
			return err
		}

		about = append(about, text)
	}

	fmt.Println(strings.Join(about, "\n"))

	all, err := b.measure(ctx, list, on)
	if err != nil || o.short || o.only != "" || len(names) < len(both) {
		return err // some parts are not the tables
	}

	return os.WriteFile(o.out, []byte(page(about, all, b)), 0o644)
}

// bench is a run of the sizes that were asked for.
func (o options) bench(folder string) *bench {
	b := &bench{folder: folder, profile: o.profile, time: time.Minute, burst: 5 * time.Second, rows: 100_000, kills: 5}
	switch {
	case o.full:
		b.time = 10 * time.Minute
		b.burst = time.Minute
		b.rows = 1_000_000
		b.kills = 20
	case o.short:
		b.time = 10 * time.Second
		b.burst = time.Second
		b.rows = 4000
		b.kills = 1
	}

	if o.time > 0 {
		b.time = o.time
	}

	return b
}

// measure runs the parts, each on its databases one after the other.
func (b *bench) measure(ctx context.Context, list []part, on []*database) ([]line, error) {
	var all []line

	for _, p := range list {
		here := slices.DeleteFunc(slices.Clone(on), func(d *database) bool { return !slices.Contains(p.on, d.name) })
		if len(p.on) == 0 {
			here = []*database{{}}
		}

		for _, d := range here {
			b.on = d

			lines, err := p.run(ctx, b)
			if err == nil {
				err = ctx.Err() // what was cut short is no figure
			}

			if err = errors.Join(err, d.clear()); err != nil {
				return nil, fmt.Errorf("%s %s: %w", p.name, d.name, err)
			}

			for _, l := range lines {
				l.on = d.name
				fmt.Println(l)
				all = append(all, l)
			}
		}
	}

	return all, nil
}
