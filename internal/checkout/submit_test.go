package checkout

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

var inlinePNG = "data:image/png;base64," + base64.StdEncoding.EncodeToString([]byte(png))

func TestSubmitHoldsTheMostAndQueuesWhatNeedsNothing(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		ctx := context.Background()

		queued, replayed, err := w.Submit(ctx, w.who, Order{Ask: waves(), Object: "video"})
		if err != nil || replayed || queued.State != task.Queued || queued.Lane != "lane" || queued.Hold == 0 || queued.Object != "video" {
			t.Fatalf("%+v, %v, %v", queued, replayed, err)
		}

		preparing, _, err := w.Submit(ctx, w.who, Order{Ask: portrait("https://example.com/a.png")})
		if err != nil || preparing.State != task.Preparing || preparing.Lane != "" {
			t.Fatalf("%+v, %v", preparing, err)
		}

		if b := w.balance(); b.Held != queued.Hold+preparing.Hold {
			t.Errorf("held %s, want %s + %s", b.Held, queued.Hold, preparing.Hold)
		}

		kept, err := w.Store.Task(ctx, queued.ID)
		if err != nil || kept.Hold != queued.Hold || kept.Key != "key_1" {
			t.Errorf("%+v, %v", kept, err)
		}

		w.sound()
	})
}

func TestOneKeyMakesOneTaskHoweverManyAsk(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		var (
			wg sync.WaitGroup
			mu sync.Mutex
		)

		made := map[string]int{}
		fresh := 0

		for range 64 {
			wg.Go(func() {
				made1, replayed, err := w.Submit(context.Background(), w.who, Order{Ask: waves(), IdempotencyKey: "k", BodyHash: "h"})
				if err != nil {
					t.Error(err)
					return
				}

				mu.Lock()
				defer mu.Unlock()

				made[made1.ID]++

				if !replayed {
					fresh++
				}
			})
		}

		wg.Wait()

		if len(made) != 1 || fresh != 1 {
			t.Errorf("%d tasks, %d of them new; want one", len(made), fresh)
		}

		for id := range made {
			entries, err := w.Store.EntriesOf(context.Background(), id)
			if err != nil || len(entries) != 1 || w.balance().Held != entries[0].Amount {
				t.Errorf("ledger %v, %v, held %s", entries, err, w.balance().Held)
			}
		}

		w.sound()
	})
}

// TestAnotherInstanceMayHaveTakenTheKey leaves out the wait within one process:
// the table alone must decide, too.
func TestAnotherInstanceMayHaveTakenTheKey(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		o := Order{Ask: portrait(inlinePNG), IdempotencyKey: "k", BodyHash: "h"}

		first, replayed, err := w.submit(context.Background(), w.who, o)
		if err != nil || replayed {
			t.Fatal(replayed, err)
		}

		second, replayed, err := w.submit(context.Background(), w.who, o)
		if err != nil || !replayed || second.ID != first.ID {
			t.Fatalf("%s replayed %v as %s, %v", first.ID, replayed, second.ID, err)
		}

		if n := len(w.blobs()); n != 1 {
			t.Errorf("%d blobs are left, want the first one's", n)
		}

		o.BodyHash = "other"
		_, _, err = w.submit(context.Background(), w.who, o)
		wantFault(t, err, fault.CodeMismatch, "Idempotency-Key")
		w.sound()
	})
}

func TestAReplayNeedsNoCreditAndARefusalLeavesTheKeyFree(t *testing.T) {
	onEach(t, 500_000, func(t *testing.T, w *world) {
		ctx := context.Background()
		dear := waves()
		dear.Duration = catalog.Give(catalog.Number("15"), "duration", 3)
		_, _, err := w.Submit(ctx, w.who, Order{Ask: dear, IdempotencyKey: "k", BodyHash: "dear"})
		wantFault(t, err, fault.CodeCredit, "")

		first, replayed, err := w.Submit(ctx, w.who, Order{Ask: waves(), IdempotencyKey: "k", BodyHash: "h"})
		if err != nil || replayed {
			t.Fatal(replayed, err)
		}

		if free := w.balance().Free(); free != 0 {
			t.Fatalf("%s is free, the test wants nothing", free)
		}

		again, replayed, err := w.Submit(ctx, w.who, Order{Ask: waves(), IdempotencyKey: "k", BodyHash: "h"})
		if err != nil || !replayed || again.ID != first.ID {
			t.Errorf("%+v, %v, %v", again, replayed, err)
		}

		_, replayed, err = w.Submit(ctx, w.who, Order{Ask: dear, IdempotencyKey: "k", BodyHash: "dear"})
		wantFault(t, err, fault.CodeMismatch, "Idempotency-Key")

		if replayed {
			t.Error("a mismatch says that it was replayed")
		}
	})
}

