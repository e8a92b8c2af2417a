package script

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers that elapse needs
	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"
)

// migrate is `unireel migrate`.
func migrate(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, binary, "migrate")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(binary), "UNIREEL_DATABASE=" + database}
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unireel migrate: %w\n%s", err, said)
	}
	return nil
}

// elapseCmd is: elapse TASK: the task's retention is over, for no test waits for
// days. No server may be running.
func elapseCmd(ts *testscript.TestScript, _ bool, args []string) {
	driver, source := "sqlite", filepath.Join(ts.Getenv("UNIREEL_DATA"), "unireel.db")
	if dsn := ts.Getenv("UNIREEL_DATABASE"); dsn != "" {
		driver, source = "pgx", dsn
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
