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

// world is a checkout over real tools with one account.
type world struct {
	*Checkout
	t    testing.TB
	who  Caller
	full bool // the disk
}

// onEach runs f in a world on each database, whose account has the opening credit.
func onEach(t *testing.T, opening money.Amount, f func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Rooms(t, migrated, func(t *testing.T, at storetest.Place) { f(t, newWorld(t, at, opening)) })
}

func migrated(ctx context.Context, database string) error {
	_, _, err := store.Migrate(ctx, store.Options{Database: database})
	return err
}

func newWorld(t testing.TB, at storetest.Place, opening money.Amount) *world {
	t.Helper()
	w := &world{t: t}
	log := slog.New(slog.DiscardHandler)

	s, err := store.Open(context.Background(), store.Options{Path: at.Path, Database: at.Database, Now: time.Now, Log: log})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	today := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := func() time.Time { return today }

	blobs, err := blobfs.Open(t.TempDir(), now, blobfs.Writer(func(to io.Writer) io.Writer { return diskWriter{w, to} }))
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

	w.Checkout = New(Options{
		Store: s, Catalog: models, Blobs: blobs, Fetch: fetcher, Now: now, NewID: ids(), Log: log,
		Samples: []Sample{{ID: "file_sample_otter", Name: "otter.png", Kind: "image", Type: "image/png"}},
		Route:   func(catalog.Request) (string, *fault.Fault) { return "lane", nil },
	})

	a, err := w.OpenAccount(context.Background(), "alice", 1, 0, opening)
	if err != nil {
		t.Fatal(err)
	}

	w.who = Caller{Account: a.ID, Key: "key_1"}

	return w
}

type diskWriter struct {
	w  *world
	to io.Writer
}

func (d diskWriter) Write(p []byte) (int, error) {
	if d.w.full {
		return 0, syscall.ENOSPC
	}

	return d.to.Write(p)
}

// ids makes ids in order, as the program does.
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

// waves asks for a video that needs nothing fetched: 5 s at the model's price.
func waves() catalog.Ask {
	return catalog.Ask{Model: catalog.Give("wan2.6-video-720p", "model", 1), Prompt: catalog.Give("waves", "prompt", 2)}
}

// portrait asks for a video from references.
func portrait(images ...string) catalog.Ask {
	a := catalog.Ask{Model: catalog.Give("wan2.6-r2v-720p", "model", 1), Prompt: catalog.Give("a walk", "prompt", 2)}

	var list []catalog.Given[string]
	for i, image := range images {
		list = append(list, catalog.Give(image, "images["+string(rune('0'+i))+"]", 3+i))
	}

	a.Images = catalog.Give(list, "images", 3)

	return a
}

func (w *world) balance() credit.Balance {
	w.t.Helper()

	b, err := w.Store.Balance(context.Background(), w.who.Account)
	if err != nil {
		w.t.Fatal(err)
	}

	return b
}

// blobs lists what is kept.
func (w *world) blobs() []string {
	w.t.Helper()

	var keys []string

	if err := w.Blobs.List(context.Background(), func(i blob.Info) bool { keys = append(keys, i.Key); return true }); err != nil {
		w.t.Fatal(err)
	}

	return keys
}

// sound fails when the tables contradict each other.
func (w *world) sound() {
	w.t.Helper()

	findings, err := w.Store.Audit(context.Background(), 10)
	if err != nil {
		w.t.Fatal(err)
	}

	for _, f := range findings {
		w.t.Errorf("audit: %s: %s", f.Check, f.Detail)
	}
}

// wantFault fails unless err is a fault of this code about this field.
func wantFault(t testing.TB, err error, code fault.Code, param string) {
	t.Helper()

	if f := fault.From(err); err == nil || f.Code != code || f.Param != param {
		t.Errorf("got %v (%+v), want %s about %q", err, f, code, param)
	}
}
