package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/fs"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sampleVideo returns a real video of 2 s, 1280*720, with sound. It is made once.
var sampleVideo = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "clip-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	out := filepath.Join(dir, "clip.mp4")

	output, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=c=teal:s=1280x720:r=30:d=2", "-f", "lavfi", "-i", "sine=d=2",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", "-shortest", out).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ffmpeg (install it with: apt-get install ffmpeg): %w: %s", err, output)
	}

	return os.ReadFile(out)
})

// harness is everything that a dispatch needs, on a real database and a real folder,
// inside a synctest bubble with a fake clock.
type harness struct {
	t               *testing.T
	dir             string
	database        string // a PostgreSQL database; "" is a SQLite file in dir
	store           *store.Store
	blobs           blob.Store
	catalog         *catalog.Catalog
	fetcher         *fetch.Fetcher
	supplier        *fakeSupplier
	upstreams       []upstream.Config
	buildUpstream   func(string) (upstream.Config, error)
	previewFallback bool
	seed            uint64
	timeout         time.Duration
	retention       time.Duration
	history         time.Duration

	ids     atomic.Int64
	lookups atomic.Int64 // of host names
	d       *Engine
	stop    context.CancelFunc
	done    chan error

	crashAt    string // fail point at which the process crashes; "" is none
	mu         sync.Mutex
	crashed    chan struct{} // closed when the process has crashed
	dead       bool
	failPoints map[string]int
	registry   *prometheus.Registry
}

type storeTx = *store.Tx

// The times and counts of the rules that these tests go by.
const (
	minListDelay         = 120 * time.Second // rules, "Recovery": from the moment at which the outcome became unknown to either of two lists
	minListInterval      = 30 * time.Second  // between the two lists
	recoveryTimeout      = 30 * time.Minute
	orphanScanInterval   = 10 * time.Minute
	breakerThreshold     = 5 // consecutive failures
	breakerMaxSuspension = 10 * time.Minute
	maxFetchTries        = 3
)

type noSamples struct{}

func (noSamples) Sample(string) (string, func() (blob.Reader, error), bool) { return "", nil, false }

// withHarness runs a test in a synctest bubble with its own SQLite file.
func withHarness(t *testing.T, test func(*harness)) {
	t.Helper()
	withHarnessOn(t, storetest.Location{}, test)
}

// withEachDatabase is withHarness on each kind of database.
func withEachDatabase(t *testing.T, test func(*harness)) {
	t.Helper()

	tables := func(ctx context.Context, database string) error {
		_, _, err := store.Migrate(ctx, store.Options{Database: database})
		return err
	}
	storetest.EachUnlessRace(t, tables, func(t *testing.T, at storetest.Location) { withHarnessOn(t, at, test) })
}

// seeds returns how many of the n seeds of a property test are run: fewer under the race
// detector, which is slow and only needs the code to run.
func seeds(n int) int {
	if storetest.RaceEnabled {
		return (n + 2) / 3
	}

	return n
}

// databasesForSeed returns withEachDatabase for the first seeds of a property test and
// withHarness for the others: the databases differ in statements, not in outcomes.
func databasesForSeed(seed int) func(*testing.T, func(*harness)) {
	if seed < 2 {
		return withEachDatabase
	}

	return withHarness
}

func withHarnessOn(t *testing.T, at storetest.Location, test func(*harness)) {
	t.Helper()

	video, err := sampleVideo()
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := &harness{
			t:          t,
			dir:        dir,
			database:   at.Database,
			supplier:   newFakeSupplier(video),
			timeout:    24 * time.Hour,
			retention:  720 * time.Hour,
			failPoints: map[string]int{},
		}
		h.upstreams = []upstream.Config{{
			Name: "up", Driver: provider.Driver{Name: "dashscope", Capabilities: provider.Capabilities{PollInterval: [2]time.Duration{2 * time.Second, 15 * time.Second}}},
			Provider: h.supplier, Limits: upstream.Limits{SubmitsPerSecond: 5, InProgress: 5, QueriesPerSecond: 20},
		}}

		h.build()
		defer h.close()

		test(h)
	})
}