func TestAnIdempotencyKeyIsText(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		for _, key := range []string{"a\x00b", "\xff\xfe", "caf\xc3", strings.Repeat("k", maxKey+1)} {
			_, _, err := w.Submit(context.Background(), w.who, Order{Ask: waves(), IdempotencyKey: key, BodyHash: "h"})
			wantFault(t, err, fault.CodeInvalidValue, "Idempotency-Key")
		}

		if _, _, err := w.Submit(context.Background(), w.who, Order{Ask: waves(), IdempotencyKey: "café", BodyHash: "h"}); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	cases := map[string]struct {
		ask   catalog.Ask
		lane  *fault.Fault
		code  fault.Code
		param string
	}{
		"no credit":          {ask: portrait(inlinePNG), code: fault.CodeCredit},
		"no such file":       {ask: portrait("file_sample_otter", "file_nobody"), code: fault.CodeInvalidValue, param: "images[1]"},
		"a private address":  {ask: portrait("http://127.0.0.1/a.png"), code: fault.CodeInvalidValue, param: "images[0]"},
		"text called a png":  {ask: portrait("data:image/png;base64,aGVsbG8gd29ybGQ="), code: fault.CodeFileType, param: "images[0]"},
		"another kind":       {ask: portrait(inlinePNG, "data:image/png;base64,"+base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WAVEfmt "))), code: fault.CodeInvalidValue, param: "images[1]"},
		"broken base64":      {ask: portrait("data:image/png;base64,####"), code: fault.CodeInvalidValue, param: "images[0]"},
		"nobody to serve it": {ask: waves(), lane: fault.New(fault.CodeUnavailable, "model", "No."), code: fault.CodeUnavailable, param: "model"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onEach(t, 1, func(t *testing.T, w *world) {
				if c.lane != nil {
					w.Route = func(catalog.Request) (string, *fault.Fault) { return "", c.lane }
				}

				before := w.balance()
				_, _, err := w.Submit(context.Background(), w.who, Order{Ask: c.ask, IdempotencyKey: "k", BodyHash: "h"})
				wantFault(t, err, c.code, c.param)

				if after := w.balance(); after != before {
					t.Errorf("the balance went from %+v to %+v", before, after)
				}

				if left := w.blobs(); len(left) > 0 {
					t.Errorf("blobs are left: %v", left)
				}

				if list, _, err := w.Store.Tasks(context.Background(), store.Filter{Account: w.who.Account, Limit: 1}); err != nil || len(list) > 0 {
					t.Errorf("tasks are left: %v, %v", list, err)
				}

				if _, err := w.Store.Idempotency(context.Background(), w.who.Account, "k", 0); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("the key is taken: %v", err)
				}
			})
		})
	}
}

func TestInlineBytesBecomeFiles(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		made, _, err := w.Submit(context.Background(), w.who, Order{Ask: portrait(inlinePNG, "file_sample_otter")})
		if err != nil {
			t.Fatal(err)
		}

		files, _, err := w.Store.Files(context.Background(), w.who.Account, "", 10)
		if err != nil || len(files) != 1 || files[0].Type != "image/png" || files[0].Bytes != int64(len(png)) {
			t.Fatalf("%+v, %v", files, err)
		}

		body, _, err := w.Store.Request(context.Background(), made.ID)
		if err != nil || !containsAll(string(body), files[0].ID, "file_sample_otter") || containsAll(string(body), "base64") {
			t.Errorf("request %s, %v", body, err)
		}
	})
}

func TestAFullDiskIsSaidAndNothingIsKept(t *testing.T) {
	onEach(t, 10_000_000, func(t *testing.T, w *world) {
		w.full = true
		_, _, err := w.Submit(context.Background(), w.who, Order{Ask: portrait(inlinePNG)})
		wantFault(t, err, fault.CodeDiskFull, "")

		if b := w.balance(); b.Held != 0 {
			t.Errorf("held %s", b.Held)
		}
	})
}
