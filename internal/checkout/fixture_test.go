package checkout

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/unireel/unireel/internal/blob"
	blobfs "github.com/unireel/unireel/internal/blob/fs"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/store/storetest"
)

// fixture is a Checkout on a real database and blob store, with one account.
type fixture struct {
	*Checkout
	t        testing.TB
	caller   Caller
	diskFull bool // whether writes to the blob store fail
}

// onEachDatabase runs f with a fixture on each database. The fixture's account has the
// opening credit.
func onEachDatabase(t *testing.T, opening money.Amount, f func(t *testing.T, fx *fixture)) {
	t.Helper()
	storetest.EachUnlessRace(t, migrated, func(t *testing.T, place storetest.Location) { f(t, newFixture(t, place, opening)) })
}

func migrated(ctx context.Context, database string) error {
	_, _, err := store.Migrate(ctx, store.Options{Database: database})
	return err
}

func newFixture(t testing.TB, place storetest.Location, opening money.Amount) *fixture {
	t.Helper()
	fx := &fixture{t: t}
	log := slog.New(slog.DiscardHandler)

	s, err := store.Open(context.Background(), store.Options{Path: place.Path, Database: place.Database, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	fixedTime := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := func() time.Time { return fixedTime }

	blobs, err := blobfs.Open(t.TempDir(), now, blobfs.WithWriter(func(to io.Writer) io.Writer { return diskWriter{fx, to} }))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = blobs.Close() })

	fetcher, err := fetch.New(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}

	models, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	fx.Checkout = New(Options{
		Store:    s,
		Catalog:  models,
		Blobs:    blobs,
		Fetch:    fetcher,
		Now:      now,
		NewID:    ids(),
		Log:      log,
		Samples:  []Sample{{ID: "file_sample_otter", Name: "otter.png", Kind: "image", Type: "image/png"}},
		QueueFor: func(catalog.Request) (string, *fault.Fault) { return "queue", nil },
	})

	a, err := fx.CreateAccount(context.Background(), "alice", 1, 0, opening)
	if err != nil {
		t.Fatal(err)
	}

	fx.caller = Caller{Account: a.ID, Key: "key_1"}

	return fx
}

type diskWriter struct {
	fixture *fixture
	dst     io.Writer
}

func (d diskWriter) Write(p []byte) (int, error) {
	if d.fixture.diskFull {
		return 0, syscall.ENOSPC
	}

	return d.dst.Write(p)
}

// ids returns a function that generates ids in ascending order, as the program does.
func ids() func(string) string {
	var (
		mu sync.Mutex
		n  uint64
	)

	return func(prefix string) string {
		mu.Lock()
		defer mu.Unlock()

		n++

		var id ulid.ULID
		for i := range 8 {
			id[15-i] = byte(n >> (8 * i))
		}

		return prefix + "_" + id.String()
	}
}

// textToVideo requests a 5 s video without references.
func textToVideo() catalog.RawRequest {
	return catalog.RawRequest{
		Model:  catalog.NewField("wan2.6-video-720p", "model", 1),
		Prompt: catalog.NewField("waves", "prompt", 2),
	}
}

// referenceToVideo requests a video from pictures.
func referenceToVideo(images ...string) catalog.RawRequest {
	raw := catalog.RawRequest{Model: catalog.NewField("wan2.6-r2v-720p", "model", 1), Prompt: catalog.NewField("a walk", "prompt", 2)}

	var list []catalog.Field[string]
	for i, image := range images {
		list = append(list, catalog.NewField(image, "images["+string(rune('0'+i))+"]", 3+i))
	}

	raw.Images = catalog.NewField(list, "images", 3)

	return raw
}

func (fx *fixture) balance() credit.Balance {
	fx.t.Helper()

	b, err := fx.Store.Balance(context.Background(), fx.caller.Account)
	if err != nil {
		fx.t.Fatal(err)
	}

	return b
}

// blobKeys lists the keys in the blob store.
func (fx *fixture) blobKeys() []string {
	fx.t.Helper()

	var keys []string

	err := fx.Blobs.List(context.Background(), func(i blob.Info) bool {
		keys = append(keys, i.Key)
		return true
	})
	if err != nil {
		fx.t.Fatal(err)
	}

	return keys
}

// checkConsistency fails the test if the tables contradict each other.
func (fx *fixture) checkConsistency() {
	fx.t.Helper()

	findings, err := fx.Store.CheckIntegrity(context.Background(), 10)
	if err != nil {
		fx.t.Fatal(err)
	}

	for _, f := range findings {
		fx.t.Errorf("audit: %s: %s", f.Check, f.Detail)
	}
}

// wantFault fails the test unless err is a fault with this code and field.
func wantFault(t testing.TB, err error, code fault.Code, param string) {
	t.Helper()

	if f := fault.From(err); err == nil || f.Code != code || f.Param != param {
		t.Errorf("got %v (%+v), want %s about %q", err, f, code, param)
	}
}
