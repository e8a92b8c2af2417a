// Package storetest provides the databases of Unireel for tests: a file for
// SQLite, and databases of a PostgreSQL server. The server is started when the
// first test of a process needs it, and ends with the process, however that
// ends. Proxy breaks the connections of a store while a test uses it. The
// package knows no table and imports no other package of Unireel, so that the
// store's own tests can use it. The benchmarks start such a server as well;
// nothing that is shipped imports this package.
package storetest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Location says where a store can be opened: it has the corresponding fields of
// store.Options.
type Location struct {
	Path     string // of a SQLite file that does not exist yet
	Database string // or the DSN of a PostgreSQL database
}

// shared is the server of the test process. It is never stopped: it notices the
// end of the process.
var shared = sync.OnceValues(func() (*Server, error) {
	ctx, done := context.WithTimeout(context.Background(), serverTimeout)
	defer done()

	return Launch(ctx, Options{})
})

// SQLiteFile returns the location of a new SQLite store in the test's own
// folder.
func SQLiteFile(t testing.TB) Location {
	t.Helper()
	return Location{Path: filepath.Join(t.TempDir(), "unireel.db")}
}

// EachDatabase runs f on a new location of each kind, in the subtests sqlite and
// postgres. migrate creates the tables of a PostgreSQL database.
func EachDatabase(t *testing.T, migrate MigrateFunc, f func(t *testing.T, at Location)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLiteFile(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Location{Database: MigratedDatabase(t, migrate)}) })
}

// EachUnlessRace is EachDatabase for the packages above the store. With the race
// detector it runs them on SQLite only: their code is the same on both
// databases, and the store's own tests cover the rest.
func EachUnlessRace(t *testing.T, migrate MigrateFunc, f func(t *testing.T, at Location)) {
	t.Helper()

	if RaceEnabled {
		t.Run("sqlite", func(t *testing.T) { f(t, SQLiteFile(t)) })
		return
	}

	EachDatabase(t, migrate, f)
}

// MigrateFunc creates the tables of the database with the given DSN.
type MigrateFunc func(ctx context.Context, database string) error

// Database creates an empty database and returns its DSN. The database is
// dropped when the test ends. Like everything in this package it must be called
// outside of a synctest bubble, since it waits for a server that is not part of
// the bubble.
func Database(t testing.TB) string {
	t.Helper()

	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}

	return s.Database(t)
}

// MigratedDatabase is Database with the tables that migrate creates. migrate
// runs once for the whole test process, and after that its tables are copied,
// which is faster. So all tests of a package must pass an equivalent function.
func MigratedDatabase(t testing.TB, migrate MigrateFunc) string {
	t.Helper()

	dsn, drop, err := NewDatabase(migrate)
	if err != nil {
		t.Fatal(err)
	}

	dropOnCleanup(t, drop)

	return dsn
}

// NewDatabase is MigratedDatabase for code that has no testing.TB: the caller
// must call drop. If migrate is nil, it is Database.
func NewDatabase(migrate MigrateFunc) (dsn string, drop func() error, err error) {
	s, err := shared()
	if err != nil {
		return "", nil, err
	}

	if migrate == nil {
		return s.createDatabase(context.Background(), "template0")
	}

	if err := s.createTemplate(migrate); err != nil {
		return "", nil, fmt.Errorf("create the tables: %w", err)
	}

	return s.createDatabase(context.Background(), templateName)
}

// templateName is the database whose tables MigratedDatabase copies.
const templateName = "unireel_template"

// createTemplate creates the template once. If it fails there is no template,
// and the next test tries again.
func (s *Server) createTemplate(migrate MigrateFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.hasTemplate {
		return nil
	}

	ctx, done := context.WithTimeout(context.Background(), serverTimeout)
	defer done()

	for _, text := range []string{"DROP DATABASE IF EXISTS " + templateName + " WITH (FORCE)", createStatement(templateName, "template0")} {
		if err := s.exec(ctx, text); err != nil {
			return err
		}
	}

	if err := migrate(ctx, s.dsn(templateName)); err != nil {
		return err
	}

	s.hasTemplate = true

	return nil
}

// Database is like the function Database, on this server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()

	dsn, drop, err := s.createDatabase(t.Context(), "template0")
	if err != nil {
		t.Fatal(err)
	}

	dropOnCleanup(t, drop)

	return dsn
}

func dropOnCleanup(t testing.TB, drop func() error) {
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
}

// NewDatabase creates an empty database for a program that is not a test, and
// returns its DSN and the function that drops it.
func (s *Server) NewDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	return s.createDatabase(ctx, "template0")
}

func (s *Server) createDatabase(ctx context.Context, source string) (dsn string, drop func() error, err error) {
	do := func(ctx context.Context, what, text string) error {
		ctx, done := context.WithTimeout(ctx, serverTimeout)
		defer done()

		if err := s.exec(ctx, text); err != nil {
			return fmt.Errorf("%s a database: %w", what, err)
		}

		return nil
	}

	name := fmt.Sprintf("unireel_%d", s.databases.Add(1))
	if err := do(ctx, "create", createStatement(name, source)); err != nil {
		return "", nil, err
	}

	drop = func() error {
		return do(context.Background(), "drop", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}

	return s.dsn(name), drop, nil
}

// createStatement returns the statement that creates a database. Its text sorts
// by a language's rules and not by bytes: where Unireel needs the order of
// bytes, it must say so. Its files are copied as they are (FILE_COPY), since
// copying page by page through the write-ahead log is slower.
func createStatement(name, source string) string {
	text := "CREATE DATABASE " + name + " OWNER " + ownerRole + " STRATEGY = FILE_COPY TEMPLATE " + source
	if source == "template0" {
		text += " ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
	}

	return text
}

// serverTimeout limits operations that normally take a second at most.
const serverTimeout = 2 * time.Minute
