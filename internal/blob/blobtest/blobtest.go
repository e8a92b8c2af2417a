// Package blobtest is the contract of blob.Store as one suite. Every store runs
// it in its own tests; what it does not say, no caller may count on. It is used
// by tests only and never touches a store other than the one it is given.
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

// Run holds a store to the contract. open gives an empty store each time it is
// called, and closes it by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, law := range map[string]func(t *testing.T, s blob.Store){
		"PutThenRead":      putThenRead,
		"Empty":            empty,
		"Large":            large,
		"NeverReplaced":    neverReplaced,
		"OneOfMany":        oneOfMany,
		"ReaderFails":      readerFails,
		"Cancelled":        cancelled,
		"CancelledMidway":  cancelledMidway,
		"Ranges":           ranges,
		"Missing":          missing,
		"Delete":           deleting,
		"DeleteWhileRead":  deleteWhileRead,
		"PutAmongDeletes":  putAmongDeletes,
		"List":             list,
		"ListStops":        listStops,
		"BadKeys":          badKeys,
		"URLIsUsableOrNil": link,
	} {
		t.Run(name, func(t *testing.T) { law(t, open(t)) })
	}
}

func putThenRead(t *testing.T, s blob.Store) {
	data := noise(1, 300_001)
	for _, key := range []string{"one", "task_01/1-a.mp4", "a/b/c_D-9.x"} {
		info, err := s.Put(t.Context(), key, iotest.HalfReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}

		if info.Key != key || info.Bytes != int64(len(data)) || info.SHA256 != sum(data) || info.ModTime.IsZero() {
			t.Errorf("put says %+v", info)
		}

		if got := read(t, s, key); !bytes.Equal(got, data) {
			t.Errorf("%s: other bytes came back", key)
		}

		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		if stat.Key != key || stat.Bytes != info.Bytes || (stat.SHA256 != "" && stat.SHA256 != info.SHA256) {
			t.Errorf("stat says %+v", stat)
		}

		if d := stat.ModTime.Sub(info.ModTime).Abs(); d > 2*time.Second {
			t.Errorf("put and stat differ by %s in its time", d)
		}
	}
}

func empty(t *testing.T, s blob.Store) {
	info, err := s.Put(t.Context(), "x/empty", strings.NewReader(""))
	if err != nil || info.Bytes != 0 || info.SHA256 != sum(nil) {
		t.Fatalf("got %+v, %v", info, err)
	}

	if got := read(t, s, "x/empty"); len(got) != 0 {
		t.Fatalf("got %d bytes", len(got))
	}
}

// large streams 50 MiB and watches that the memory in use does not grow by as
// much.
func large(t *testing.T, s blob.Store) {
	const size = 50 << 20

	var before, after runtime.MemStats

	runtime.GC()
	runtime.ReadMemStats(&before)

	source := &counting{r: io.LimitReader(pattern{}, size), at: size - 1<<20, do: func() { runtime.ReadMemStats(&after) }}

	info, err := s.Put(t.Context(), "x/large", source)
	if err != nil || info.Bytes != size {
		t.Fatalf("got %+v, %v", info, err)
	}
	// All that was ever allocated counts: what is bounded allocates little.
	if grew := int64(after.TotalAlloc - before.TotalAlloc); grew > size/2 {
		t.Errorf("%d MiB were allocated for 50 MiB", grew>>20)
	}

	h := sha256.New()

	r := openBlob(t, s, "x/large")
	defer r.Close()

	if n, err := io.Copy(h, r); err != nil || n != size || hex.EncodeToString(h.Sum(nil)) != info.SHA256 {
		t.Fatalf("read %d bytes, %v", n, err)
	}
}

func neverReplaced(t *testing.T, s blob.Store) {
	put(t, s, "x/one", "first")

	if _, err := s.Put(t.Context(), "x/one", strings.NewReader("second")); !errors.Is(err, blob.ErrExists) {
		t.Fatalf("got %v", err)
	}

	if got := read(t, s, "x/one"); string(got) != "first" {
		t.Fatalf("got %q", got)
	}
}

// oneOfMany puts one key many times at once: one wins, whole.
func oneOfMany(t *testing.T, s blob.Store) {
	const many = 12

	start := make(chan struct{})
	errs := make([]error, many)

	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			<-start

			_, errs[i] = s.Put(t.Context(), "x/one", bytes.NewReader(noise(uint64(i), 100_000)))
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
		t.Fatal("nobody won")
	}

	if !bytes.Equal(read(t, s, "x/one"), noise(uint64(winner), 100_000)) {
		t.Fatal("the blob is not the winner's")
	}
}

