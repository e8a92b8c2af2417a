// Package blobtest is the contract of blob.Store as one test suite. Every store runs it
// in its own tests; callers must not rely on anything that it does not test. Only tests
// use it, and it touches no store other than the one that it is given.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/blob"
)

// Run checks a store against the contract. open returns a new, empty store on each call
// and closes it with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, test := range map[string]func(t *testing.T, s blob.Store){
		"PutThenRead":        putThenRead,
		"Empty":              putEmpty,
		"Large":              putLarge,
		"PutExisting":        putExisting,
		"PutConcurrently":    putConcurrently,
		"ReaderFails":        putReaderFails,
		"Cancelled":          putCancelled,
		"CancelledMidway":    putCancelledMidway,
		"Ranges":             readRanges,
		"Missing":            readMissing,
		"Delete":             deleteThenPut,
		"DeleteWhileRead":    deleteWhileRead,
		"PutDuringDeletes":   putDuringDeletes,
		"List":               listAll,
		"ListStops":          listStops,
		"BadKeys":            badKeys,
		"URLIsUsableOrEmpty": urlIsUsable,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func putThenRead(t *testing.T, s blob.Store) {
	data := randomBytes(1, 300_001)
	for _, key := range []string{"one", "task_01/1-a.mp4", "a/b/c_D-9.x"} {
		info, err := s.Put(t.Context(), key, iotest.HalfReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}

		if info.Key != key || info.Bytes != int64(len(data)) || info.SHA256 != sha256Hex(data) || info.ModTime.IsZero() {
			t.Errorf("put returned %+v", info)
		}

		if got := readBlob(t, s, key); !bytes.Equal(got, data) {
			t.Errorf("%s: read returned other bytes", key)
		}

		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		if stat.Key != key || stat.Bytes != info.Bytes || (stat.SHA256 != "" && stat.SHA256 != info.SHA256) {
			t.Errorf("stat returned %+v", stat)
		}

		if d := stat.ModTime.Sub(info.ModTime).Abs(); d > 2*time.Second {
			t.Errorf("the times of put and stat differ by %s", d)
		}
	}
}

func putEmpty(t *testing.T, s blob.Store) {
	info, err := s.Put(t.Context(), "x/empty", strings.NewReader(""))
	if err != nil || info.Bytes != 0 || info.SHA256 != sha256Hex(nil) {
		t.Fatalf("got %+v, %v", info, err)
	}

	if got := readBlob(t, s, "x/empty"); len(got) != 0 {
		t.Fatalf("got %d bytes", len(got))
	}
}

// putLarge streams 50 MiB and checks that Put allocates much less memory than that.
func putLarge(t *testing.T, s blob.Store) {
	const size = 50 << 20

	var before, after runtime.MemStats

	runtime.GC()
	runtime.ReadMemStats(&before)

	source := &triggerReader{r: io.LimitReader(endlessReader{}, size), threshold: size - 1<<20, trigger: func() { runtime.ReadMemStats(&after) }}

	info, err := s.Put(t.Context(), "x/large", source)
	if err != nil || info.Bytes != size {
		t.Fatalf("got %+v, %v", info, err)
	}
	// TotalAlloc counts everything that was ever allocated, so buffers must be reused.
	if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > size/2 {
		t.Errorf("%d MiB were allocated for 50 MiB", allocated>>20)
	}

	h := sha256.New()

	r := openBlob(t, s, "x/large")
	defer r.Close()

	if n, err := io.Copy(h, r); err != nil || n != size || hex.EncodeToString(h.Sum(nil)) != info.SHA256 {
		t.Fatalf("read %d bytes, %v", n, err)
	}
}

func putExisting(t *testing.T, s blob.Store) {
	putBlob(t, s, "x/one", "first")

	if _, err := s.Put(t.Context(), "x/one", strings.NewReader("second")); !errors.Is(err, blob.ErrExists) {
		t.Fatalf("got %v", err)
	}

	if got := readBlob(t, s, "x/one"); string(got) != "first" {
		t.Fatalf("got %q", got)
	}
}

// putConcurrently puts the same key many times at once: exactly one Put succeeds, and its
// blob is complete.
func putConcurrently(t *testing.T, s blob.Store) {
	const writers = 12

	start := make(chan struct{})
	errs := make([]error, writers)

	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			<-start

			_, errs[i] = s.Put(t.Context(), "x/one", bytes.NewReader(randomBytes(uint64(i), 100_000)))
		})
	}

	close(start)
	all.Wait()

	winner := -1

	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case !errors.Is(err, blob.ErrExists):
			t.Errorf("put %d: %v", i, err)
		}
	}

	if winner < 0 {
		t.Fatal("no put succeeded")
	}

	if !bytes.Equal(readBlob(t, s, "x/one"), randomBytes(uint64(winner), 100_000)) {
		t.Fatal("the blob is not that of the put that succeeded")
	}
}

func putReaderFails(t *testing.T, s blob.Store) {
	broken := errors.New("broken")
	for _, after := range []int{0, 1, 600_000} {
		r := io.MultiReader(bytes.NewReader(randomBytes(2, after)), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), "x/broken", r); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", after, err)
		}
	}

	checkEmpty(t, s)
	putBlob(t, s, "x/broken", "the key is free")
}

func putCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := s.Put(ctx, "x/one", strings.NewReader("bytes")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}

	checkEmpty(t, s)
}

func putCancelledMidway(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	source := &triggerReader{r: io.LimitReader(endlessReader{}, 8<<20), threshold: 3 << 20, trigger: cancel}
	if _, err := s.Put(ctx, "x/one", source); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}

	checkEmpty(t, s)
}

