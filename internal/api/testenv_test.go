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

// clock is a clock that only the test advances.
type clock struct {
	mu      sync.Mutex
	current time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.current }

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.current = c.current.Add(d)
}

// fakeEngine stands in for dispatch; the test sets what it reports.
type fakeEngine struct {
	mu    sync.Mutex
	tasks map[string]LiveStatus
}

func (e *fakeEngine) Live(id string) (LiveStatus, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()

	l, ok := e.tasks[id]

	return l, ok
}

func (e *fakeEngine) setLive(id string, l LiveStatus) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.tasks[id] = l
}

func (e *fakeEngine) Upstreams(context.Context) ([]UpstreamStatus, error) {
	return []UpstreamStatus{{Name: "animatic", Provider: "animatic", Submissions: "open", Limits: UpstreamLimits{InProgress: 2}}}, nil
}

func (e *fakeEngine) TestUpstream(_ context.Context, name string) error {
	switch name {
	case "animatic":
		return nil
	case "broken":
		return fmt.Errorf("the key is rejected")
	}

	return ErrNoUpstream
}

func (e *fakeEngine) AddUpstream(_ context.Context, settings []byte) (UpstreamStatus, error) {
	var req struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(settings, &req); err != nil || req.Name == "" {
		return UpstreamStatus{}, fault.New(fault.CodeInvalidValue, "upstream", "The name is missing.")
	}

	return UpstreamStatus{Name: req.Name, Models: []string{}, Submissions: "open", Added: true}, nil
}

func (e *fakeEngine) SetDesiredState(_ context.Context, name, action string) error {
	switch {
	case name == "animatic" && action == "remove":
		return fault.New(fault.CodeInvalidValue, "name", "The preview renderer cannot be removed.")
	case name == "animatic":
		return nil
	}

	return ErrNoUpstream
}

func (e *fakeEngine) Routes(context.Context) ([]ModelRoutes, error) {
	return []ModelRoutes{{Model: "wan2.6-video-720p", Mode: catalog.T2V, Routes: []ModelRoute{
		{Upstream: "animatic", Provider: "animatic", SupplierModel: "preview", Order: 1, Weight: 1, Unsupported: []catalog.Feature{}, Submissions: "open"},
	}}}, nil
}

// Thumbnail makes no thumbnail: a test that needs one stores it.
func (e *fakeEngine) Thumbnail(context.Context, string) error { return store.ErrNotFound }

func (e *fakeEngine) Gauges() []Gauge {
	return []Gauge{{Name: "slots_taken", Labels: map[string]string{"upstream": "animatic"}, Value: 1}}
}

// testEnv is a complete API with a real database and blob store, and two accounts.
type testEnv struct {
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
	disk       *failingDisk
	timedIDs   bool // IDs contain their time, as in production
	log        *bytes.Buffer
}

// failingDisk makes every write fail while it is switched on.
type failingDisk struct {
	mu   sync.Mutex
	full bool
}

func (f *failingDisk) setFull(on bool) { f.mu.Lock(); defer f.mu.Unlock(); f.full = on }

const (
	aliceKey = "sk-test-alice-0123456789"
	bobKey   = "sk-test-bob-01234567890"
)

var png1 = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")

// forEachDatabase runs f in a new testEnv on each database.
func forEachDatabase(t *testing.T, f func(t *testing.T, env *testEnv)) {
	t.Helper()
	storetest.EachUnlessRace(t, migrate, func(t *testing.T, at storetest.Location) { f(t, newTestEnv(t, at)) })
}

func migrate(ctx context.Context, database string) error {
	_, _, err := store.Migrate(ctx, store.Options{Database: database})
	return err
}

