package script

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers that elapse needs
	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/unireel/unireel/internal/store/storetest"
)

// databases are what the program runs on.
var databases = []string{"sqlite", "postgres"}

// configured is the environment of a server on a new database of a kind.
func configured(t *testing.T, database string) []string {
	t.Helper()

	if database == "sqlite" {
		return nil
	}

	return []string{"UNIREEL_DATABASE=" + storetest.Migrated(t, migrate)}
}

// migrate is `unireel migrate`.
func migrate(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(binary), "UNIREEL_DATABASE=" + database}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w\n%s", err, said)
	}

	return nil
}

// blankCmd is: blank: $UNIREEL_DATABASE is a database without tables, whose address
// has a password.
func blankCmd(ts *testscript.TestScript, _ bool, _ []string) {
	dsn, drop, err := storetest.Make(nil)
	ts.Check(err)
	ts.Defer(func() { _ = drop() })

	u, err := url.Parse(dsn)
	ts.Check(err)

	u.User = url.UserPassword(u.User.Username(), "a-secret-word")
	ts.Setenv("UNIREEL_DATABASE", u.String())
}

// elapseCmd is: elapse TASK: the task's retention is over, for no test waits for
// days. No server may be running.
func elapseCmd(ts *testscript.TestScript, _ bool, args []string) {
	driver := "sqlite"

	source := filepath.Join(ts.Getenv("UNIREEL_DATA"), "unireel.db")
	if dsn := ts.Getenv("UNIREEL_DATABASE"); dsn != "" {
		driver = "pgx"
		source = dsn
	}

	db, err := sql.Open(driver, source)
	ts.Check(err)

	defer func() { _ = db.Close() }()

	done, err := db.Exec("UPDATE task SET expires_at = 1 WHERE id = $1", args[0])
	ts.Check(err)

	if n, err := done.RowsAffected(); err != nil || n != 1 {
		ts.Fatalf("%d tasks are %s (%v)", n, args[0], err)
	}
}
