// Command bench measures the figures of docs/performance.md with the real program.
// It builds the program, starts it with a new data folder and a new database, sends
// requests to it over HTTP on loopback, and writes each figure with its target and
// with what limits it. Scenarios run on SQLite and on PostgreSQL, for which the
// command starts a server of its own and stops it at the end. The load generator
// shares the machine's cores with the program and the database.
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

// scenario is a set of measurements that are made together.
type scenario struct {
	name        string
	databases   []string // the databases to measure on; none if the scenario does not depend on one
	run         func(context.Context, *bench) ([]measurement, error)
	description string // for -help
}

// scenarios lists all scenarios, in the order of the tables.
var scenarios = []scenario{
	{"disk", nil, disk, "writes with an fsync each that the disk can do in a second"},
	{"creates", bothDatabases, creates, "durable creates of 1,000 accounts and of one account; their latency at 1,000/s"},
	{"reads", bothDatabases, reads, "status reads over 100,000 tasks"},
	{"lifecycles", bothDatabases, lifecycles, "tasks from create to completed, with a supplier that renders in milliseconds"},
	{"hundred-tasks", bothDatabases, hundredTasks, "100 tasks of 5 s, and the delay until their end is noticed"},
	{"backlog", bothDatabases, backlog, "a long backlog of 1,000 accounts in 4 queues: memory, CPU, claims, restart after kill -9"},
	{"flood", bothDatabases, flood, "one account's flood of tasks before another account's first task"},
	{"history", bothDatabases, history, "creates and reads with many finished tasks in the database"},
	{"failover", []string{postgres}, failover, "3 replicas on one database: kill -9 until another replica polls"},
	{"idle", bothDatabases, idle, "memory of an idle server"},
	{"subscribers", bothDatabases, subscribers, "memory of idle subscribers to an account's events"},
	{"size", nil, size, "the program's size"},
	{"animatic", nil, animatic, "a preview of 5 s"},
}

var bothDatabases = []string{sqlite, postgres}

// bench is one run of the command.
type bench struct {
	db            *database // the database of the scenario that runs
	binary        string
	profile       string        // folder for the servers' profiles; "" if none are wanted
	folder        string        // temporary folder of this run
	video         []byte        // the result of every task of the simulated supplier
	lifecycleTime time.Duration // duration of the lifecycles scenario
	loadTime      time.Duration // duration of every other load
	rows          int           // rows of a large table
	kills         int           // how many times the failover scenario kills a replica
}

type options struct {
	out, only, profile, databases string
	lifecycleTime                 time.Duration
	full, short                   bool
}

func main() {
	if runProfiledServer() {
		return
	}

	var o options
	flag.StringVar(&o.out, "o", "docs/performance.md", "write the tables to this `file`; they are written only if all scenarios run on both databases")
	flag.StringVar(&o.only, "only", "", "run only these `scenarios`, separated by commas")
	flag.StringVar(&o.databases, "databases", "sqlite,postgres", "run on these `databases`, separated by a comma")
	flag.StringVar(&o.profile, "profile", "", "write a CPU and a heap profile of each server to this `folder`; this makes the figures slightly worse")
	flag.DurationVar(&o.lifecycleTime, "time", 0, "run the lifecycles scenario for this `time` (default 1m, with -full 10m)")
	flag.BoolVar(&o.full, "full", false, "use the sizes and durations of the targets: 10 minutes of lifecycles, a minute of every other load, 1,000,000 rows, 20 kills")
	flag.BoolVar(&o.short, "short", false, "use small sizes and short durations to check that every scenario works; the figures mean nothing and are not written")

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
	fmt.Fprint(out, `Measures the figures of docs/performance.md on this machine and writes the page.

It builds the program, starts it on loopback with new data folders and databases,
and stops everything that it started. It needs ffmpeg and PostgreSQL's server
(scripts/setup installs them); no database has to run. It takes about 15 minutes
on 2 cores, and nothing else should use them meanwhile.

  go run ./bench                                  all scenarios, on both databases
  go run ./bench -only creates,backlog            two scenarios, printed, not written
  go run ./bench -only creates -databases postgres -profile /tmp/profiles
  go run ./bench -full -o /tmp/full.md            the sizes of the targets; takes hours

Scenarios:

`)

	for _, s := range scenarios {
		databases := "once"
		if len(s.databases) > 0 {
			databases = strings.Join(s.databases, ", ")
		}

		fmt.Fprintf(out, "  %-13s %s (%s)\n", s.name, s.description, databases)
	}

	fmt.Fprint(out, "\nFlags:\n\n")
	flag.PrintDefaults()
}

