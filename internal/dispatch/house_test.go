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
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/fs"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clip is a real video of 2 s, 1280*720, with sound, made once.
var clip = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "clip-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	out := filepath.Join(dir, "clip.mp4")

	said, err := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=c=teal:s=1280x720:r=30:d=2", "-f", "lavfi", "-i", "sine=d=2",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", "-shortest", out).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ffmpeg (install it with: apt-get install ffmpeg): %w: %s", err, said)
	}

	return os.ReadFile(out)
})

// house is all that a dispatch needs, on a real database and a real folder,
// inside a bubble of given time.
type house struct {
	t         *testing.T
	dir       string
	database  string // a PostgreSQL one; "" is a file in dir
	store     *store.Store
	blobs     blob.Store
	catalog   *catalog.Catalog
	fetch     *fetch.Fetcher
	supplier  *supplier
	upstreams []Upstream
	make      func(string) (Upstream, error)
	standIn   bool
	timeout   time.Duration
	retention time.Duration
	history   time.Duration

	ids     atomic.Int64
	lookups atomic.Int64 // of host names
	d       *Dispatch
	stop    context.CancelFunc
	ended   chan error

	crashAt  string // the fail point that kills the process
	mu       sync.Mutex
	crashed  chan struct{} // closed when it did
	dead     bool
	visited  map[string]int
	registry *prometheus.Registry
}

type storeTx = *store.Tx

type samples struct{}

func (samples) Sample(string) (string, func() (blob.Reader, error), bool) { return "", nil, false }

// inHouse runs a test in a bubble of given time, with a SQLite file of its own.
func inHouse(t *testing.T, test func(*house)) {
	t.Helper()
	inHouseAt(t, storetest.Place{}, test)
}

// inHouses is inHouse on each kind of database.
func inHouses(t *testing.T, test func(*house)) {
	t.Helper()

	tables := func(ctx context.Context, database string) error {
		_, _, err := store.Migrate(ctx, store.Options{Database: database})
		return err
	}
	storetest.Rooms(t, tables, func(t *testing.T, at storetest.Place) { inHouseAt(t, at, test) })
}

// seeds is how many of a property's seeds are tried: fewer under the race detector,
// which is slow and needs only the code.
func seeds(n int) int {
	if storetest.Raced {
		return (n + 2) / 3
	}

	return n
}

// inSomeHouses is inHouse for each seed of a property, and on PostgreSQL too for
// the first ones: what differs there are statements, not fates.
func inSomeHouses(seed int) func(*testing.T, func(*house)) {
	if seed < 2 {
		return inHouses
	}

	return inHouse
}

func inHouseAt(t *testing.T, at storetest.Place, test func(*house)) {
	t.Helper()

	video, err := clip()
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, dir: dir, database: at.Database, supplier: newSupplier(video), timeout: 24 * time.Hour, retention: 720 * time.Hour, visited: map[string]int{}}
		h.upstreams = []Upstream{{
			Name: "up", Kind: provider.Kind{Name: "dashscope", Traits: provider.Traits{PollEvery: [2]time.Duration{2 * time.Second, 15 * time.Second}}},
			Provider: h.supplier, Limits: Limits{SubmitsPerSecond: 5, InProgress: 5, QueriesPerSecond: 20},
		}}

		h.build()
		defer h.close()

		test(h)
	})
}