func newTestEnv(t testing.TB, at storetest.Location) *testEnv {
	t.Helper()
	env := &testEnv{t: t, engine: &fakeEngine{tasks: map[string]LiveStatus{}}, clock: &clock{current: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, disk: &failingDisk{}, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(&lockedBuffer{b: env.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	var err error

	env.store, err = store.Open(t.Context(), store.Options{Path: at.Path, Database: at.Database, Now: time.Now, Log: log})
	must(err)

	env.closeStore = sync.OnceValue(env.store.Close)

	t.Cleanup(func() { _ = env.closeStore() })
	env.blobs, err = blobfs.Open(t.TempDir(), env.clock.now, blobfs.WithWriter(env.disk.wrap))
	must(err)
	t.Cleanup(func() { _ = env.blobs.Close() })

	fetcher, err := fetch.New(fetch.Options{})
	must(err)
	models, err := catalog.Load(catalog.Options{})
	must(err)

	newID := newIDGenerator(func() time.Time {
		if env.timedIDs {
			return env.clock.now()
		}

		return time.UnixMilli(0)
	})
	env.checkout = checkout.New(checkout.Options{
		Store: env.store, Catalog: models, Blobs: env.blobs, Fetch: fetcher, Now: env.clock.now, NewID: newID, Log: log,
		QueueFor: func(catalog.Request) (string, *fault.Fault) { return "queue", nil },
		Samples: []checkout.Sample{{
			ID: "file_sample_otter", Name: "otter.png", Kind: "image", Type: "image/png", Bytes: int64(len(png1)),
			Open: func() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(png1)}, nil },
		}},
	})
	env.api, err = New(Options{
		Store: env.store, Catalog: models, Checkout: env.checkout, Blobs: env.blobs, Engine: env.engine, LinkSecret: []byte("0123456789abcdef0123456789abcdef"),
		Now: env.clock.now, NewID: newID, Log: log, Registry: prometheus.NewRegistry(), CORS: []string{"*"}, ServeAdmin: true, MaxUpload: 1 << 20, Version: "test",
	})
	must(err)
	t.Cleanup(env.api.Close)
	env.server = httptest.NewServer(validateAgainstSpec(t, env.api.Handler()))
	t.Cleanup(env.server.Close)
	env.admin = httptest.NewServer(validateAgainstSpec(t, env.api.Admin()))
	t.Cleanup(env.admin.Close)
	a, err := env.checkout.CreateAccount(t.Context(), "alice", 1, 0, 10_000_000)
	must(err)

	env.account = a.ID
	_, err = env.checkout.CreateAccount(t.Context(), "bob", 1, 0, 10_000_000)
	must(err)
	_, env.alice, err = env.checkout.CreateKey(t.Context(), checkout.CreateKeyRequest{Account: "alice", Secret: aliceKey})
	must(err)
	_, env.bob, err = env.checkout.CreateKey(t.Context(), checkout.CreateKeyRequest{Account: "bob", Secret: bobKey})
	must(err)

	return env
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// lockedBuffer is a log buffer that is safe for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.b.Write(p)
}

// newIDGenerator returns a generator of ordered, timed IDs like the program's. The audit
// log's IDs have a counter of their own, so that golden files do not depend on the number
// of audit entries.
func newIDGenerator(now func() time.Time) func(string) string {
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

// testResponse is an HTTP response with its whole body.
type testResponse struct {
	status int
	header http.Header
	body   []byte
}

func (a testResponse) json(t testing.TB) map[string]any {
	t.Helper()

	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("response %d is not JSON: %v\n%s", a.status, err, a.body)
	}

	return m
}

// errorCode returns the first error's code and param. DashScope's API has codes of its
// own, and no params.
func (a testResponse) errorCode(t testing.TB) (code, param string) {
	t.Helper()

	e, enveloped := a.json(t)["error"].(map[string]any)
	if !enveloped {
		e = a.json(t)
	}

	code, _ = e["code"].(string)
	param, _ = e["param"].(string)

	return code, param
}

// request sends a request to the public listener; pairs of header name and value follow
// the body.
func (env *testEnv) request(key, method, path, body string, headers ...string) testResponse {
	env.t.Helper()
	return env.send(env.server.URL, key, method, path, strings.NewReader(body), headers...)
}

func (env *testEnv) adminRequest(method, path, body string) testResponse {
	env.t.Helper()
	return env.send(env.admin.URL, "", method, path, strings.NewReader(body))
}

func (env *testEnv) send(baseURL, key, method, path string, body io.Reader, headers ...string) testResponse {
	env.t.Helper()

	r, err := http.NewRequestWithContext(context.Background(), method, baseURL+path, body)
	if err != nil {
		env.t.Fatal(err)
	}

	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}

	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		env.t.Fatal(err)
	}

	defer func() { _ = response.Body.Close() }()

	text, err := io.ReadAll(response.Body)
	if err != nil {
		env.t.Fatal(err)
	}

	return testResponse{response.StatusCode, response.Header, text}
}

const t2vBody = `{"model":"wan2.6-video-720p","prompt":"waves"}`

// createTask creates a task without references, and returns its ID.
func (env *testEnv) createTask(key string) string {
	env.t.Helper()

	a := env.request(key, "POST", "/v1/video/generations", t2vBody)
	if a.status != 200 {
		env.t.Fatalf("create: %d %s", a.status, a.body)
	}

	return a.json(env.t)["id"].(string)
}

