package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// dialect is all that differs between databases: how migrations are named and
// written, and how a row is locked for writing.
type dialect struct {
	name      string
	goose     goose.Dialect
	forUpdate string // after a SELECT of a row that the transaction will change
}

var sqlite = dialect{name: "sqlite", goose: goose.DialectSQLite3}

// openSQLite opens the file with the pragmas that durability and speed need:
// a write-ahead log, an fsync at every commit, no checkpoints by the writer.
func openSQLite(path string, conns int, readOnly bool) (*sql.DB, error) {
	pragmas := []string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(0)",
		"cache_size(-32768)", "temp_store(MEMORY)", "mmap_size(268435456)",
	}
	if readOnly {
		pragmas = append(pragmas, "query_only(1)")
	}
	query := url.Values{"_pragma": pragmas}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// migrate brings the schema up to this program's version. A newer schema is
// refused: an older program would not know what it means.
func migrate(ctx context.Context, db *sql.DB, d dialect) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	steps, err := goose.NewProvider(d.goose, db, only{sub, "." + d.name + ".sql"}, goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	have, want, err := steps.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", explain(err))
	}
	if have > want {
		return fmt.Errorf("the database has schema %d, this program knows up to %d: run the program that wrote it, or a newer one", have, want)
	}
	if _, err := steps.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", explain(err))
	}
	return nil
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

// explain turns the database's own word for "no room" into ErrFull.
func explain(err error) error {
	var e *driver.Error
	if errors.As(err, &e) && (e.Code()&0xff == lib.SQLITE_FULL || e.Code() == lib.SQLITE_IOERR_WRITE || e.Code() == lib.SQLITE_IOERR_FSYNC) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