func readRanges(t *testing.T, s blob.Store) {
	data := randomBytes(3, 70_000)
	if _, err := s.Put(t.Context(), "x/one", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}

	r := openBlob(t, s, "x/one")
	defer r.Close()

	if r.Size() != int64(len(data)) {
		t.Fatalf("size %d", r.Size())
	}

	if end, err := r.Seek(0, io.SeekEnd); err != nil || end != r.Size() {
		t.Fatalf("seek to the end: %d, %v", end, err)
	}

	for _, at := range []int64{69_999, 0, 1, 35_000, 70_000} {
		if got, err := r.Seek(at, io.SeekStart); err != nil || got != at {
			t.Fatalf("seek %d: %d, %v", at, got, err)
		}

		want := data[at:min(at+1000, 70_000)]

		got, err := io.ReadAll(io.LimitReader(r, 1000))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("at %d: %d bytes, %v", at, len(got), err)
		}
	}
}

func readMissing(t *testing.T, s blob.Store) {
	putBlob(t, s, "x/one", "bytes")

	for _, key := range []string{"nothing", "x", "x/two", "x/one/two"} {
		if r, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("open %s: %v, %v", key, r, err)
		}

		if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("stat %s: %v", key, err)
		}
	}
}

func deleteThenPut(t *testing.T, s blob.Store) {
	putBlob(t, s, "x/one", "bytes")
	putBlob(t, s, "x/two", "more")

	for range 2 {
		if err := s.Delete(t.Context(), "x/one"); err != nil {
			t.Fatal(err)
		}
	}

	if err := s.Delete(t.Context(), "x"); err != nil {
		t.Errorf("delete a key that is only a folder: %v", err)
	}

	if diff := cmp.Diff([]string{"x/two"}, listKeys(t, s)); diff != "" {
		t.Fatal(diff)
	}

	putBlob(t, s, "x/one", "again")

	if got := readBlob(t, s, "x/one"); string(got) != "again" {
		t.Fatalf("got %q", got)
	}
}

func deleteWhileRead(t *testing.T, s blob.Store) {
	putBlob(t, s, "x/one", "bytes")

	r := openBlob(t, s, "x/one")
	defer r.Close()

	if err := s.Delete(t.Context(), "x/one"); err != nil {
		t.Fatal(err)
	}
	// A store may continue to read the blob or return an error, but not other bytes.
	if got, err := io.ReadAll(r); err == nil && string(got) != "bytes" {
		t.Fatalf("got %q", got)
	}
}

// putDuringDeletes puts blobs of an owner while the owner's last blob is deleted.
func putDuringDeletes(t *testing.T, s blob.Store) {
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 15 {
				key := fmt.Sprintf("x/%d-%d", worker, i)
				if _, err := s.Put(t.Context(), key, strings.NewReader(key)); err != nil {
					t.Errorf("put: %v", err)
				}

				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}

	all.Wait()
	checkEmpty(t, s)
}

func listAll(t *testing.T, s blob.Store) {
	checkEmpty(t, s)

	var want []string

	for i := range 30 {
		key := fmt.Sprintf("owner_%d/%d-%d", i%4, i, i)
		putBlob(t, s, key, strings.Repeat("x", i))
		want = append(want, key)
	}

	slices.Sort(want)

	if diff := cmp.Diff(want, listKeys(t, s)); diff != "" {
		t.Error(diff)
	}

	err := s.List(t.Context(), func(i blob.Info) bool {
		var n int64
		if _, err := fmt.Sscanf(i.Key[strings.Index(i.Key, "/")+1:], "%d", &n); err != nil || i.Bytes != n || i.ModTime.IsZero() {
			t.Errorf("list returned %+v", i)
		}
		// Cleanup deletes blobs while it lists them.
		if err := s.Delete(t.Context(), i.Key); err != nil {
			t.Error(err)
		}

		return true
	})
	if err != nil {
		t.Fatal(err)
	}

	checkEmpty(t, s)
}

func listStops(t *testing.T, s blob.Store) {
	for i := range 5 {
		putBlob(t, s, fmt.Sprintf("x/%d", i), "bytes")
	}

	visits := 0
	if err := s.List(t.Context(), func(blob.Info) bool { visits++; return visits < 2 }); err != nil || visits != 2 {
		t.Errorf("%d visits, %v", visits, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := s.List(ctx, func(blob.Info) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("list with a cancelled context: %v", err)
	}
}

func badKeys(t *testing.T, s blob.Store) {
	for _, key := range []string{
		"", "/", "/x", "x/", "x//y", ".", "..", "../x", "x/../y", "x/..", ".hidden", "x/.hidden", "a/b/c/d",
		"x y", "x\x00y", "x\ny", `x\y`, "é", "x:y", "C:", "x/*", "%2e%2e/x", strings.Repeat("x", 1000), "x/" + strings.Repeat("y", 300),
	} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("bytes")); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("put %q: %v", key, err)
		}

		if _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("open %q: %v", key, err)
		}

		if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("stat %q: %v", key, err)
		}

		if err := s.Delete(t.Context(), key); !errors.Is(err, blob.ErrBadKey) {
			t.Errorf("delete %q: %v", key, err)
		}
	}

	checkEmpty(t, s)
}

func urlIsUsable(t *testing.T, s blob.Store) {
	putBlob(t, s, "x/one", "bytes")

	url, err := s.URL(t.Context(), "x/one", time.Minute)
	if err != nil || (url != "" && !strings.HasPrefix(url, "http")) {
		t.Fatalf("got %q, %v", url, err)
	}
}
