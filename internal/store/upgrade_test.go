package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// TestUpgradeFromSchema1 migrates a dump of the tables of schema 1: nothing is
// missing, and the ledger still adds up.
func TestUpgradeFromSchema1(t *testing.T) {
	for name, o := range map[string]Options{
		"sqlite":   {Path: filepath.Join(t.TempDir(), "unireel.db")},
		"postgres": {Database: storetest.Database(t)},
	} {
		t.Run(name, func(t *testing.T) {
			o.Now = time.Now
			o.Log = slog.New(slog.DiscardHandler)
			restore(t, o, filepath.Join("testdata", "schema1."+name+".sql"))

			from, to, err := Migrate(t.Context(), o)
			if err != nil || from != 1 || to <= 1 {
				t.Fatalf("migrated from %d to %d: %v", from, to, err)
			}

			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			defer func() { _ = s.Close() }()

			checkUpgraded(t, s)
		})
	}
}

func restore(t *testing.T, o Options, path string) {
	t.Helper()

	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	db, _, err := o.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if o.Database == "" {
		_, err = db.ExecContext(t.Context(), string(dump))
	} else {
		err = execSimple(t.Context(), db, string(dump))
	}

	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// execSimple runs many statements with PostgreSQL's simple query protocol, like
// psql does.
func execSimple(ctx context.Context, db *sql.DB, text string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}

	err = onConn(conn, func(c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, text).ReadAll()
		return err
	})

	return errors.Join(err, conn.Close())
}

func checkUpgraded(t *testing.T, s *Store) {
	t.Helper()

	ctx := t.Context()
	if found, err := s.CheckIntegrity(ctx, 10); err != nil || len(found) > 0 {
		t.Errorf("integrity after the upgrade: %v, %v", found, err)
	}

	accounts, err := s.Accounts(ctx)
	if err != nil || len(accounts) != 2 {
		t.Fatalf("accounts: %v, %v", accounts, err)
	}

	list, _, err := s.Tasks(ctx, TaskFilter{Account: accounts[0].ID, Limit: 100})

	counts := map[task.State]int{}
	for _, one := range list {
		counts[one.State]++
	}

	if err != nil || counts[task.Completed] != 1 || counts[task.Failed] != 1 || counts[task.Cancelled] != 1 || counts[task.Queued] != 2 || counts[task.Running] != 2 {
		t.Errorf("tasks: %v, %v", counts, err) // another one was completed and deleted by the customer
	}

	for _, one := range list {
		if body, _, err := s.Request(ctx, one.ID); err != nil || len(body) == 0 {
			t.Errorf("request of %s: %q, %v", one.ID, body, err)
		}

		if one.State == task.Completed {
			if video, err := s.Artifact(ctx, one.ID, task.Video); err != nil || video.Blob == "" {
				t.Errorf("video of %s: %+v, %v", one.ID, video, err)
			}
		}
	}

	if files, _, err := s.Files(ctx, accounts[0].ID, "", 10); err != nil || len(files) != 1 {
		t.Errorf("files: %v, %v", files, err)
	}

	if keys, err := s.Keys(ctx, accounts[0].ID); err != nil || len(keys) != 1 {
		t.Errorf("keys: %v, %v", keys, err)
	}
}
