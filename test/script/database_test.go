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

	_ "github.com/jackc/pgx/v5/stdlib" // expireCmd opens both kinds of databases
	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"

	"github.com/unireel/unireel/internal/store/storetest"
)

// databases names the databases that the program supports.
var databases = []string{"sqlite", "postgres"}

// databaseEnv creates a database and returns the environment of a server that uses
// it.
func databaseEnv(t *testing.T, database string) []string {
	t.Helper()

	if database == "sqlite" {
		return nil
	}

	return []string{"UNIREEL_DATABASE=" + storetest.MigratedDatabase(t, migrate)}
}

// migrate runs `unireel migrate` on a database.
func migrate(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate")

	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(binary), "UNIREEL_DATABASE=" + database}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w\n%s", err, output)
	}

	return nil
}

// emptyDatabaseCmd sets $UNIREEL_DATABASE to the address of a new database without
// tables. The address contains a password:
//
//	emptydb
func emptyDatabaseCmd(ts *testscript.TestScript, _ bool, _ []string) {
	dsn, drop, err := storetest.NewDatabase(nil)
	ts.Check(err)
	ts.Defer(func() { _ = drop() })

	u, err := url.Parse(dsn)
	ts.Check(err)

	u.User = url.UserPassword(u.User.Username(), "a-secret-word")
	ts.Setenv("UNIREEL_DATABASE", u.String())
}

// expireCmd ends the retention of a task at once, since no test can wait for days.
// No server may be running:
//
//	expire TASK
func expireCmd(ts *testscript.TestScript, _ bool, args []string) {
	driver := "sqlite"

	source := filepath.Join(ts.Getenv("UNIREEL_DATA"), "unireel.db")
	if dsn := ts.Getenv("UNIREEL_DATABASE"); dsn != "" {
		driver = "pgx"
		source = dsn
	}

	db, err := sql.Open(driver, source)
	ts.Check(err)

	defer func() { _ = db.Close() }()

	result, err := db.Exec("UPDATE task SET expires_at = 1 WHERE id = $1", args[0])
	ts.Check(err)

	if n, err := result.RowsAffected(); err != nil || n != 1 {
		ts.Fatalf("%d tasks have the id %s, want 1 (%v)", n, args[0], err)
	}
}
