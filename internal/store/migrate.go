package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to this program's version and says from which
// version to which. Several at once are safe: one does the work. A schema newer
// than this program is refused and left as it is.
func Migrate(ctx context.Context, o Options) (from, to int64, err error) {
	db, d, err := o.connect(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	return migrate(ctx, db, d)
}

func migrate(ctx context.Context, db *sql.DB, d dialect) (from, to int64, err error) {
	steps, err := migrationsOf(db, d)
	if err != nil {
		return 0, 0, err
	}

	if from, err = schemaVersion(ctx, db, d); err != nil {
		return 0, 0, err
	}

	to = newest(steps)
	if from > to {
		return from, to, tooNew(from, to)
	}

	if _, err := steps.Up(ctx); err != nil {
		what := "cannot migrate the database"

		var said *pgconn.PgError
		if errors.As(err, &said) && said.Code == "42501" {
			what += "; its owner can let this role do so with GRANT CREATE ON SCHEMA public TO ..."
		}

		return from, to, &tersely{what, explain(err)}
	}

	return from, to, nil
}

// checkSchema refuses a schema that is not this program's own, and changes
// nothing.
func checkSchema(ctx context.Context, db *sql.DB, d dialect) error {
	steps, err := migrationsOf(db, d)
	if err != nil {
		return err
	}

	have, err := schemaVersion(ctx, db, d)
	if err != nil {
		return err
	}

	switch want := newest(steps); {
	case have > want:
		return tooNew(have, want)
	case have == 0:
		return errors.New("the database has no tables of Unireel yet: run `unireel migrate` with the same --database")
	case have < want:
		return fmt.Errorf("the database has schema %d, this program needs %d: stop older servers or see that they are gone, then run `unireel migrate`", have, want)
	}

	return nil
}

func tooNew(have, want int64) error {
	return fmt.Errorf("the database has schema %d, this program knows up to %d: run the program that wrote it, or a newer one", have, want)
}

// schemaVersion reads the schema's version, 0 where there is none, and writes
// nothing.
func schemaVersion(ctx context.Context, db *sql.DB, d dialect) (version int64, err error) {
	var tables int64
	if err = db.QueryRowContext(ctx, d.versions).Scan(&tables); err == nil && tables > 0 {
		err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version)
	}

	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", explain(err))
	}

	return version, nil
}

func migrationsOf(db *sql.DB, d dialect) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}

	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}

	if d.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 10)) // each second
		if err != nil {
			return nil, fmt.Errorf("prepare the migration lock: %w", err)
		}

		options = append(options, goose.WithSessionLocker(locker))
	}

	steps, err := goose.NewProvider(d.goose, db, only{sub, "." + d.name + ".sql"}, options...)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}

	return steps, nil
}

func newest(steps *goose.Provider) int64 {
	all := steps.ListSources()
	return all[len(all)-1].Version
}

// only shows the files of a folder that end in suffix.
type only struct {
	fs.FS
	suffix string
}

func (o only) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(o.FS, name)

	var list []fs.DirEntry

	for _, e := range all {
		if strings.HasSuffix(e.Name(), o.suffix) {
			list = append(list, e)
		}
	}

	return list, err
}
