package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	blobfs "github.com/unireel/unireel/internal/blob/fs"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/store/storetest"
	"github.com/unireel/unireel/internal/task"
)

// clock is a time that only the test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// fakeEngine is a dispatch that knows what the test tells it.
type fakeEngine struct {
	mu    sync.Mutex
	tasks map[string]Live
}

func (e *fakeEngine) Live(id string) (Live, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()

	l, ok := e.tasks[id]

	return l, ok
}

func (e *fakeEngine) set(id string, l Live) { e.mu.Lock(); defer e.mu.Unlock(); e.tasks[id] = l }

func (e *fakeEngine) Upstreams(context.Context) ([]UpstreamStatus, error) {
	return []UpstreamStatus{{Name: "animatic", Provider: "animatic", Gate: "open", Limits: UpstreamLimits{InProgress: 2}}}, nil
}

func (e *fakeEngine) TestUpstream(_ context.Context, name string) error {
	switch name {
	case "animatic":
		return nil
	case "broken":
		return fmt.Errorf("the key is refused")
	}

	return ErrNoUpstream
}

func (e *fakeEngine) AddUpstream(_ context.Context, setup []byte) (UpstreamStatus, error) {
	var asked struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(setup, &asked); err != nil || asked.Name == "" {
		return UpstreamStatus{}, fault.New(fault.CodeInvalidValue, "upstream", "It has no name.")
	}

	return UpstreamStatus{Name: asked.Name, Models: []string{}, Gate: "open", Added: true}, nil
}

func (e *fakeEngine) WishUpstream(_ context.Context, name, wish string) error {
	switch {
	case name == "animatic" && wish == "remove":
		return fault.New(fault.CodeInvalidValue, "name", "It is always there.")
	case name == "animatic":
		return nil
	}

	return ErrNoUpstream
}

func (e *fakeEngine) Routes(context.Context) ([]ModelRoutes, error) {
	return []ModelRoutes{{Model: "wan2.6-video-720p", Mode: catalog.T2V, Routes: []ModelsRoute{
		{Upstream: "animatic", Provider: "animatic", As: "preview", Order: 1, Weight: 1, Lacks: []catalog.Feature{}, Gate: "open"},
	}}}, nil
}

// Thumbnail makes none: what a test wants to be there, it puts there.
func (e *fakeEngine) Thumbnail(context.Context, string) error { return store.ErrNotFound }

func (e *fakeEngine) Gauges() []Gauge {
	return []Gauge{{Name: "slots_taken", Labels: map[string]string{"upstream": "animatic"}, Value: 1}}
}

// world is a whole API over real tools, with two accounts.
type world struct {
	t          testing.TB
	store      *store.Store
	closeStore func() error
	blobs      *blobfs.Store
	checkout   *checkout.Checkout
	api        *API
	engine     *fakeEngine
	clock      *clock
	server     *httptest.Server
	admin      *httptest.Server
	alice      string // a key's secret
	bob        string
	account    string // alice's
	full       *fullDisk
	dated      bool // ids tell their time, as the program's do
	log        *bytes.Buffer
}

// fullDisk makes every write fail while it is on.
type fullDisk struct {
	mu sync.Mutex
	on bool
}

func (f *fullDisk) set(on bool) { f.mu.Lock(); defer f.mu.Unlock(); f.on = on }

const (
	aliceKey = "sk-test-alice-0123456789"
	bobKey   = "sk-test-bob-01234567890"
)

var png1 = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")

// onEach runs f in a world on each database.
func onEach(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Rooms(t, migrated, func(t *testing.T, at storetest.Place) { f(t, newWorld(t, at)) })
}

func migrated(ctx context.Context, database string) error {
	_, _, err := store.Migrate(ctx, store.Options{Database: database})
	return err
}

