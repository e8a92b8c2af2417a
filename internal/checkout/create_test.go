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

func TestCreateHoldsCreditAndQueues(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		ctx := context.Background()

		queued, replayed, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: textToVideo(), Object: "video"})
		if err != nil || replayed || queued.State != task.Queued || queued.Queue != "queue" || queued.Hold == 0 || queued.Object != "video" {
			t.Fatalf("%+v, %v, %v", queued, replayed, err)
		}

		preparing, _, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: referenceToVideo("https://example.com/a.png")})
		if err != nil || preparing.State != task.Preparing || preparing.Queue != "" {
			t.Fatalf("%+v, %v", preparing, err)
		}

		if b := fx.balance(); b.Held != queued.Hold+preparing.Hold {
			t.Errorf("held %s, want %s + %s", b.Held, queued.Hold, preparing.Hold)
		}

		kept, err := fx.Store.Task(ctx, queued.ID)
		if err != nil || kept.Hold != queued.Hold || kept.Key != "key_1" {
			t.Errorf("%+v, %v", kept, err)
		}

		fx.checkConsistency()
	})
}

func TestConcurrentCreatesWithOneKey(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		var (
			wg sync.WaitGroup
			mu sync.Mutex
		)

		made := map[string]int{}
		createdCount := 0

		for range 64 {
			wg.Go(func() {
				created, replayed, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: textToVideo(), IdempotencyKey: "k", BodyHash: "h"})
				if err != nil {
					t.Error(err)
					return
				}

				mu.Lock()
				defer mu.Unlock()

				made[created.ID]++

				if !replayed {
					createdCount++
				}
			})
		}

		wg.Wait()

		if len(made) != 1 || createdCount != 1 {
			t.Errorf("%d tasks, %d of them new; want one", len(made), createdCount)
		}

		for id := range made {
			entries, err := fx.Store.EntriesOf(context.Background(), id)
			if err != nil || len(entries) != 1 || fx.balance().Held != entries[0].Amount {
				t.Errorf("ledger %v, %v, held %s", entries, err, fx.balance().Held)
			}
		}

		fx.checkConsistency()
	})
}

// TestKeyUsedByAnotherInstance calls create directly, without the lock within the process:
// the table alone must decide.
func TestKeyUsedByAnotherInstance(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		req := CreateRequest{Raw: referenceToVideo(inlinePNG), IdempotencyKey: "k", BodyHash: "h"}

		first, replayed, err := fx.create(context.Background(), fx.caller, req)
		if err != nil || replayed {
			t.Fatal(replayed, err)
		}

		second, replayed, err := fx.create(context.Background(), fx.caller, req)
		if err != nil || !replayed || second.ID != first.ID {
			t.Fatalf("%s replayed %v as %s, %v", first.ID, replayed, second.ID, err)
		}

		if n := len(fx.blobKeys()); n != 1 {
			t.Errorf("%d blobs are left, want only the first task's", n)
		}

		req.BodyHash = "other"
		_, _, err = fx.create(context.Background(), fx.caller, req)
		wantFault(t, err, fault.CodeIdempotencyMismatch, "Idempotency-Key")
		fx.checkConsistency()
	})
}

func TestReplayNeedsNoCreditAndRejectionFreesKey(t *testing.T) {
	onEachDatabase(t, 500_000, func(t *testing.T, fx *fixture) {
		ctx := context.Background()
		expensive := textToVideo()
		expensive.Duration = catalog.NewField(catalog.Number("15"), "duration", 3)
		_, _, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: expensive, IdempotencyKey: "k", BodyHash: "expensive"})
		wantFault(t, err, fault.CodeInsufficientCredit, "")

		first, replayed, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: textToVideo(), IdempotencyKey: "k", BodyHash: "h"})
		if err != nil || replayed {
			t.Fatal(replayed, err)
		}

		if free := fx.balance().Free(); free != 0 {
			t.Fatalf("%s is free, but the test needs 0", free)
		}

		again, replayed, err := fx.Create(ctx, fx.caller, CreateRequest{Raw: textToVideo(), IdempotencyKey: "k", BodyHash: "h"})
		if err != nil || !replayed || again.ID != first.ID {
			t.Errorf("%+v, %v, %v", again, replayed, err)
		}

		_, replayed, err = fx.Create(ctx, fx.caller, CreateRequest{Raw: expensive, IdempotencyKey: "k", BodyHash: "expensive"})
		wantFault(t, err, fault.CodeIdempotencyMismatch, "Idempotency-Key")

		if replayed {
			t.Error("a mismatch is reported as a replay")
		}
	})
}