func (h *harness) build() {
	h.t.Helper()

	ctx := context.Background()

	var err error
	if h.store, err = store.Open(ctx, store.Options{
		Path: filepath.Join(h.dir, "unireel.db"), Database: h.database, TestClock: true, Readers: 2, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}); err != nil {
		h.t.Fatal(err)
	}

	if h.blobs, err = fs.Open(filepath.Join(h.dir, "blobs"), time.Now); err != nil {
		h.t.Fatal(err)
	}

	if h.catalog, err = catalog.Load(catalog.Options{}); err != nil {
		h.t.Fatal(err)
	}

	media := filepath.Join(h.dir, "media")
	for _, d := range []string{media, filepath.Join(h.dir, "scratch")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			h.t.Fatal(err)
		}
	}

	writePNG(h.t, filepath.Join(media, "face.png"), 400)
	writePNG(h.t, filepath.Join(media, "tiny.png"), 40)

	for name, data := range map[string][]byte{"clip.mp4": h.supplier.video, "text.mp4": []byte("this is not a video, despite its name")} {
		if err := os.WriteFile(filepath.Join(media, name), data, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}

	if h.fetcher, err = fetch.New(fetch.Options{Resolver: h, Map: []fetch.Mapping{{Prefix: "https://example.com/", Folder: media}}}); err != nil {
		h.t.Fatal(err)
	}
}

func writePNG(t *testing.T, path string, side int) {
	t.Helper()

	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side {
		img.Set(i, i, color.RGBA{R: 200, A: 255})
	}

	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}

	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}

	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}

	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func (h *harness) close() {
	if h.stop != nil {
		h.shutdown()
	}

	if err := h.fetcher.Close(); err != nil {
		h.t.Error(err)
	}

	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *harness) newID(prefix string) string { return fmt.Sprintf("%s_%020d", prefix, h.ids.Add(1)) }

// options returns the options of the harness's dispatch.
func (h *harness) options() Options {
	return Options{
		Store:           h.store,
		Blobs:           h.blobs,
		Fetch:           h.fetcher,
		Catalog:         h.catalog,
		Samples:         noSamples{},
		Upstreams:       h.upstreams,
		BuildUpstream:   h.buildUpstream,
		PreviewFallback: h.previewFallback,
		ScratchDir:      filepath.Join(h.dir, "scratch"),
		Clock:           clock.New(time.Now, h.seed),
		NewID:           h.newID,
		Log:             h.log(),
		Registry:        h.registry,
		Retention:       h.retention,
		History:         h.history,
		TaskTimeout:     h.timeout,
		FailPoint:       h.point,
	}
}