// advance changes a task as dispatch does.
func (env *testEnv) advance(id string, edit func(*task.Task), inTx ...func(*store.Tx) error) {
	env.t.Helper()

	err := env.store.Write(context.Background(), func(tx *store.Tx) error {
		t, err := tx.Task(context.Background(), id)
		if err != nil {
			return err
		}

		for _, f := range inTx {
			if err := f(tx); err != nil {
				return err
			}
		}

		_, err = task.Advance(context.Background(), tx, t, task.Step{At: env.clock.now().UnixMilli(), Edit: edit, UsageCost: t.Hold / 2, EntryIDs: [2]string{"entry_1" + id, "entry_2" + id}})

		return err
	})
	if err != nil {
		env.t.Fatal(err)
	}
}

// failTask fails a submitted task, with a note for the operator.
func (env *testEnv) failTask(id, note string) {
	env.t.Helper()

	ctx := context.Background()

	err := env.store.Write(ctx, func(tx *store.Tx) error {
		t, err := tx.Task(ctx, id)
		if err != nil {
			return err
		}

		_, err = task.Advance(ctx, tx, t, task.Step{At: env.clock.now().UnixMilli(), Note: note, EntryIDs: [2]string{"entry_1" + id, "entry_2" + id}, Edit: func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "supplier_failed", Message: "The supplier failed."}
		}})

		return err
	})
	if err != nil {
		env.t.Fatal(err)
	}
}

// claimTask claims the queue's next task as dispatch does.
func (env *testEnv) claimTask() task.Task {
	env.t.Helper()

	ctx := context.Background()
	now := env.clock.now().UnixMilli()

	var t task.Task

	err := env.store.Write(ctx, func(tx *store.Tx) error {
		fence, err := tx.AcquireLease(ctx, "up", "me", now, now+1000)
		if err != nil {
			return err
		}

		t, err = tx.Claim(ctx, store.Claim{Queue: "queue", Upstream: "up", SupplierAccount: "up", Model: "m", Owner: "me", Fence: fence, At: now})

		return err
	})
	if err != nil {
		env.t.Fatal(err)
	}

	return t
}

// finishTask completes a queued task, with the given bytes as its video.
func (env *testEnv) finishTask(id string, content []byte) {
	env.t.Helper()

	if t := env.claimTask(); t.ID != id {
		env.t.Fatalf("claimed %s, want %s", t.ID, id)
	}

	env.advance(id, func(t *task.Task) {
		t.State = task.Running
		t.RemoteID = "T-" + id
		t.StartedAt = env.clock.now().UnixMilli()
	})
	env.completeTask(id, content)
}

// completeTask completes a running task.
func (env *testEnv) completeTask(id string, content []byte) {
	env.t.Helper()
	now := env.clock.now().UnixMilli()
	env.advance(id, func(t *task.Task) {
		t.State = task.Collecting
		t.Result = "{}"
		t.RenderedAt = now
	})

	var artifacts []task.Artifact

	for kind, mediaType := range map[task.ArtifactKind]string{task.Video: "video/mp4", task.Thumbnail: "image/jpeg"} {
		info, err := env.blobs.Put(context.Background(), id+"/1-"+string(kind), bytes.NewReader(content))
		if err != nil {
			env.t.Fatal(err)
		}

		artifacts = append(artifacts, task.Artifact{Task: id, Kind: kind, Blob: info.Key, Type: mediaType, Bytes: info.Bytes, SHA256: info.SHA256})
	}

	env.advance(id, func(t *task.Task) {
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

// balance returns an account's balance.
func (env *testEnv) balance(name string) credit.Balance {
	env.t.Helper()

	a, err := env.store.Account(context.Background(), name)
	if err != nil {
		env.t.Fatal(err)
	}

	b, err := env.store.Balance(context.Background(), a.ID)
	if err != nil {
		env.t.Fatal(err)
	}

	return b
}

// checkIntegrity fails the test if the tables contradict each other.
func (env *testEnv) checkIntegrity() {
	env.t.Helper()

	findings, err := env.store.CheckIntegrity(context.Background(), 10)
	if err != nil {
		env.t.Fatal(err)
	}

	for _, f := range findings {
		env.t.Errorf("integrity: %s: %s", f.Check, f.Detail)
	}
}

func (f *failingDisk) wrap(w io.Writer) io.Writer { return diskWriter{f, w} }

type diskWriter struct {
	disk *failingDisk
	w    io.Writer
}

func (d diskWriter) Write(p []byte) (int, error) {
	d.disk.mu.Lock()
	full := d.disk.full
	d.disk.mu.Unlock()

	if full {
		return 0, syscall.ENOSPC
	}

	return d.w.Write(p)
}