func newWorld(t testing.TB, at storetest.Place) *world {
	t.Helper()
	w := &world{t: t, engine: &fakeEngine{tasks: map[string]Live{}}, clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, full: &fullDisk{}, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(&lockedBuffer{b: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	var err error

	w.store, err = store.Open(t.Context(), store.Options{Path: at.Path, Database: at.Database, Now: time.Now, Log: log})
	must(err)

	w.closeStore = sync.OnceValue(w.store.Close)

	t.Cleanup(func() { _ = w.closeStore() })
	w.blobs, err = blobfs.Open(t.TempDir(), w.clock.now, blobfs.Writer(w.full.wrap))
	must(err)
	t.Cleanup(func() { _ = w.blobs.Close() })

	fetcher, err := fetch.New(fetch.Options{})
	must(err)
	models, err := catalog.Load(catalog.Options{})
	must(err)

	newID := ids(func() time.Time {
		if w.dated {
			return w.clock.now()
		}

		return time.UnixMilli(0)
	})
	w.checkout = checkout.New(checkout.Options{
		Store: w.store, Catalog: models, Blobs: w.blobs, Fetch: fetcher, Now: w.clock.now, NewID: newID, Log: log,
		Route: func(catalog.Request) (string, *fault.Fault) { return "lane", nil },
		Samples: []checkout.Sample{{
			ID: "file_sample_otter", Name: "otter.png", Kind: "image", Type: "image/png", Bytes: int64(len(png1)),
			Open: func() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(png1)}, nil },
		}},
	})
	w.api, err = New(Options{
		Store: w.store, Catalog: models, Checkout: w.checkout, Blobs: w.blobs, Engine: w.engine, LinkSecret: []byte("0123456789abcdef0123456789abcdef"),
		Now: w.clock.now, NewID: newID, Log: log, Registry: prometheus.NewRegistry(), CORS: []string{"*"}, ServeAdmin: true, MaxUpload: 1 << 20, Version: "test",
	})
	must(err)
	t.Cleanup(w.api.Close)
	w.server = httptest.NewServer(checked(t, w.api.Handler()))
	t.Cleanup(w.server.Close)
	w.admin = httptest.NewServer(checked(t, w.api.Admin()))
	t.Cleanup(w.admin.Close)
	a, err := w.checkout.OpenAccount(t.Context(), "alice", 1, 0, 10_000_000)
	must(err)

	w.account = a.ID
	_, err = w.checkout.OpenAccount(t.Context(), "bob", 1, 0, 10_000_000)
	must(err)
	_, w.alice, err = w.checkout.IssueKey(t.Context(), checkout.KeyOrder{Account: "alice", Secret: aliceKey})
	must(err)
	_, w.bob, err = w.checkout.IssueKey(t.Context(), checkout.KeyOrder{Account: "bob", Secret: bobKey})
	must(err)

	return w
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// lockedBuffer is where the log of a test goes.
type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.b.Write(p)
}

// ids makes ids in order and of a time, as the program does; those of the audit log
// have a count of their own, so that golden files do not hang on what is told there.
func ids(now func() time.Time) func(string) string {
	var (
		mu     sync.Mutex
		counts [2]uint64
	)

	return func(prefix string) string {
		mu.Lock()
		defer mu.Unlock()

		n := &counts[0]
		if prefix == "audit" {
			n = &counts[1]
		}

		*n++

		var id ulid.ULID

		_ = id.SetTime(ulid.Timestamp(now()))
		for i := range 8 {
			id[15-i] = byte(*n >> (8 * i))
		}

		return prefix + "_" + id.String()
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()

	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("answer %d is not JSON: %v\n%s", a.status, err, a.body)
	}

	return m
}

// code is the first error's code, and its param; DashScope's dialect has codes of its
// own, and no params.
func (a answer) code(t testing.TB) (code, param string) {
	t.Helper()

	e, enveloped := a.json(t)["error"].(map[string]any)
	if !enveloped {
		e = a.json(t)
	}

	code, _ = e["code"].(string)
	param, _ = e["param"].(string)

	return code, param
}

// ask sends a request; header pairs follow the body.
func (w *world) ask(key, method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.send(w.server.URL, key, method, path, strings.NewReader(body), headers...)
}

func (w *world) operate(method, path, body string) answer {
	w.t.Helper()
	return w.send(w.admin.URL, "", method, path, strings.NewReader(body))
}

func (w *world) send(root, key, method, path string, body io.Reader, headers ...string) answer {
	w.t.Helper()

	r, err := http.NewRequestWithContext(context.Background(), method, root+path, body)
	if err != nil {
		w.t.Fatal(err)
	}

	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}

	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}

	defer func() { _ = response.Body.Close() }()

	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}

	return answer{response.StatusCode, response.Header, text}
}

const t2v = `{"model":"wan2.6-video-720p","prompt":"waves"}`

// create makes a task that needs nothing fetched, and returns its id.
func (w *world) create(key string) string {
	w.t.Helper()

	a := w.ask(key, "POST", "/v1/video/generations", t2v)
	if a.status != 200 {
		w.t.Fatalf("create: %d %s", a.status, a.body)
	}

	return a.json(w.t)["id"].(string)
}