// start starts a dispatch, as a new process would.
func (h *harness) start() {
	h.t.Helper()
	h.registry = prometheus.NewRegistry()
	h.crashed = make(chan struct{})
	h.dead = false
	h.supplier.mu.Lock()
	h.supplier.unreachable = false
	h.supplier.mu.Unlock()

	d, err := New(context.Background(), h.options())
	if err != nil {
		h.t.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	h.d = d
	h.stop = stop
	h.done = make(chan error, 1)

	ended := h.done
	go func() { ended <- d.Run(ctx) }()
}

func (h *harness) log() *slog.Logger {
	if os.Getenv("DISPATCH_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}

	return slog.New(slog.DiscardHandler)
}

// shutdown stops the dispatch as SIGTERM does. It must stop within five minutes.
func (h *harness) shutdown() {
	h.t.Helper()
	h.stop()

	h.stop = nil
	select {
	case err := <-h.done:
		if err != nil {
			h.t.Errorf("Run: %v", err)
		}
	case <-time.After(5 * time.Minute):
		h.t.Fatal("Run did not return within five minutes of the shutdown")
	}
}

// point is called at every fail point. At crashAt the process crashes: the calling
// goroutine ends, and the others cannot reach a supplier any more.
func (h *harness) point(name string) {
	h.mu.Lock()

	h.failPoints[name]++
	if !h.dead && name == h.crashAt {
		h.dead = true
		h.supplier.mu.Lock()
		h.supplier.unreachable = true
		h.supplier.mu.Unlock()
		close(h.crashed)
	}

	dead := h.dead
	h.mu.Unlock()

	if dead {
		runtime.Goexit()
	}
}

// runUntilCrash starts a dispatch, waits until it crashes at a fail point, and stops it.
func (h *harness) runUntilCrash(point string) {
	h.t.Helper()
	h.crashAt = point
	h.start()

	select {
	case <-h.crashed:
	case <-time.After(time.Hour):
		h.t.Fatalf("the fail point %s was never reached; reached: %v", point, h.failPoints)
	}

	h.crashAt = ""
	h.shutdown()
}

// LookupNetIP resolves no name: the tests use no network.
func (h *harness) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	h.lookups.Add(1)
	return nil, &net.DNSError{Err: "no answer", Name: host, IsTemporary: true, IsTimeout: true}
}

// addAccount adds an account with credit.
func (h *harness) addAccount(id string, weight, limit int64) {
	h.t.Helper()
	h.write(func(ctx context.Context, tx *store.Tx) error {
		if ok, err := tx.InsertAccount(ctx, account.Account{ID: id, Name: id, Weight: weight, Cap: limit}); err != nil || !ok {
			return fmt.Errorf("insert account: %v %w", ok, err)
		}

		return tx.SaveBalance(ctx, id, credit.Balance{Granted: 1_000_000_000}, credit.Entry{ID: "grant_" + id, Account: id, Kind: credit.KindGrant, Amount: 1_000_000_000, Ref: "start"})
	})
}

func (h *harness) write(f func(context.Context, *store.Tx) error) {
	h.t.Helper()

	ctx := context.Background()
	if err := h.store.Write(ctx, func(tx *store.Tx) error { return f(ctx, tx) }); err != nil {
		h.t.Fatal(err)
	}
}

// textRequest is a request for a video from a prompt alone.
func textRequest(prompt string) catalog.Request {
	return catalog.Request{
		Model: "wan2.6-video-720p", Resolved: "wan2.6-video-720p", Mode: catalog.T2V, Prompt: prompt, Size: "1280*720", RequestedSize: "1280*720",
		Width: 1280, Height: 720, Seconds: 2, Sound: true, ShotType: "single", Seed: -1,
	}
}

// referenceRequest is a request for a video from references.
func referenceRequest(prompt string, inputs ...string) catalog.Request {
	r := textRequest(prompt)
	r.Model = "wan2.6-r2v-720p"
	r.Resolved = "wan2.6-r2v-720p"
	r.Mode = catalog.R2V

	for i, input := range inputs {
		kind := catalog.Image
		if filepath.Ext(input) == ".mp4" {
			kind = catalog.Video
		}

		r.References = append(r.References, catalog.Reference{Kind: kind, Input: input, Param: fmt.Sprintf("references[%d]", i)})
	}

	return r
}

// createTask does what package checkout does: it writes the hold, the task and its event
// in one transaction.
func (h *harness) createTask(acct string, r catalog.Request) string {
	h.t.Helper()

	quote, err := h.catalog.Price(r)
	if err != nil {
		h.t.Fatal(err)
	}

	body, err := json.Marshal(r)
	if err != nil {
		h.t.Fatal(err)
	}

	t := task.Task{
		ID: h.newID("task"), Account: acct, Version: 1, State: task.Preparing, Object: "video", Model: r.Model, ResolvedModel: r.Resolved, Prompt: r.Prompt, Size: r.RequestedSize,
		Seconds: int64(r.Seconds), Preview: r.Preview, Hold: quote.Hold, UnitPrice: quote.UnitPrice, Billing: string(quote.Billing), CreatedAt: time.Now().UnixMilli(), StartBy: r.StartBy * 1000,
	}
	if len(r.References) == 0 && r.Audio == nil && h.d != nil {
		queue, f := h.d.QueueFor(r)
		if f != nil {
			h.t.Fatal(f)
		}

		t.State = task.Queued
		t.Queue = queue
		t.QueuedAt = t.CreatedAt
	}

	entry := h.newID("entry")
	h.write(func(ctx context.Context, tx *store.Tx) error {
		if t.Hold > 0 {
			b, err := tx.LockBalance(ctx, acct)
			if err != nil {
				return err
			}

			if b, err = credit.Hold(b, t.Hold); err != nil {
				return err
			}

			if err := tx.SaveBalance(ctx, acct, b, credit.Entry{ID: entry, Account: acct, Task: t.ID, Kind: credit.KindHold, Amount: t.Hold}); err != nil {
				return err
			}
		}

		return tx.InsertTask(ctx, t, body)
	})

	return t.ID
}

// editTask changes a task as package checkout does for a customer.
func (h *harness) editTask(id string, f func(*task.Task)) {
	h.t.Helper()
	entries := [2]string{h.newID("entry"), h.newID("entry")}
	h.write(func(ctx context.Context, tx *store.Tx) error {
		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: time.Now().UnixMilli(), Edit: f, EntryIDs: entries})

		return err
	})
}

