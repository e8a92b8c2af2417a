package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
)

// eachEmpty runs f on a place of each kind that has no tables yet.
func eachEmpty(t *testing.T, f func(t *testing.T, at storetest.Place)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, storetest.File(t)) })
	t.Run("postgres", func(t *testing.T) { f(t, storetest.Place{Database: storetest.Database(t)}) })
}

// edit runs a statement on the place's database as it is.
func edit(t testing.TB, at storetest.Place, text string) {
	t.Helper()

	db, _, err := options(at).connect(t.Context())
	if err == nil {
		_, err = db.ExecContext(t.Context(), text)
		err = errors.Join(err, db.Close())
	}

	if err != nil {
		t.Fatal(err)
	}
}

// openFails opens a store that must be refused, and returns why.
func openFails(t testing.TB, at storetest.Place) string {
	t.Helper()

	s, err := Open(t.Context(), options(at))
	if err == nil {
		_ = s.Close()

		t.Fatal("it was opened")
	}

	return err.Error()
}

func TestMigrateIsIdempotent(t *testing.T) {
	eachEmpty(t, func(t *testing.T, at storetest.Place) {
		from, to, err := Migrate(t.Context(), options(at))
		if err != nil || from != 0 || to < 1 {
			t.Fatalf("from %d to %d, %v", from, to, err)
		}

		again, same, err := Migrate(t.Context(), options(at))
		if err != nil || again != to || same != to {
			t.Fatalf("the second time from %d to %d, %v", again, same, err)
		}

		s := openAt(t, at)
		addAccount(t, s, "acct_a", 1, 0, 100)

		if _, _, err := Migrate(t.Context(), options(at)); err != nil {
			t.Errorf("beside an open store: %v", err)
		}

		if b, err := s.Balance(t.Context(), "acct_a"); err != nil || b.Granted != 100 {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

// Replicas are often started together, each by a script that migrates first.
func TestMigratesAtOnceAreSafe(t *testing.T) {
	at := storetest.Place{Database: storetest.Database(t)}

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, _, err := Migrate(context.Background(), options(at)); err != nil {
				t.Error(err)
			}
		})
	}

	all.Wait()
	addAccount(t, openAt(t, at), "acct_a", 1, 0, 100)
}

func TestANewerSchemaIsRefused(t *testing.T) {
	storetest.Each(t, migrated, func(t *testing.T, at storetest.Place) {
		if _, _, err := Migrate(t.Context(), options(at)); err != nil {
			t.Fatal(err)
		}

		edit(t, at, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, "+map[bool]string{true: "1", false: "true"}[at.Database == ""]+")")

		if why := openFails(t, at); !strings.Contains(why, "9999") || !strings.Contains(why, "newer") {
			t.Errorf("it says %q", why)
		}

		if from, _, err := Migrate(t.Context(), options(at)); err == nil || from != 9999 {
			t.Errorf("it was migrated from %d: %v", from, err)
		}
	})
}

// A server never changes a shared database's tables by itself: other replicas, of
// an older program, may be using them.
func TestAPostgresWithoutOurTablesIsRefused(t *testing.T) {
	at := storetest.Place{Database: storetest.Database(t)}
	if why := openFails(t, at); !strings.Contains(why, "unireel migrate") {
		t.Errorf("an empty database: it says %q", why)
	}

	if _, _, err := Migrate(t.Context(), options(at)); err != nil {
		t.Fatal(err)
	}

	edit(t, at, "DELETE FROM goose_db_version WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)")

	if why := openFails(t, at); !strings.Contains(why, "unireel migrate") {
		t.Errorf("an older schema: it says %q", why)
	}
}

func TestASQLiteFileIsMigratedByOpening(t *testing.T) {
	at := storetest.File(t)
	addAccount(t, openAt(t, at), "acct_a", 1, 0, 100)
}

// What is wrong with a database's address is said without its password.
func TestAnErrorNamesNoPassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://unireel:hunter2@127.0.0.1:1/unireel?sslmode=disable",
		"postgres://unireel:hunter2@127.0.0.1:port/unireel",
		"postgres://unireel:hunter2@127.0.0.1:1/unireel?sslmode=perhaps",
		"mysql://unireel:hunter2@127.0.0.1/unireel",
	} {
		why := openFails(t, storetest.Place{Database: dsn})

		_, _, err := Migrate(t.Context(), options(storetest.Place{Database: dsn}))
		if err == nil {
			t.Fatalf("%s was migrated", dsn)
		}

		if strings.Contains(why+err.Error(), "hunter2") {
			t.Errorf("the password is in %q or %q", why, err)
		}
	}
}