// step changes a task as dispatch would.
func (w *world) step(id string, edit func(*task.Task), also ...func(*store.Tx) error) {
	w.t.Helper()

	err := w.store.Write(context.Background(), func(tx *store.Tx) error {
		t, err := tx.Task(context.Background(), id)
		if err != nil {
			return err
		}

		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}

		_, err = task.Advance(context.Background(), tx, t, task.Step{At: w.clock.now().UnixMilli(), Edit: edit, Used: t.Hold / 2, Entries: [2]string{"entry_1" + id, "entry_2" + id}})

		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// finishAs fails a submitted task, with a note for the operator.
func (w *world) finishAs(id, note string) {
	w.t.Helper()

	ctx := context.Background()

	err := w.store.Write(ctx, func(tx *store.Tx) error {
		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: w.clock.now().UnixMilli(), Note: note, Entries: [2]string{"entry_1" + id, "entry_2" + id}, Edit: func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "supplier_failed", Message: "The supplier failed."}
		}})

		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// claim takes the lane's next task as dispatch would.
func (w *world) claim() task.Task {
	w.t.Helper()

	ctx := context.Background()
	now := w.clock.now().UnixMilli()

	var t task.Task

	err := w.store.Write(ctx, func(tx *store.Tx) error {
		fence, err := tx.TakeLease(ctx, "up", "me", now, now+1000)
		if err != nil {
			return err
		}

		t, err = tx.Claim(ctx, store.Claim{Lane: "lane", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: now})

		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}

	return t
}

// finish carries a queued task to its end, with a film of the given bytes.
func (w *world) finish(id string, film []byte) {
	w.t.Helper()

	if t := w.claim(); t.ID != id {
		w.t.Fatalf("claimed %s, want %s", t.ID, id)
	}

	w.step(id, func(t *task.Task) {
		t.State = task.Running
		t.Ticket = "T-" + id
		t.StartedAt = w.clock.now().UnixMilli()
	})
	w.complete(id, film)
}

// complete ends a running task.
func (w *world) complete(id string, film []byte) {
	w.t.Helper()
	now := w.clock.now().UnixMilli()
	w.step(id, func(t *task.Task) {
		t.State = task.Collecting
		t.Result = "{}"
		t.RenderedAt = now
	})

	var artifacts []task.Artifact

	for kind, mediaType := range map[task.ArtifactKind]string{task.Video: "video/mp4", task.Thumbnail: "image/jpeg"} {
		info, err := w.blobs.Put(context.Background(), id+"/1-"+string(kind), bytes.NewReader(film))
		if err != nil {
			w.t.Fatal(err)
		}

		artifacts = append(artifacts, task.Artifact{Task: id, Kind: kind, Blob: info.Key, Type: mediaType, Bytes: info.Bytes, SHA256: info.SHA256})
	}

	w.step(id, func(t *task.Task) {
		t.State = task.Completed
		t.Progress = 100
		t.Billed = 2500
		t.ExpiresAt = now + 30*24*3600_000
	}, func(tx *store.Tx) error {
		for _, a := range artifacts {
			if err := tx.InsertArtifact(context.Background(), a); err != nil {
				return err
			}
		}

		return nil
	})
}

// balance is an account's.
func (w *world) balance(name string) credit.Balance {
	w.t.Helper()

	a, err := w.store.Account(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}

	b, err := w.store.Balance(context.Background(), a.ID)
	if err != nil {
		w.t.Fatal(err)
	}

	return b
}

// sound fails when the tables contradict each other.
func (w *world) sound() {
	w.t.Helper()

	findings, err := w.store.Audit(context.Background(), 10)
	if err != nil {
		w.t.Fatal(err)
	}

	for _, f := range findings {
		w.t.Errorf("audit: %s: %s", f.Check, f.Detail)
	}
}

func (f *fullDisk) wrap(w io.Writer) io.Writer { return diskWriter{f, w} }

type diskWriter struct {
	disk *fullDisk
	w    io.Writer
}

func (d diskWriter) Write(p []byte) (int, error) {
	d.disk.mu.Lock()
	on := d.disk.on
	d.disk.mu.Unlock()

	if on {
		return 0, syscall.ENOSPC
	}

	return d.w.Write(p)
}
