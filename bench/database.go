package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unireel/unireel/internal/store/storetest"
)

// The databases, as the tables' columns name them.
const (
	sqlite   = "SQLite"
	postgres = "PostgreSQL"
)

// database is where the servers of a scenario store their tasks: SQLite, a file for
// each server, or a new database for each on the PostgreSQL server of this run.
type database struct {
	name   string
	server *storetest.Server // nil for SQLite
	pid    int
	drops  []func() error
}

// parseDatabases reads -databases.
func parseDatabases(names string) ([]string, error) {
	var selected []string

	for name := range strings.SplitSeq(names, ",") {
		switch name {
		case "sqlite":
			selected = append(selected, sqlite)
		case "postgres":
			selected = append(selected, postgres)
		default:
			return nil, fmt.Errorf("-databases %s: there is no database %q; use sqlite, postgres or both, separated by a comma", names, name)
		}
	}

	return selected, nil
}

// openDatabase prepares a database for servers; for PostgreSQL it starts the
// database server.
func (b *bench) openDatabase(ctx context.Context, name string) (*database, error) {
	if name == sqlite {
		return &database{name: name}, nil
	}

	server, err := storetest.Launch(ctx, storetest.Options{Durable: true})
	if err != nil {
		return nil, err
	}

	pid, err := server.PID()
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}

	return &database{name: name, server: server, pid: pid}, nil
}

func (d *database) close() error {
	if d.server == nil {
		return nil
	}

	return d.server.Close()
}

// newDatabase makes an empty database and returns its address; "" for SQLite, whose
// file the server itself makes.
func (d *database) newDatabase(ctx context.Context) (string, error) {
	if d.server == nil {
		return "", nil
	}

	dsn, drop, err := d.server.NewDatabase(ctx)
	if err == nil {
		d.drops = append(d.drops, drop)
	}

	return dsn, err
}

// dropAll drops the databases of a scenario, so that the next one does not share the
// disk with their background writes.
func (d *database) dropAll() error {
	var err error

	for _, drop := range d.drops {
		err = errors.Join(err, drop())
	}

	d.drops = nil

	return err
}

// cpu returns the CPU time that the database server's processes have used, in
// seconds; 0 for SQLite.
func (d *database) cpu() float64 {
	if d.server == nil {
		return 0
	}

	return cpuWithChildren(d.pid)
}

// describe returns a line about the database's version and settings for the report.
func (d *database) describe(ctx context.Context, folder string) (string, error) {
	if d.server == nil {
		return "SQLite: `synchronous=FULL`, a write-ahead log that is fsynced at each commit.", nil
	}

	dsn, err := d.newDatabase(ctx)
	if err != nil {
		return "", err
	}

	var version, durable, sharedBuffers string

	err = query(ctx, dsn, `SELECT current_setting('server_version'), CASE WHEN current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on'
		THEN '`+"`fsync` and `synchronous_commit` on"+`' ELSE 'NOT DURABLE' END, current_setting('shared_buffers')`, &version, &durable, &sharedBuffers)
	if err != nil {
		return "", err
	}

	location := "on the same disk"
	if ours, theirs := fileSystem(folder), fileSystem(d.server.Folder()); ours != theirs {
		location = "on another disk, " + theirs
	}

	return fmt.Sprintf("PostgreSQL: %s, a server for this run only, %s, over its socket; %s, `shared_buffers` %s; otherwise default settings.", version, location, durable, sharedBuffers), d.dropAll()
}

// scannedRows returns how many rows of the tasks and of the shares were read by
// sequential scans since the database was made.
func scannedRows(ctx context.Context, dsn string) (tasks, shares int64, err error) {
	err = query(ctx, dsn, `SELECT COALESCE(SUM(seq_tup_read) FILTER (WHERE relname = 'task'), 0)::bigint,
		COALESCE(SUM(seq_tup_read) FILTER (WHERE relname = 'share'), 0)::bigint FROM pg_stat_user_tables`, &tasks, &shares)

	return tasks, shares, err
}

// query reads one row.
func query(ctx context.Context, dsn, text string, into ...any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}

	return errors.Join(conn.QueryRow(ctx, text).Scan(into...), conn.Close(ctx))
}

// migrate makes the tables of a PostgreSQL database with `unireel migrate`.
func (b *bench) migrate(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, b.binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.folder, "UNIREEL_DATA=" + filepath.Join(b.folder, "migrate"), "UNIREEL_DATABASE=" + dsn}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w; its output: %s", err, output)
	}

	return nil
}