func TestIdempotencyKeyMustBeText(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		for _, key := range []string{"a\x00b", "\xff\xfe", "caf\xc3", strings.Repeat("k", maxIdempotencyKey+1)} {
			_, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: textToVideo(), IdempotencyKey: key, BodyHash: "h"})
			wantFault(t, err, fault.CodeInvalidValue, "Idempotency-Key")
		}

		if _, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: textToVideo(), IdempotencyKey: "café", BodyHash: "h"}); err != nil {
			t.Error(err)
		}
	})
}

func TestRejectedCreateLeavesNothing(t *testing.T) {
	cases := map[string]struct {
		raw      catalog.RawRequest
		routeErr *fault.Fault
		code     fault.Code
		param    string
	}{
		"no credit":         {raw: referenceToVideo(inlinePNG), code: fault.CodeInsufficientCredit},
		"no such file":      {raw: referenceToVideo("file_sample_otter", "file_nobody"), code: fault.CodeInvalidValue, param: "images[1]"},
		"a private address": {raw: referenceToVideo("http://127.0.0.1/a.png"), code: fault.CodeInvalidValue, param: "images[0]"},
		"text called a png": {raw: referenceToVideo("data:image/png;base64,aGVsbG8gd29ybGQ="), code: fault.CodeUnsupportedFileType, param: "images[0]"},
		"another kind":      {raw: referenceToVideo(inlinePNG, "data:image/png;base64,"+base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WAVEfmt "))), code: fault.CodeInvalidValue, param: "images[1]"},
		"broken base64":     {raw: referenceToVideo("data:image/png;base64,####"), code: fault.CodeInvalidValue, param: "images[0]"},
		"no route":          {raw: textToVideo(), routeErr: fault.New(fault.CodeUnavailable, "model", "No."), code: fault.CodeUnavailable, param: "model"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onEachDatabase(t, 1, func(t *testing.T, fx *fixture) {
				if c.routeErr != nil {
					fx.QueueFor = func(catalog.Request) (string, *fault.Fault) { return "", c.routeErr }
				}

				before := fx.balance()
				_, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: c.raw, IdempotencyKey: "k", BodyHash: "h"})
				wantFault(t, err, c.code, c.param)

				if after := fx.balance(); after != before {
					t.Errorf("the balance went from %+v to %+v", before, after)
				}

				if left := fx.blobKeys(); len(left) > 0 {
					t.Errorf("blobs are left: %v", left)
				}

				if list, _, err := fx.Store.Tasks(context.Background(), store.TaskFilter{Account: fx.caller.Account, Limit: 1}); err != nil || len(list) > 0 {
					t.Errorf("tasks are left: %v, %v", list, err)
				}

				if _, err := fx.Store.Idempotency(context.Background(), fx.caller.Account, "k", 0); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("the key was stored: %v", err)
				}
			})
		})
	}
}

func TestDataURIsBecomeFiles(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		made, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: referenceToVideo(inlinePNG, "file_sample_otter")})
		if err != nil {
			t.Fatal(err)
		}

		files, _, err := fx.Store.Files(context.Background(), fx.caller.Account, "", 10)
		if err != nil || len(files) != 1 || files[0].Type != "image/png" || files[0].Bytes != int64(len(png)) {
			t.Fatalf("%+v, %v", files, err)
		}

		body, _, err := fx.Store.Request(context.Background(), made.ID)
		if err != nil || !containsAll(string(body), files[0].ID, "file_sample_otter") || containsAll(string(body), "base64") {
			t.Errorf("request %s, %v", body, err)
		}
	})
}

func TestCreateOnFullDisk(t *testing.T) {
	onEachDatabase(t, 10_000_000, func(t *testing.T, fx *fixture) {
		fx.diskFull = true
		_, _, err := fx.Create(context.Background(), fx.caller, CreateRequest{Raw: referenceToVideo(inlinePNG)})
		wantFault(t, err, fault.CodeStorageFull, "")

		if b := fx.balance(); b.Held != 0 {
			t.Errorf("held %s", b.Held)
		}
	})
}
