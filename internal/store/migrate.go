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

// Migrate brings the schema up to this program's version and returns the
// versions before and after. It is safe to run several at once: one does the
// work. A schema that is newer than this program is an error and is not changed.
func Migrate(ctx context.Context, o Options) (from, to int64, err error) {
	db, d, err := o.connect(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	return migrate(ctx, db, d)
}

func migrate(ctx context.Context, db *sql.DB, d dialect) (from, to int64, err error) {
	provider, err := newMigrationProvider(db, d)
	if err != nil {
		return 0, 0, err
	}

	if from, err = schemaVersion(ctx, db, d); err != nil {
		return 0, 0, err
	}

	to = latestVersion(provider)
	if from > to {
		return from, to, schemaTooNew(from, to)
	}

	if _, err := provider.Up(ctx); err != nil {
		prefix := "cannot migrate the database"

		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == "42501" {
			prefix += "; its owner can let this role do so with GRANT CREATE ON SCHEMA public TO ..."
		}

		return from, to, &oneLineError{prefix, classifyError(err)}
	}

	return from, to, nil
}

// checkSchema returns an error if the schema is not of this program's version.
// It changes nothing.
func checkSchema(ctx context.Context, db *sql.DB, d dialect) error {
	provider, err := newMigrationProvider(db, d)
	if err != nil {
		return err
	}

	have, err := schemaVersion(ctx, db, d)
	if err != nil {
		return err
	}

	switch want := latestVersion(provider); {
	case have > want:
		return schemaTooNew(have, want)
	case have == 0:
		return errors.New("the database has no tables of Unireel yet: run `unireel migrate` with the same --database")
	case have < want:
		return fmt.Errorf("the database has schema %d, this program needs %d: make sure that no older server is running, then run `unireel migrate`", have, want)
	}

	return nil
}

func schemaTooNew(have, want int64) error {
	return fmt.Errorf("the database has schema %d, this program knows up to %d: run the program that wrote it, or a newer one", have, want)
}

// schemaVersion reads the schema's version, 0 if there is none. It writes
// nothing.
func schemaVersion(ctx context.Context, db *sql.DB, d dialect) (version int64, err error) {
	var tables int64
	if err = db.QueryRowContext(ctx, d.hasVersionTable).Scan(&tables); err == nil && tables > 0 {
		err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version)
	}

	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", classifyError(err))
	}

	return version, nil
}

func newMigrationProvider(db *sql.DB, d dialect) (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}

	options := []goose.ProviderOption{goose.WithSlog(slog.New(slog.DiscardHandler))}

	if d.goose == goose.DialectPostgres {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 10)) // one try a second
		if err != nil {
			return nil, fmt.Errorf("prepare the migration lock: %w", err)
		}

		options = append(options, goose.WithSessionLocker(locker))
	}

	provider, err := goose.NewProvider(d.goose, db, suffixFS{sub, "." + d.name + ".sql"}, options...)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}

	return provider, nil
}

func latestVersion(provider *goose.Provider) int64 {
	all := provider.ListSources()
	return all[len(all)-1].Version
}

// suffixFS shows only the files of a folder whose names end in suffix.
type suffixFS struct {
	fs.FS
	suffix string
}

func (f suffixFS) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(f.FS, name)

	var list []fs.DirEntry

	for _, e := range all {
		if strings.HasSuffix(e.Name(), f.suffix) {
			list = append(list, e)
		}
	}

	return list, err
}
