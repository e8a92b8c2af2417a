package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
)

// forEachEmptyDatabase runs f on a database of each kind that has no tables yet.
func forEachEmptyDatabase(t *testing.T, f func(t *testing.T, at storetest.Location)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, storetest.SQLiteFile(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, storetest.Location{Database: storetest.Database(t)}) })
}

// execRaw runs a statement on the database without opening a store.
func execRaw(t testing.TB, at storetest.Location, text string) {
	t.Helper()

	db, _, err := testOptions(at).connect(t.Context())
	if err == nil {
		_, err = db.ExecContext(t.Context(), text)
		err = errors.Join(err, db.Close())
	}

	if err != nil {
		t.Fatal(err)
	}
}

// openFails opens a store that must be refused, and returns the error.
func openFails(t testing.TB, at storetest.Location) string {
	t.Helper()

	s, err := Open(t.Context(), testOptions(at))
	if err == nil {
		_ = s.Close()

		t.Fatal("the store was opened")
	}

	return err.Error()
}

func TestMigrateIsIdempotent(t *testing.T) {
	forEachEmptyDatabase(t, func(t *testing.T, at storetest.Location) {
		from, to, err := Migrate(t.Context(), testOptions(at))
		if err != nil || from != 0 || to < 1 {
			t.Fatalf("from %d to %d, %v", from, to, err)
		}

		again, same, err := Migrate(t.Context(), testOptions(at))
		if err != nil || again != to || same != to {
			t.Fatalf("the second time from %d to %d, %v", again, same, err)
		}

		s := openStore(t, at)
		addAccount(t, s, "acct_a", 1, 0, 100)

		if _, _, err := Migrate(t.Context(), testOptions(at)); err != nil {
			t.Errorf("while a store is open: %v", err)
		}

		if b, err := s.Balance(t.Context(), "acct_a"); err != nil || b.Granted != 100 {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// TestConcurrentMigrations matters because replicas are often started together,
// each by a script that migrates first.
func TestConcurrentMigrations(t *testing.T) {
	at := storetest.Location{Database: storetest.Database(t)}

	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, _, err := Migrate(context.Background(), testOptions(at)); err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()
	addAccount(t, openStore(t, at), "acct_a", 1, 0, 100)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	storetest.EachDatabase(t, migrateDatabase, func(t *testing.T, at storetest.Location) {
		if _, _, err := Migrate(t.Context(), testOptions(at)); err != nil {
			t.Fatal(err)
		}

		execRaw(t, at, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, "+map[bool]string{true: "1", false: "true"}[at.Database == ""]+")")

		if why := openFails(t, at); !strings.Contains(why, "9999") || !strings.Contains(why, "newer") {
			t.Errorf("the error is %q", why)
		}

		if from, _, err := Migrate(t.Context(), testOptions(at)); err == nil || from != 9999 {
			t.Errorf("it was migrated from %d: %v", from, err)
		}
	})
}

// TestUnmigratedPostgresIsRefused checks that a server never changes the tables
// of a shared database by itself: replicas of an older program may be using
// them.
func TestUnmigratedPostgresIsRefused(t *testing.T) {
	at := storetest.Location{Database: storetest.Database(t)}
	if why := openFails(t, at); !strings.Contains(why, "unireel migrate") {
		t.Errorf("empty database: the error is %q", why)
	}

	if _, _, err := Migrate(t.Context(), testOptions(at)); err != nil {
		t.Fatal(err)
	}

	execRaw(t, at, "DELETE FROM goose_db_version WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)")

	if why := openFails(t, at); !strings.Contains(why, "unireel migrate") {
		t.Errorf("older schema: the error is %q", why)
	}
}

func TestOpenMigratesSQLite(t *testing.T) {
	at := storetest.SQLiteFile(t)
	addAccount(t, openStore(t, at), "acct_a", 1, 0, 100)
}

// TestErrorsContainNoPassword checks the errors of invalid and unreachable
// addresses.
func TestErrorsContainNoPassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://unireel:hunter2@127.0.0.1:1/unireel?sslmode=disable",
		"postgres://unireel:hunter2@127.0.0.1:port/unireel",
		"postgres://unireel:hunter2@127.0.0.1:1/unireel?sslmode=perhaps",
		"mysql://unireel:hunter2@127.0.0.1/unireel",
	} {
		why := openFails(t, storetest.Location{Database: dsn})

		_, _, err := Migrate(t.Context(), testOptions(storetest.Location{Database: dsn}))
		if err == nil {
			t.Fatalf("%s was migrated", dsn)
		}

		if strings.Contains(why+err.Error(), "hunter2") {
			t.Errorf("the password is in %q or %q", why, err)
		}
	}
}
