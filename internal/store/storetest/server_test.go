package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("UNIREEL_STORETEST_CHILD"); path != "" {
		runChild(path)
	}

	goleak.VerifyTestMain(m)
}

// queryInt connects and returns one number.
func queryInt(t testing.TB, dsn, text string) (n int64, err error) {
	t.Helper()

	ctx := context.Background()

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()

	return n, conn.QueryRow(ctx, text).Scan(&n)
}

func execSQL(t testing.TB, dsn, text string) {
	t.Helper()

	ctx := context.Background()

	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()

	if _, err := conn.Exec(ctx, text); err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseIsEmptyAndOwned(t *testing.T) {
	a := Database(t)
	b := Database(t)
	execSQL(t, a, "CREATE TABLE x (n BIGINT)")

	if _, err := queryInt(t, b, "SELECT COUNT(*) FROM x"); err == nil {
		t.Error("a table of one database is in another")
	}

	if n, err := queryInt(t, a, "SELECT COUNT(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"); err != nil || n != 0 {
		t.Errorf("%d, %v: tests must not run as a superuser, which no installation should need", n, err)
	}

	if n, err := queryInt(t, a, "SELECT COUNT(*) FROM (SELECT 1 WHERE 'b' > 'A' AND 'a' < 'B') AS x"); err != nil || n != 1 {
		t.Errorf("%d, %v: databases must not sort by bytes, since few installations do", n, err)
	}
}

func TestDatabaseIsDroppedOnCleanup(t *testing.T) {
	var dsn string

	t.Run("one", func(t *testing.T) {
		dsn = Database(t)
		execSQL(t, dsn, "SELECT 1")
	})

	if _, err := queryInt(t, dsn, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("the error is %v", err)
	}
}

func TestMigrationRunsOncePerServer(t *testing.T) {
	s := NewServer(t)
	calls := 0

	migrate := func(ctx context.Context, dsn string) error {
		calls++
		if calls == 1 {
			return errors.New("not yet")
		}

		execSQL(t, dsn, "CREATE TABLE x (n BIGINT)")

		return nil
	}
	if err := s.createTemplate(migrate); err == nil {
		t.Error("a failed migration left a template")
	}

	for range 2 {
		if err := s.createTemplate(migrate); err != nil {
			t.Fatal(err)
		}

		dsn, drop, err := s.createDatabase(t.Context(), templateName)
		if err != nil {
			t.Fatal(err)
		}

		if n, err := queryInt(t, dsn, "SELECT COUNT(*) FROM x"); err != nil || n != 0 {
			t.Errorf("%d, %v", n, err)
		}

		if err := drop(); err != nil {
			t.Error(err)
		}
	}

	if calls != 2 {
		t.Errorf("migrated %d times", calls)
	}
}

func TestServerKeepsCommittedDataAfterCrash(t *testing.T) {
	s := NewServer(t)
	dsn := s.Database(t)
	execSQL(t, dsn, "CREATE TABLE x (n BIGINT); INSERT INTO x VALUES (7)")
	s.Stop(t)

	if _, err := queryInt(t, dsn, "SELECT n FROM x"); err == nil {
		t.Error("a stopped server answers")
	}

	s.Start(t)

	if n, err := queryInt(t, dsn, "SELECT n FROM x"); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestServerSettings(t *testing.T) {
	s := NewServer(t, "max_connections=23")
	if n, err := queryInt(t, s.Database(t), "SELECT current_setting('max_connections')::BIGINT"); err != nil || n != 23 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestLaunchDurableServer(t *testing.T) {
	s, err := Launch(t.Context(), Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}

	dsn, drop, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	const durable = "SELECT COUNT(*) FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'on'"
	if n, err := queryInt(t, dsn, durable); err != nil || n != 3 {
		t.Errorf("%d of 3, %v", n, err)
	}

	if err := drop(); err != nil {
		t.Error(err)
	}

	if _, err := queryInt(t, dsn, "SELECT 1"); err == nil {
		t.Error("a dropped database answers")
	}

	if err := s.Close(); err != nil {
		t.Error(err)
	}

	if _, err := os.Stat(s.Folder()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}

func TestLaunchReportsStartError(t *testing.T) {
	_, err := Launch(t.Context(), Options{Settings: []string{"no_such_setting=1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error is %v", err)
	}
}

// runChild is what this test program does as the child of
// TestKilledProcessLeavesNothing: it starts a server, writes its folder to path,
// and waits to be killed.
func runChild(path string) {
	s, err := shared()
	if err != nil {
		panic(err)
	}

	if err := os.WriteFile(path+".new", []byte(s.folder), 0o600); err != nil {
		panic(err)
	}

	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}

	select {}
}

// TestKilledProcessLeavesNothing kills a test process and checks that neither
// the server nor its folder remains.
func TestKilledProcessLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	cmd := exec.CommandContext(t.Context(), os.Args[0])

	cmd.Env = append(os.Environ(), "UNIREEL_STORETEST_CHILD="+path)
	cmd.Stderr = os.Stderr

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()

	var folder []byte

	eventually(t, "the server is running", func() (err error) { folder, err = os.ReadFile(path); return err })

	pid, err := (&Server{folder: string(folder)}).PID()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	_ = cmd.Wait()

	eventually(t, "the server is gone", func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return errors.New("it is running")
		}

		return nil
	})
	eventually(t, "the folder is gone", func() error {
		if _, err := os.Stat(string(folder)); !errors.Is(err, os.ErrNotExist) {
			return errors.New("it exists")
		}

		return nil
	})
}

// eventually polls, since nothing signals a change in another process.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()

	deadline := time.After(serverTimeout)

	for {
		err := f()
		if err == nil {
			return
		}

		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
