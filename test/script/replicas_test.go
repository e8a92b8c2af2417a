package script

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob/s3test"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/store/storetest"
)

// fleet is identical servers on one PostgreSQL and one S3 store, and a supplier
// at which they have several accounts.
type fleet struct {
	t     *testing.T
	sim   *dashscopesim.Sim
	nodes []*node
	mu    sync.Mutex
	up    map[*node]bool // takes requests, as a proxy before them knows
}

// accountsAtSupplier are the upstreams' names; each has a key of its own.
var accountsAtSupplier = [...]string{"red", "green", "blue"}

func newFleet(t *testing.T, size int) *fleet {
	var keys []dashscopesim.Key
	for i, name := range accountsAtSupplier {
		keys = append(keys, dashscopesim.Key{Secret: "sk-" + name, ID: fmt.Sprint(70 + i), Account: name})
	}

	f := &fleet{t: t, up: map[*node]bool{}, sim: dashscopesim.New(dashscopesim.Options{
		Seed: 1, Keys: keys, RenderMin: 300 * time.Millisecond, RenderMax: 900 * time.Millisecond,
		Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: dashscopesim.Unlimited, Queries: dashscopesim.Unlimited},
	})}
	supplier := httptest.NewServer(f.sim)
	t.Cleanup(supplier.Close)
	bucket := s3test.Start(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "unireel.yaml")

	text := "upstreams:\n"
	for _, name := range accountsAtSupplier {
		text += fmt.Sprintf("  - {name: %s, provider: dashscope, base_url: %q, api_key: sk-%s}\n", name, supplier.URL, name)
	}

	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	env := []string{
		"UNIREEL_CONFIG=" + config, "UNIREEL_DATABASE=" + storetest.Database(t), "UNIREEL_BLOB=s3://" + bucket.Bucket,
		"UNIREEL_S3_ENDPOINT=" + bucket.Endpoint, "UNIREEL_S3_ACCESS_KEY=" + bucket.AccessKey, "UNIREEL_S3_SECRET_KEY=" + bucket.SecretKey,
		"UNIREEL_SHUTDOWN_GRACE=30s",
	}
	migrate := exec.Command(binary, "migrate")

	migrate.Env = append([]string{"HOME=" + dir, "UNIREEL_DATA=" + dir}, env...)
	if said, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, said)
	}

	for i := range size {
		f.nodes = append(f.nodes, &node{t: t, data: filepath.Join(dir, fmt.Sprint("n", i)), env: env})
	}

	for _, n := range f.nodes {
		f.start(n)
	}

	return f
}

func (f *fleet) start(n *node) {
	n.start("")
	f.takes(n, true)
}

func (f *fleet) takes(n *node, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.up[n] = yes
}

// roll ends a server as a deployment does (the proxy first sends nobody there any
// more) and starts it again.
func (f *fleet) roll(n *node) {
	f.takes(n, false)
	n.stop()
	f.start(n)
}

// ask sends a request to the i-th of the servers that are up, and to the next one
// when that has gone meanwhile, as a proxy does.
func (f *fleet) ask(i int, method, path, body string, header ...string) (v seenVideo, err error) {
	for try := range 4 * len(f.nodes) {
		f.mu.Lock()
		n := f.nodes[(i+try)%len(f.nodes)]
		up := f.up[n]
		f.mu.Unlock()

		if !up {
			continue
		}

		if v, err = n.call(method, path, body, header...); err == nil || !gone(err) {
			return v, err
		}
	}

	return v, errors.Join(errors.New("no server is up"), err)
}

// orders sends n orders one after the other, from server to server, and calls at
// before some of them. It returns the tasks' ids by prompt.
func (f *fleet) orders(n int, at map[int]func()) map[string]string {
	f.t.Helper()

	var side sync.WaitGroup
	defer side.Wait()

	ids := map[string]string{}

	for i := range n {
		if do := at[i]; do != nil {
			side.Go(do)
		}

		prompt := fmt.Sprint("order ", i)
		body := fmt.Sprintf(`{"model":"wan2.6-video-720p","prompt":%q,"duration":2}`, prompt)

		v, err := f.ask(i, "POST", "/v1/video/generations", body, "Idempotency-Key", prompt, "Content-Type", "application/json")
		if err != nil {
			f.t.Fatalf("%s was not taken: %v", prompt, err)
		}

		ids[prompt] = v.ID

		if i%3 == 0 { // a customer who waits, at another server than the one that made it
			side.Go(func() {
				if _, err := f.ask(i+1, "GET", "/v1/videos/"+v.ID+"?wait=20", ""); err != nil {
					f.t.Errorf("%s could not be waited for: %v", prompt, err)
				}
			})
		}
	}

	return ids
}

// check waits for every order's end: each completed, submitted once, paid once.
func (f *fleet) check(ids map[string]string) {
	f.t.Helper()

	for prompt, id := range ids {
		v := seenVideo{Status: "queued"}

		for range 8 {
			var err error
			if v, err = f.ask(len(id), "GET", "/v1/videos/"+id+"?wait=30", ""); err != nil {
				f.t.Fatal(err)
			}

			if v.Status != "queued" && v.Status != "in_progress" {
				break
			}
		}

		if v.Status != "completed" || v.Usage.Cost != "0.20" {
			f.t.Errorf("%s ended %s for %s (%s)", prompt, v.Status, v.Usage.Cost, v.Error)
		}
	}

	times := map[string]int{}

	for _, s := range f.sim.Submissions() {
		if s.Accepted {
			times[s.Prompt]++
		}
	}

	for prompt := range ids {
		if times[prompt] != 1 {
			f.t.Errorf("%q was submitted %d times", prompt, times[prompt])
		}
	}

	if len(times) != len(ids) {
		f.t.Errorf("the supplier saw %d orders of %d", len(times), len(ids))
	}

	f.nodes[0].books(fmt.Sprintf("%d.%02d", 100-(len(ids)*20+99)/100, (100-len(ids)*20%100)%100))
}

// Three servers are restarted one after the other while orders come in: none is
// refused, none is lost, each is made once.
func TestARollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	ids := f.orders(60, map[int]func(){10: func() {
		for _, n := range f.nodes {
			f.roll(n)
		}
	}})
	f.check(ids)

	for _, n := range f.nodes {
		n.stop()
	}
}

// A server dies in the middle of its work: the others make what it had, and make
// nothing twice.
func TestTheOthersFinishWhatAKilledServerHad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	ids := f.orders(40, map[int]func(){15: func() {
		f.takes(f.nodes[1], false)
		_ = f.nodes[1].cmd.Process.Kill()
		<-f.nodes[1].done
	}})
	f.check(ids)
	f.nodes[0].stop()
	f.nodes[2].stop()
}
