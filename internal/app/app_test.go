package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig returns a configuration with a new data folder and a free port.
func testConfig(t *testing.T, flags ...string) config.Config {
	t.Helper()

	cfg, err := config.LoadFlagsOnly(append([]string{"--data=" + filepath.Join(t.TempDir(), "d"), "--addr=127.0.0.1:0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}

	return cfg
}

// forEachDatabase runs f with a configuration for each database.
func forEachDatabase(t *testing.T, f func(t *testing.T, cfg config.Config)) {
	t.Helper()
	storetest.EachDatabase(t, migrateDatabase, func(t *testing.T, at storetest.Location) {
		if at.Database == "" {
			f(t, testConfig(t))
			return
		}

		f(t, testConfig(t, "--database="+at.Database))
	})
}

func migrateDatabase(ctx context.Context, database string) error {
	cfg, err := config.LoadFlagsOnly("--database=" + database)
	if err == nil {
		_, _, err = Migrate(ctx, cfg)
	}

	return err
}

// syncBuffer is a buffer that is safe for concurrent use.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *syncBuffer) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.Write(b)
}

func (o *syncBuffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.String()
}

// startApp starts the server and returns its URL and a function that stops it.
func startApp(t *testing.T, cfg config.Config, out *syncBuffer) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())

	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, out) }()

	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()

	for range 4000 {
		if p, err := config.ReadProfile(cfg.Data); err == nil && strings.Contains(out.String(), "listens on") {
			return p.URL, func() {
				cancel()

				if err := <-ended; err != nil {
					t.Errorf("the server returned %v", err)
				}
			}
		}

		select {
		case err := <-ended:
			t.Fatalf("the server did not start: %v\n%s", err, out)
		case <-tick.C:
		}
	}

	cancel()
	t.Fatal("the server did not start in time")

	return "", nil
}

func TestRunServesAndShutsDownCleanly(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, cfg config.Config) {
		out := &syncBuffer{}
		url, stop := startApp(t, cfg, out)

		resp, err := http.Get(url + "/readyz")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("readyz: %v, %v", resp, err)
		}

		_ = resp.Body.Close()

		http.DefaultClient.CloseIdleConnections()

		// The operator reaches the running server through its socket; other users cannot.
		rt, done, err := AdminTransport(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}

		accounts := listAccounts(t, rt)
		if err := done(); err != nil || len(accounts) != 1 || accounts[0] != "default" {
			t.Errorf("accounts %v, %v", accounts, err)
		}

		if info, err := os.Stat(filepath.Join(cfg.Data, "unireel.sock")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the operator's socket: %v, %v", info, err)
		}

		if _, err := lockFolder(cfg.Data); !errors.Is(err, errLocked) {
			t.Errorf("a second process locked the folder: %v", err)
		}

		stop()

		if _, err := os.Stat(filepath.Join(cfg.Data, "unireel.sock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket was left behind: %v", err)
		}

		// When no server runs, AdminTransport locks the folder itself.
		if rt, done, err = AdminTransport(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}

		if accounts := listAccounts(t, rt); len(accounts) != 1 {
			t.Errorf("accounts %v", accounts)
		}

		if err := done(); err != nil {
			t.Error(err)
		}
	})
}

func listAccounts(t *testing.T, rt http.RoundTripper) []string {
	t.Helper()

	resp, err := (&http.Client{Transport: rt}).Get("http://operator/admin/v1/accounts")
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = resp.Body.Close() }()

	var list struct{ Data []struct{ Name string } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, a := range list.Data {
		names = append(names, a.Name)
	}

	return names
}

func TestFirstKeyIsPrintedOnceAndNotStored(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, cfg config.Config) {
		out := &syncBuffer{}
		_, stop := startApp(t, cfg, out)

		p, err := config.ReadProfile(cfg.Data)
		if err != nil {
			t.Fatal(err)
		}

		key := p.Key.Reveal()
		if !strings.Contains(out.String(), key) {
			t.Error("the first key was not shown")
		}

		stop()

		again := &syncBuffer{}
		_, stop = startApp(t, cfg, again)
		stop()

		if strings.Contains(again.String(), key) {
			t.Error("the first key was shown again")
		}

		if stored := storedKeys(t, cfg); !strings.Contains(stored, "key_") || strings.Contains(stored, key) {
			t.Errorf("the database contains the key itself, or none: %q", stored)
		}
	})
}

// storedKeys returns everything that the database stores about keys, as text.
func storedKeys(t *testing.T, cfg config.Config) (stored string) {
	t.Helper()

	if !cfg.Database.Set() {
		text, err := os.ReadFile(filepath.Join(cfg.Data, "unireel.db"))
		if err != nil {
			t.Fatal(err)
		}

		return string(text)
	}

	conn, err := pgx.Connect(t.Context(), cfg.Database.Reveal())
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = conn.Close(context.Background()) }()

	if err := conn.QueryRow(t.Context(), "SELECT STRING_AGG(k::text, ' ') FROM api_key AS k").Scan(&stored); err != nil {
		t.Fatal(err)
	}

	return stored
}

// Two servers that start at the same time on a new database create only one first
// account, and only one of them shows its key.
func TestTwoServersShareDatabase(t *testing.T) {
	database := "--database=" + storetest.MigratedDatabase(t, migrateDatabase)
	cfgs := []config.Config{testConfig(t, database), testConfig(t, database)}
	outs := []*syncBuffer{{}, {}}
	urls := make([]string, 2)
	stops := make([]func(), 2)

	var wg sync.WaitGroup
	for i := range cfgs {
		wg.Go(func() { urls[i], stops[i] = startApp(t, cfgs[i], outs[i]) })
	}

	wg.Wait()

	shown := 0

	for i := range cfgs {
		if urls[i] == "" {
			t.Fatal("the server did not start")
		}

		if p, err := config.ReadProfile(cfgs[i].Data); err == nil && p.Key.Set() && strings.Contains(outs[i].String(), p.Key.Reveal()) {
			shown++
		}

		rt, done, err := AdminTransport(t.Context(), cfgs[i])
		if err != nil {
			t.Fatal(err)
		}

		if accounts := listAccounts(t, rt); len(accounts) != 1 {
			t.Errorf("accounts %v", accounts)
		}

		if err := done(); err != nil {
			t.Error(err)
		}
	}

	if shown != 1 {
		t.Errorf("%d servers showed a first key", shown)
	}

	for _, stop := range stops {
		stop()
	}
}

func TestCurrencyCannotChange(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, cfg config.Config) {
		out := &syncBuffer{}
		_, stop := startApp(t, cfg, out)
		stop()

		cfg.Currency = "CNY"
		if err := Run(t.Context(), cfg, &syncBuffer{}); err == nil || !strings.Contains(err.Error(), "USD") {
			t.Errorf("another currency: %v", err)
		}
	})
}

func TestIDsAreMonotonic(t *testing.T) {
	i := newIDs(func() time.Time { return time.UnixMilli(1) })
	last := ""

	for range 1000 {
		id := i.New("task")
		if id <= last || len(id) != len("task_")+26 {
			t.Fatalf("%s after %s", id, last)
		}

		last = id
	}
}
