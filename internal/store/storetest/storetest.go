// Package storetest gives tests the databases that Unireel runs on: a file for
// SQLite, and databases of a PostgreSQL server that is started for the test
// process when the first test asks, and is gone with it, however it ends. It
// comes before a store is opened in a test and cuts its connections while it is
// used; it knows no table and imports nothing of ours, so that the store's own
// tests can use it. The benchmarks launch such a server too; nothing that is
// shipped ever imports it.
package storetest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Place is where a store can be opened: the fields of store.Options that say so.
type Place struct {
	Path     string // of a SQLite file that is not there yet
	Database string // else the DSN of a PostgreSQL database
}

// shared is the test process's own server. Nothing stops it: it sees the end of
// the process.
var shared = sync.OnceValues(func() (*Server, error) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()

	return Launch(ctx, Options{})
})

// File is a place for a SQLite store in the test's own folder.
func File(t testing.TB) Place {
	t.Helper()
	return Place{Path: filepath.Join(t.TempDir(), "unireel.db")}
}

// Each runs f on a fresh place of each kind, as subtests of these names. migrate
// makes the tables of a PostgreSQL database.
func Each(t *testing.T, migrate Migrate, f func(t *testing.T, at Place)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, File(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, Place{Database: Migrated(t, migrate)}) })
}

// Rooms is Each for the rooms above the store. The race detector watches them on
// SQLite only: their code is the same on both, and the store's own tests race the rest.
func Rooms(t *testing.T, migrate Migrate, f func(t *testing.T, at Place)) {
	t.Helper()

	if Raced {
		t.Run("sqlite", func(t *testing.T) { f(t, File(t)) })
		return
	}

	Each(t, migrate, f)
}

// Migrate makes the tables of the database of a DSN.
type Migrate func(ctx context.Context, database string) error

// Database makes an empty database and returns its DSN; it is dropped when the
// test ends. Like all of this package it must be called outside of a synctest
// bubble, since a server outside of it has to answer.
func Database(t testing.TB) string {
	t.Helper()

	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}

	return s.Database(t)
}

// Migrated is Database with the tables that migrate makes. It runs once for the
// whole test process: then its tables are copied, which is quicker. So all tests
// of a package must mean the same by it.
func Migrated(t testing.TB, migrate Migrate) string {
	t.Helper()

	dsn, drop, err := Make(migrate)
	if err != nil {
		t.Fatal(err)
	}

	dropped(t, drop)

	return dsn
}

// Make is Migrated where no testing.TB is at hand: drop is the caller's to call.
// With nil for migrate it is Database.
func Make(migrate Migrate) (dsn string, drop func() error, err error) {
	s, err := shared()
	if err != nil {
		return "", nil, err
	}

	if migrate == nil {
		return s.make(context.Background(), "template0")
	}

	if err := s.prepare(migrate); err != nil {
		return "", nil, fmt.Errorf("make the tables: %w", err)
	}

	return s.make(context.Background(), template)
}

// template is the database whose tables Migrated copies.
const template = "unireel_tables"

// prepare makes the template once. A failure is no template: the next test tries
// again, and tells.
func (s *Server) prepare(migrate Migrate) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.prepared {
		return nil
	}

	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()

	for _, text := range []string{"DROP DATABASE IF EXISTS " + template + " WITH (FORCE)", create(template, "template0")} {
		if err := s.exec(ctx, text); err != nil {
			return err
		}
	}

	if err := migrate(ctx, s.dsn(template)); err != nil {
		return err
	}

	s.prepared = true

	return nil
}

// Database makes an empty database on this server, as the package's does.
func (s *Server) Database(t testing.TB) string {
	t.Helper()

	dsn, drop, err := s.make(t.Context(), "template0")
	if err != nil {
		t.Fatal(err)
	}

	dropped(t, drop)

	return dsn
}

func dropped(t testing.TB, drop func() error) {
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
}

// NewDatabase makes an empty database for a program that is no test, and returns
// its DSN and what drops it.
func (s *Server) NewDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	return s.make(ctx, "template0")
}

func (s *Server) make(ctx context.Context, from string) (dsn string, drop func() error, err error) {
	do := func(ctx context.Context, what, text string) error {
		ctx, done := context.WithTimeout(ctx, patience)
		defer done()

		if err := s.exec(ctx, text); err != nil {
			return fmt.Errorf("%s a database: %w", what, err)
		}

		return nil
	}

	name := fmt.Sprintf("unireel_%d", s.made.Add(1))
	if err := do(ctx, "make", create(name, from)); err != nil {
		return "", nil, err
	}

	drop = func() error {
		return do(context.Background(), "drop", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}

	return s.dsn(name), drop, nil
}

// create is the statement that makes a database. It sorts as those of people do
// and not by bytes: where Unireel's order is that of bytes, Unireel must say so. Its
// files are copied as they are, since page by page through the log is slower.
func create(name, from string) string {
	text := "CREATE DATABASE " + name + " OWNER " + owner + " STRATEGY = FILE_COPY TEMPLATE " + from
	if from == "template0" {
		text += " ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
	}

	return text
}

// patience is how long anything may take that takes a second at most.
const patience = 2 * time.Minute