func readerFails(t *testing.T, s blob.Store) {
	broken := errors.New("broken")
	for _, after := range []int{0, 1, 600_000} {
		r := io.MultiReader(bytes.NewReader(noise(2, after)), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), "x/broken", r); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", after, err)
		}
	}

	nothing(t, s)
	put(t, s, "x/broken", "the key is free")
}

func cancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := s.Put(ctx, "x/one", strings.NewReader("bytes")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}

	nothing(t, s)
}

func cancelledMidway(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	source := &counting{r: io.LimitReader(pattern{}, 8<<20), at: 3 << 20, do: cancel}
	if _, err := s.Put(ctx, "x/one", source); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}

	nothing(t, s)
}

func ranges(t *testing.T, s blob.Store) {
	data := noise(3, 70_000)
	if _, err := s.Put(t.Context(), "x/one", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}

	r := openBlob(t, s, "x/one")
	defer r.Close()

	if r.Size() != int64(len(data)) {
		t.Fatalf("size %d", r.Size())
	}

	if end, err := r.Seek(0, io.SeekEnd); err != nil || end != r.Size() {
		t.Fatalf("the end is %d, %v", end, err)
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

func missing(t *testing.T, s blob.Store) {
	put(t, s, "x/one", "bytes")

	for _, key := range []string{"nothing", "x", "x/two", "x/one/two"} {
		if r, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("open %s: %v, %v", key, r, err)
		}

		if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("stat %s: %v", key, err)
		}
	}
}

func deleting(t *testing.T, s blob.Store) {
	put(t, s, "x/one", "bytes")
	put(t, s, "x/two", "more")

	for range 2 {
		if err := s.Delete(t.Context(), "x/one"); err != nil {
			t.Fatal(err)
		}
	}

	if err := s.Delete(t.Context(), "x"); err != nil {
		t.Errorf("delete of what is only a folder: %v", err)
	}

	if diff := cmp.Diff([]string{"x/two"}, keys(t, s)); diff != "" {
		t.Fatal(diff)
	}

	put(t, s, "x/one", "again")

	if got := read(t, s, "x/one"); string(got) != "again" {
		t.Fatalf("got %q", got)
	}
}

func deleteWhileRead(t *testing.T, s blob.Store) {
	put(t, s, "x/one", "bytes")

	r := openBlob(t, s, "x/one")
	defer r.Close()

	if err := s.Delete(t.Context(), "x/one"); err != nil {
		t.Fatal(err)
	}
	// A store may go on reading or say that it is gone; it may not give others.
	if got, err := io.ReadAll(r); err == nil && string(got) != "bytes" {
		t.Fatalf("got %q", got)
	}
}

// putAmongDeletes puts into an owner's place while its last blob is deleted.
func putAmongDeletes(t *testing.T, s blob.Store) {
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
	nothing(t, s)
}

func list(t *testing.T, s blob.Store) {
	nothing(t, s)

	var want []string

	for i := range 30 {
		key := fmt.Sprintf("owner_%d/%d-%d", i%4, i, i)
		put(t, s, key, strings.Repeat("x", i))
		want = append(want, key)
	}

	slices.Sort(want)

	if diff := cmp.Diff(want, keys(t, s)); diff != "" {
		t.Error(diff)
	}

	err := s.List(t.Context(), func(i blob.Info) bool {
		var n int64
		if _, err := fmt.Sscanf(i.Key[strings.Index(i.Key, "/")+1:], "%d", &n); err != nil || i.Bytes != n || i.ModTime.IsZero() {
			t.Errorf("list says %+v", i)
		}
		// Deleting what is visited is what a sweep does.
		if err := s.Delete(t.Context(), i.Key); err != nil {
			t.Error(err)
		}

		return true
	})
	if err != nil {
		t.Fatal(err)
	}

	nothing(t, s)
}

func listStops(t *testing.T, s blob.Store) {
	for i := range 5 {
		put(t, s, fmt.Sprintf("x/%d", i), "bytes")
	}

	visits := 0
	if err := s.List(t.Context(), func(blob.Info) bool { visits++; return visits < 2 }); err != nil || visits != 2 {
		t.Errorf("%d visits, %v", visits, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := s.List(ctx, func(blob.Info) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled list: %v", err)
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

	nothing(t, s)
}

func link(t *testing.T, s blob.Store) {
	put(t, s, "x/one", "bytes")

	url, err := s.URL(t.Context(), "x/one", time.Minute)
	if err != nil || (url != "" && !strings.HasPrefix(url, "http")) {
		t.Fatalf("got %q, %v", url, err)
	}
}