func (h *harness) task(id string) task.Task {
	h.t.Helper()

	t, err := h.store.Task(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}

	return t
}

// waitFor waits until ok returns true for the task. It checks at each event of the task,
// for at most three hours of fake time.
func (h *harness) waitFor(id, what string, ok func(task.Task) bool) task.Task {
	h.t.Helper()

	changed, stop := h.store.WatchTask(id)
	defer stop()

	late := time.NewTimer(3 * time.Hour)
	defer late.Stop()

	for {
		t := h.task(id)
		if ok(t) {
			return t
		}

		select {
		case <-changed:
		case <-late.C:
			h.t.Fatalf("%s is not %s after three hours: state %s, error %+v", id, what, t.State, t.Error)
		}
	}
}

func (h *harness) waitForState(id string, s task.State) task.Task {
	h.t.Helper()

	return h.waitFor(id, string(s), func(t task.Task) bool {
		if t.State.Final() && t.State != s {
			h.t.Fatalf("%s ended %s, want %s; error %+v", id, t.State, s, t.Error)
		}

		return t.State == s
	})
}

func (h *harness) waitForFinal(id string) task.Task {
	h.t.Helper()
	return h.waitFor(id, "final", func(t task.Task) bool { return t.State.Final() })
}

// metricValue returns the value of a metric: the sum of those with all of these values of
// labels. It waits until all goroutines are idle, as metrics are counted after the commit.
func (h *harness) metricValue(name string, values ...string) (sum float64) {
	h.t.Helper()
	synctest.Wait()

	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}

	for _, family := range families {
		if family.GetName() != name {
			continue
		}

		for _, m := range family.GetMetric() {
			matches := 0

			for _, label := range m.GetLabel() {
				if slices.Contains(values, label.GetValue()) {
					matches++
				}
			}

			if matches == len(values) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}

	return sum
}

// checkInvariants checks the rules of the ledger, the shares and the blobs.
func (h *harness) checkInvariants() {
	h.t.Helper()

	findings, err := h.store.CheckIntegrity(context.Background(), 10)
	if err != nil {
		h.t.Fatal(err)
	}

	for _, f := range findings {
		h.t.Errorf("integrity check %s: %s", f.Check, f.Detail)
	}
}

// checkAccepted checks that the supplier accepted a task n times.
func (h *harness) checkAccepted(id string, n int) {
	h.t.Helper()

	if got := h.supplier.accepted(id); len(got) != n {
		h.t.Errorf("the supplier accepted %s %d times (%v), want %d", id, len(got), got, n)
	}
}