// selectScenarios returns the scenarios that -only names; all of them if only is
// "".
func selectScenarios(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}

	var selected []scenario

	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there is no scenario %q; -help lists them", only, name)
		}

		selected = append(selected, scenarios[i])
	}

	return selected, nil
}

func run(ctx context.Context, o options) (err error) {
	selected, err := selectScenarios(o.only)
	if err != nil {
		return err
	}

	names, err := parseDatabases(o.databases)
	if err != nil {
		return err
	}

	folder, err := os.MkdirTemp("", "unireel-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	b := o.newBench(folder)
	if err := b.build(ctx); err != nil {
		return err
	}

	if b.video, err = renderVideo(ctx, folder); err != nil {
		return err
	}

	environment := []string{describeMachine(folder)}

	var dbs []*database
	defer func() {
		for _, db := range dbs {
			err = errors.Join(err, db.close())
		}
	}()

	for _, name := range names {
		db, err := b.openDatabase(ctx, name)
		if err != nil {
			return err
		}

		dbs = append(dbs, db)

		description, err := db.describe(ctx, folder)
		if err != nil {
			return err
		}

		environment = append(environment, description)
	}

	fmt.Println(strings.Join(environment, "\n"))

	measurements, err := b.measure(ctx, selected, dbs)
	if err != nil || o.short || o.only != "" || len(names) < len(bothDatabases) {
		return err // the page is written only from a complete run
	}

	return os.WriteFile(o.out, []byte(report(environment, measurements, b)), 0o644)
}

// newBench returns a run with the sizes and durations that the options ask for.
func (o options) newBench(folder string) *bench {
	b := &bench{
		folder:        folder,
		profile:       o.profile,
		lifecycleTime: time.Minute,
		loadTime:      5 * time.Second,
		rows:          100_000,
		kills:         5,
	}

	switch {
	case o.full:
		b.lifecycleTime = 10 * time.Minute
		b.loadTime = time.Minute
		b.rows = 1_000_000
		b.kills = 20
	case o.short:
		b.lifecycleTime = 10 * time.Second
		b.loadTime = time.Second
		b.rows = 4000
		b.kills = 1
	}

	if o.lifecycleTime > 0 {
		b.lifecycleTime = o.lifecycleTime
	}

	return b
}

// measure runs the selected scenarios, each on its databases one after another.
func (b *bench) measure(ctx context.Context, selected []scenario, dbs []*database) ([]measurement, error) {
	var measurements []measurement

	for _, s := range selected {
		applicable := slices.DeleteFunc(slices.Clone(dbs), func(db *database) bool { return !slices.Contains(s.databases, db.name) })
		if len(s.databases) == 0 {
			applicable = []*database{{}}
		}

		for _, db := range applicable {
			b.db = db

			found, err := s.run(ctx, b)
			if err == nil {
				err = ctx.Err() // an interrupted scenario may return figures, which are wrong
			}

			if err = errors.Join(err, db.dropAll()); err != nil {
				return nil, fmt.Errorf("%s %s: %w", s.name, db.name, err)
			}

			for _, m := range found {
				m.database = db.name
				fmt.Println(m)
				measurements = append(measurements, m)
			}
		}
	}

	return measurements, nil
}
