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

// cluster is a group of identical servers on one PostgreSQL and one S3 store, with
// one simulated supplier that has several accounts.
type cluster struct {
	t         *testing.T
	sim       *dashscopesim.Sim
	nodes     []*node
	mu        sync.Mutex
	accepting map[*node]bool // the servers that a proxy would send requests to
}

// supplierAccounts names the upstreams. Each is an account with a key of its own.
var supplierAccounts = [...]string{"red", "green", "blue"}

func newCluster(t *testing.T, size int) *cluster {
	var keys []dashscopesim.Key
	for i, name := range supplierAccounts {
		keys = append(keys, dashscopesim.Key{Secret: "sk-" + name, ID: fmt.Sprint(70 + i), Account: name})
	}

	sim := dashscopesim.New(dashscopesim.Options{
		Seed:      1,
		Keys:      keys,
		RenderMin: 300 * time.Millisecond,
		RenderMax: 900 * time.Millisecond,
		Limits: dashscopesim.Limits{
			Submits:    dashscopesim.Unlimited,
			InProgress: dashscopesim.Unlimited,
			Queries:    dashscopesim.Unlimited,
		},
	})
	c := &cluster{t: t, accepting: map[*node]bool{}, sim: sim}

	supplier := httptest.NewServer(sim)
	t.Cleanup(supplier.Close)

	bucket := s3test.Start(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "unireel.yaml")

	text := "upstreams:\n"
	for _, name := range supplierAccounts {
		text += fmt.Sprintf("  - {name: %s, provider: dashscope, base_url: %q, api_key: sk-%s}\n", name, supplier.URL, name)
	}

	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	env := []string{
		"UNIREEL_CONFIG=" + config,
		"UNIREEL_DATABASE=" + storetest.Database(t),
		"UNIREEL_BLOB=s3://" + bucket.Bucket,
		"UNIREEL_S3_ENDPOINT=" + bucket.Endpoint,
		"UNIREEL_S3_ACCESS_KEY=" + bucket.AccessKey,
		"UNIREEL_S3_SECRET_KEY=" + bucket.SecretKey,
		"UNIREEL_SHUTDOWN_GRACE=30s",
	}

	migrate := exec.Command(binary, "migrate")

	migrate.Env = append([]string{"HOME=" + dir, "UNIREEL_DATA=" + dir}, env...)
	if output, err := migrate.CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, output)
	}

	for i := range size {
		c.nodes = append(c.nodes, &node{t: t, dataDir: filepath.Join(dir, fmt.Sprint("n", i)), env: env})
	}

	for _, n := range c.nodes {
		c.start(n)
	}

	return c
}

func (c *cluster) start(n *node) {
	n.start("")
	c.setAccepting(n, true)
}

func (c *cluster) setAccepting(n *node, accepting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.accepting[n] = accepting
}

// restart stops a server and starts it again, as a deployment does: the proxy stops
// sending requests to it first.
func (c *cluster) restart(n *node) {
	c.setAccepting(n, false)
	n.stop()
	c.start(n)
}

// do sends a request to the i-th server, or to the next one that accepts requests
// and responds, as a proxy does.
func (c *cluster) do(i int, method, path, body string, header ...string) (v taskResponse, err error) {
	for attempt := range 4 * len(c.nodes) {
		c.mu.Lock()
		n := c.nodes[(i+attempt)%len(c.nodes)]
		accepting := c.accepting[n]
		c.mu.Unlock()

		if !accepting {
			continue
		}

		if v, err = n.do(method, path, body, header...); err == nil || !isConnectionError(err) {
			return v, err
		}
	}

	return v, errors.Join(errors.New("no server responded"), err)
}

// createTasks creates n tasks one after another, each at the next server. Before the
// i-th it starts before[i] in the background, if there is one. It returns the tasks'
// ids by prompt.
func (c *cluster) createTasks(n int, before map[int]func()) map[string]string {
	c.t.Helper()

	var background sync.WaitGroup
	defer background.Wait()

	ids := map[string]string{}

	for i := range n {
		if action := before[i]; action != nil {
			background.Go(action)
		}

		prompt := fmt.Sprint("task ", i)
		body := fmt.Sprintf(`{"model":"wan2.6-video-720p","prompt":%q,"duration":2}`, prompt)

		v, err := c.do(i, "POST", "/v1/video/generations", body, "Idempotency-Key", prompt, "Content-Type", "application/json")
		if err != nil {
			c.t.Fatalf("create %s: %v", prompt, err)
		}

		ids[prompt] = v.ID

		if i%3 == 0 { // a customer who waits for the task at another server
			background.Go(func() {
				if _, err := c.do(i+1, "GET", "/v1/videos/"+v.ID+"?wait=20", ""); err != nil {
					c.t.Errorf("wait for %s: %v", prompt, err)
				}
			})
		}
	}

	return ids
}

// checkTasks waits until every task has ended, and checks that each was completed,
// submitted once and charged once.
func (c *cluster) checkTasks(ids map[string]string) {
	c.t.Helper()

	for prompt, id := range ids {
		v := taskResponse{Status: "queued"}

		for range 8 {
			var err error
			if v, err = c.do(len(id), "GET", "/v1/videos/"+id+"?wait=30", ""); err != nil {
				c.t.Fatal(err)
			}

			if v.Status != "queued" && v.Status != "in_progress" {
				break
			}
		}

		if v.Status != "completed" || v.Usage.Cost != "0.20" {
			c.t.Errorf("%s is %s and costs %s, want completed and 0.20 (%s)", prompt, v.Status, v.Usage.Cost, v.Error)
		}
	}

	submitted := map[string]int{}

	for _, s := range c.sim.Submissions() {
		if s.Accepted {
			submitted[s.Prompt]++
		}
	}

	for prompt := range ids {
		if submitted[prompt] != 1 {
			c.t.Errorf("%q was submitted %d times, want once", prompt, submitted[prompt])
		}
	}

	if len(submitted) != len(ids) {
		c.t.Errorf("the supplier accepted %d different tasks, want %d", len(submitted), len(ids))
	}

	c.nodes[0].checkLedger(fmt.Sprintf("%d.%02d", 100-(len(ids)*20+99)/100, (100-len(ids)*20%100)%100))
}

// TestRollingRestartLosesNoTask restarts three servers one after another while
// customers create tasks: no create fails, no task is lost, and each is submitted
// once.
func TestRollingRestartLosesNoTask(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ids := c.createTasks(60, map[int]func(){10: func() {
		for _, n := range c.nodes {
			c.restart(n)
		}
	}})
	c.checkTasks(ids)

	for _, n := range c.nodes {
		n.stop()
	}
}

// TestOtherServersFinishTasksOfKilledServer kills one of three servers while it has
// tasks: the others finish them and submit none of them again.
func TestOtherServersFinishTasksOfKilledServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ids := c.createTasks(40, map[int]func(){15: func() {
		c.setAccepting(c.nodes[1], false)
		_ = c.nodes[1].cmd.Process.Kill()
		<-c.nodes[1].exited
	}})
	c.checkTasks(ids)
	c.nodes[0].stop()
	c.nodes[2].stop()
}