func (h *house) build() {
	h.t.Helper()

	ctx := context.Background()

	var err error
	if h.store, err = store.Open(ctx, store.Options{
		Path: filepath.Join(h.dir, "unireel.db"), Database: h.database, Quiet: true, Readers: 2, Now: time.Now, Log: slog.New(slog.DiscardHandler),
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

	picture(h.t, filepath.Join(media, "face.png"), 400)
	picture(h.t, filepath.Join(media, "tiny.png"), 40)

	for name, data := range map[string][]byte{"clip.mp4": h.supplier.video, "text.mp4": []byte("this is no video, whatever its name says")} {
		if err := os.WriteFile(filepath.Join(media, name), data, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}

	if h.fetch, err = fetch.New(fetch.Options{Resolver: h, Map: []fetch.Mapping{{Prefix: "https://example.com/", Folder: media}}}); err != nil {
		h.t.Fatal(err)
	}
}

func picture(t *testing.T, path string, side int) {
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

func (h *house) close() {
	if h.stop != nil {
		h.halt()
	}

	if err := h.fetch.Close(); err != nil {
		h.t.Error(err)
	}

	if err := h.store.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *house) newID(prefix string) string { return fmt.Sprintf("%s_%020d", prefix, h.ids.Add(1)) }

// options are those of the house's dispatch.
func (h *house) options() Options {
	return Options{
		Store: h.store, Blobs: h.blobs, Fetch: h.fetch, Catalog: h.catalog, Samples: samples{}, Upstreams: h.upstreams, Make: h.make, StandIn: h.standIn,
		Scratch: filepath.Join(h.dir, "scratch"), Now: time.Now, NewID: h.newID, Log: h.log(), Registry: h.registry,
		Retention: h.retention, History: h.history, TaskTimeout: h.timeout, Point: h.point,
	}
}

// start begins a dispatch, as a process would.
func (h *house) start() {
	h.t.Helper()
	h.registry = prometheus.NewRegistry()
	h.crashed = make(chan struct{})
	h.dead = false
	h.supplier.mu.Lock()
	h.supplier.down = false
	h.supplier.mu.Unlock()

	d, err := New(context.Background(), h.options())
	if err != nil {
		h.t.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	h.d = d
	h.stop = stop
	h.ended = make(chan error, 1)

	ended := h.ended
	go func() { ended <- d.Run(ctx) }()
}

func (h *house) log() *slog.Logger {
	if os.Getenv("DISPATCH_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}

	return slog.New(slog.DiscardHandler)
}

// halt ends the dispatch as SIGTERM does, and holds it to a bound.
func (h *house) halt() {
	h.t.Helper()
	h.stop()

	h.stop = nil
	select {
	case err := <-h.ended:
		if err != nil {
			h.t.Errorf("Run: %v", err)
		}
	case <-time.After(5 * time.Minute):
		h.t.Fatal("Run did not return within five minutes of its end")
	}
}

// point is every fail point. At the one that is set, the process dies: the
// goroutine goes no further, and no other reaches a supplier again.
func (h *house) point(name string) {
	h.mu.Lock()

	h.visited[name]++
	if !h.dead && name == h.crashAt {
		h.dead = true
		h.supplier.mu.Lock()
		h.supplier.down = true
		h.supplier.mu.Unlock()
		close(h.crashed)
	}

	dead := h.dead
	h.mu.Unlock()

	if dead {
		runtime.Goexit()
	}
}

// crash starts a dispatch that dies at a fail point, and buries it.
func (h *house) crash(at string) {
	h.t.Helper()
	h.crashAt = at
	h.start()

	select {
	case <-h.crashed:
	case <-time.After(time.Hour):
		h.t.Fatalf("the fail point %s was never reached; reached: %v", at, h.visited)
	}

	h.crashAt = ""
	h.halt()
}

// LookupNetIP answers no name: nothing here reaches a network.
func (h *house) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	h.lookups.Add(1)
	return nil, &net.DNSError{Err: "no answer", Name: host, IsTemporary: true, IsTimeout: true}
}

// account adds a payer with credit.
func (h *house) account(id string, weight, limit int64) {
	h.t.Helper()
	h.write(func(ctx context.Context, tx *store.Tx) error {
		if ok, err := tx.InsertAccount(ctx, account.Account{ID: id, Name: id, Weight: weight, Cap: limit}); err != nil || !ok {
			return fmt.Errorf("insert account: %v %w", ok, err)
		}

		return tx.SaveBalance(ctx, id, credit.Balance{Granted: 1_000_000_000}, credit.Entry{ID: "grant_" + id, Account: id, Kind: credit.KindGrant, Amount: 1_000_000_000, Ref: "start"})
	})
}

func (h *house) write(f func(context.Context, *store.Tx) error) {
	h.t.Helper()

	ctx := context.Background()
	if err := h.store.Write(ctx, func(tx *store.Tx) error { return f(ctx, tx) }); err != nil {
		h.t.Fatal(err)
	}
}

// words is a request for a video from a prompt alone.
func words(prompt string) catalog.Request {
	return catalog.Request{
		Model: "wan2.6-video-720p", Resolved: "wan2.6-video-720p", Mode: catalog.T2V, Prompt: prompt, Size: "1280*720", SizeAsked: "1280*720",
		Width: 1280, Height: 720, Seconds: 2, Sound: true, ShotType: "single", Seed: -1,
	}
}

// refs is a request for a video from references.
func refs(prompt string, inputs ...string) catalog.Request {
	r := words(prompt)
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

// create does what checkout does: the hold, the task and its event at once.
func (h *house) create(acct string, r catalog.Request) string {
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
		ID: h.newID("task"), Account: acct, Version: 1, State: task.Preparing, Object: "video", Model: r.Model, Resolved: r.Resolved, Prompt: r.Prompt, Size: r.SizeAsked,
		Seconds: int64(r.Seconds), Preview: r.Preview, Hold: quote.Hold, UnitPrice: quote.UnitPrice, Billing: string(quote.Billing), CreatedAt: time.Now().UnixMilli(), StartBy: r.StartBy * 1000,
	}
	if len(r.References) == 0 && r.Audio == nil && h.d != nil {
		lane, f := h.d.Route(r)
		if f != nil {
			h.t.Fatal(f)
		}

		t.State = task.Queued
		t.Lane = lane
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

// edit is a customer's wish, as checkout writes it.
func (h *house) edit(id string, f func(*task.Task)) {
	h.t.Helper()
	entries := [2]string{h.newID("entry"), h.newID("entry")}
	h.write(func(ctx context.Context, tx *store.Tx) error {
		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: time.Now().UnixMilli(), Edit: f, Entries: entries})

		return err
	})
}

func (h *house) task(id string) task.Task {
	h.t.Helper()

	t, err := h.store.Task(context.Background(), id)
	if err != nil {
		h.t.Fatal(err)
	}

	return t
}

// until waits for a task to be as wanted, by its events, within an hour or two
// of given time.
func (h *house) until(id, what string, ok func(task.Task) bool) task.Task {
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
			h.t.Fatalf("%s is not %s after three hours: it is %s, error %+v", id, what, t.State, t.Error)
		}
	}
}

func (h *house) untilState(id string, s task.State) task.Task {
	h.t.Helper()

	return h.until(id, string(s), func(t task.Task) bool {
		if t.State.Final() && t.State != s {
			h.t.Fatalf("%s ended %s, want %s; error %+v", id, t.State, s, t.Error)
		}

		return t.State == s
	})
}

func (h *house) untilFinal(id string) task.Task {
	h.t.Helper()
	return h.until(id, "final", func(t task.Task) bool { return t.State.Final() })
}

// counted is a metric, when all that was begun is counted: it counts after its commit.
func (h *house) counted(metric prometheus.Collector) float64 {
	synctest.Wait()
	return testutil.ToFloat64(metric)
}

// sound holds the ledger, the turns and the blobs to their rules.
func (h *house) sound() {
	h.t.Helper()

	findings, err := h.store.Audit(context.Background(), 10)
	if err != nil {
		h.t.Fatal(err)
	}

	for _, f := range findings {
		h.t.Errorf("audit: %s: %s", f.Check, f.Detail)
	}
}

// onlyOnce says that the supplier took a task at most n times.
func (h *house) takenTimes(id string, n int) {
	h.t.Helper()

	if got := h.supplier.taken(id); len(got) != n {
		h.t.Errorf("the supplier took %s %d times (%v), want %d", id, len(got), got, n)
	}
}
