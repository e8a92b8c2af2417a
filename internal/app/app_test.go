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

// configured is a configuration on a fresh data folder and a free port.
func configured(t *testing.T, flags ...string) config.Config {
	t.Helper()

	cfg, err := config.Plain(append([]string{"--data=" + filepath.Join(t.TempDir(), "d"), "--addr=127.0.0.1:0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}

	return cfg
}

// onEach runs f with a configuration for each database.
func onEach(t *testing.T, f func(t *testing.T, cfg config.Config)) {
	t.Helper()
	storetest.Each(t, migrated, func(t *testing.T, at storetest.Place) {
		if at.Database == "" {
			f(t, configured(t))
			return
		}

		f(t, configured(t, "--database="+at.Database))
	})
}

func migrated(ctx context.Context, database string) error {
	cfg, err := config.Plain("--database=" + database)
	if err == nil {
		_, _, err = Migrate(ctx, cfg)
	}

	return err
}

// output may be written while it is read.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.text.String()
}

// running starts the house and returns its address and what ends it.
func running(t *testing.T, cfg config.Config, out *output) (url string, stop func()) {
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
					t.Errorf("it ended with %v", err)
				}
			}
		}

		select {
		case err := <-ended:
			t.Fatalf("it did not start: %v\n%s", err, out)
		case <-tick.C:
		}
	}

	cancel()
	t.Fatal("it did not start in time")

	return "", nil
}

func TestTheHouseRunsAndLeavesNothingRunning(t *testing.T) {
	onEach(t, func(t *testing.T, cfg config.Config) {
		out := &output{}
		url, stop := running(t, cfg, out)

		resp, err := http.Get(url + "/readyz")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("readyz: %v, %v", resp, err)
		}

		_ = resp.Body.Close()

		http.DefaultClient.CloseIdleConnections()

		// The operator reaches the running house through its socket, whoever else does not.
		rt, done, err := Operator(t.Context(), cfg)
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
			t.Errorf("a second process took the folder: %v", err)
		}

		stop()

		if _, err := os.Stat(filepath.Join(cfg.Data, "unireel.sock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket was left: %v", err)
		}

		// And when nothing runs, by taking the folder itself.
		if rt, done, err = Operator(t.Context(), cfg); err != nil {
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

func TestTheFirstKeyIsShownOnceAndNeverWritten(t *testing.T) {
	onEach(t, func(t *testing.T, cfg config.Config) {
		out := &output{}
		_, stop := running(t, cfg, out)

		p, err := config.ReadProfile(cfg.Data)
		if err != nil {
			t.Fatal(err)
		}

		key := p.Key.Reveal()
		if !strings.Contains(out.String(), key) {
			t.Error("the first key was not shown")
		}

		stop()

		again := &output{}
		_, stop = running(t, cfg, again)
		stop()

		if strings.Contains(again.String(), key) {
			t.Error("the first key was shown again")
		}

		if kept := everyKey(t, cfg); !strings.Contains(kept, "key_") || strings.Contains(kept, key) {
			t.Errorf("the database has the key itself, or none: %q", kept)
		}
	})
}

// everyKey is all that the database keeps of keys, as it is kept.
func everyKey(t *testing.T, cfg config.Config) (kept string) {
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

	if err := conn.QueryRow(t.Context(), "SELECT STRING_AGG(k::text, ' ') FROM api_key AS k").Scan(&kept); err != nil {
		t.Fatal(err)
	}

	return kept
}

// Two servers that start at the same time on a new database make one first account,
// and one of them shows its key.
func TestTwoHousesShareADatabase(t *testing.T) {
	database := "--database=" + storetest.Migrated(t, migrated)
	cfgs := []config.Config{configured(t, database), configured(t, database)}
	outs := []*output{{}, {}}
	urls := make([]string, 2)
	stops := make([]func(), 2)

	var both sync.WaitGroup
	for i := range cfgs {
		both.Go(func() { urls[i], stops[i] = running(t, cfgs[i], outs[i]) })
	}

	both.Wait()

	shown := 0

	for i := range cfgs {
		if urls[i] == "" {
			t.Fatal("it did not start")
		}

		if p, err := config.ReadProfile(cfgs[i].Data); err == nil && p.Key.Set() && strings.Contains(outs[i].String(), p.Key.Reveal()) {
			shown++
		}

		rt, done, err := Operator(t.Context(), cfgs[i])
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

func TestTheCurrencyIsForLife(t *testing.T) {
	onEach(t, func(t *testing.T, cfg config.Config) {
		out := &output{}
		_, stop := running(t, cfg, out)
		stop()

		cfg.Currency = "CNY"
		if err := Run(t.Context(), cfg, &output{}); err == nil || !strings.Contains(err.Error(), "USD") {
			t.Errorf("another currency: %v", err)
		}
	})
}

func TestIDsGrow(t *testing.T) {
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
