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

// The databases, as -databases and the tables' columns name them.
const (
	sqlite   = "SQLite"
	postgres = "PostgreSQL"
)

// database is what the servers of a part keep their tasks in: a file of each one's
// own, or a fresh database each on one PostgreSQL server that this run started.
type database struct {
	name   string
	server *storetest.Server // nil: SQLite
	pid    int
	drops  []func() error
}

// choose reads -databases.
func choose(names string) ([]string, error) {
	var chosen []string

	for name := range strings.SplitSeq(names, ",") {
		switch name {
		case "sqlite":
			chosen = append(chosen, sqlite)
		case "postgres":
			chosen = append(chosen, postgres)
		default:
			return nil, fmt.Errorf("-databases %s: there are sqlite and postgres, with a comma between them", names)
		}
	}

	return chosen, nil
}

// open makes a database ready for servers.
func (b *bench) open(ctx context.Context, name string) (*database, error) {
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

// fresh is the address of an empty database; "" is a file.
func (d *database) fresh(ctx context.Context) (string, error) {
	if d.server == nil {
		return "", nil
	}

	dsn, drop, err := d.server.NewDatabase(ctx)
	if err == nil {
		d.drops = append(d.drops, drop)
	}

	return dsn, err
}

// clear drops what a part has left, so that the next one has the disk to itself.
func (d *database) clear() error {
	var err error
	for _, drop := range d.drops {
		err = errors.Join(err, drop())
	}

	d.drops = nil

	return err
}

// cpu is what the database's own processes have used, in seconds.
func (d *database) cpu() float64 {
	if d.server == nil {
		return 0
	}

	return family(d.pid)
}

// describe names the server and says where it differs from its neighbour.
func (d *database) describe(ctx context.Context, folder string) (string, error) {
	if d.server == nil {
		return "SQLite: `synchronous=FULL`, a log that is fsynced at each commit.", nil
	}

	dsn, err := d.fresh(ctx)
	if err != nil {
		return "", err
	}

	var version, durable, shared string

	err = query(ctx, dsn, `SELECT current_setting('server_version'), CASE WHEN current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on'
		THEN '`+"`fsync` and `synchronous_commit` on"+`' ELSE 'NOT DURABLE' END, current_setting('shared_buffers')`, &version, &durable, &shared)
	if err != nil {
		return "", err
	}

	where := "on the same disk"
	if here, there := fileSystem(folder), fileSystem(d.server.Folder()); here != there {
		where = "on another disk, " + there
	}

	return fmt.Sprintf("PostgreSQL: %s, a server of this run alone, %s, over its socket; %s, `shared_buffers` %s, as it is installed.", version, where, durable, shared), d.clear()
}

// scanned says how many rows of the tasks and of the turns were read by going
// through a whole table, since the database was made.
func scanned(ctx context.Context, dsn string) (tasks, turns int64, err error) {
	err = query(ctx, dsn, `SELECT COALESCE(SUM(seq_tup_read) FILTER (WHERE relname = 'task'), 0)::bigint,
		COALESCE(SUM(seq_tup_read) FILTER (WHERE relname = 'turn'), 0)::bigint FROM pg_stat_user_tables`, &tasks, &turns)

	return tasks, turns, err
}

// query reads one row.
func query(ctx context.Context, dsn, text string, into ...any) error {
	ctx, over := context.WithTimeout(ctx, time.Minute)
	defer over()

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}

	return errors.Join(conn.QueryRow(ctx, text).Scan(into...), conn.Close(ctx))
}

// migrate makes the tables of a PostgreSQL database, by the program itself.
func (b *bench) migrate(ctx context.Context, dsn string) error {
	ctx, over := context.WithTimeout(ctx, 2*time.Minute)
	defer over()

	cmd := exec.CommandContext(ctx, b.binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.folder, "UNIREEL_DATA=" + filepath.Join(b.folder, "migrate"), "UNIREEL_DATABASE=" + dsn}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w; it said: %s", err, said)
	}

	return nil
}
