package fs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/blobtest"
)

func openStore(t *testing.T, folder string, options ...Option) *Store {
	t.Helper()

	s, err := Open(folder, time.Now, options...)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { s.Close() })

	return s
}

func TestContract(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openStore(t, t.TempDir()) })
}

func TestContractWithoutLinks(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := openStore(t, t.TempDir())
		s.link = func(string, string) error { return &os.LinkError{Op: "linkat", Err: syscall.EPERM} }

		return s
	})
}

// fullDisk accepts some bytes, then fails with no space left.
type fullDisk struct {
	w    io.Writer
	free int
	err  error
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.free {
		n, _ := d.w.Write(p[:d.free])
		d.free = 0

		return n, &os.PathError{Op: "write", Err: d.err}
	}

	d.free -= len(p)

	return d.w.Write(p)
}

func TestFullDisk(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		folder := t.TempDir()
		s := openStore(t, folder, WithWriter(func(w io.Writer) io.Writer { return &fullDisk{w, 300_000, cause} }))

		_, err := s.Put(t.Context(), "x/large", strings.NewReader(strings.Repeat("x", 1<<20)))
		if !errors.Is(err, blob.ErrFull) {
			t.Errorf("%v: got %v", cause, err)
		}

		if _, err := s.Stat(t.Context(), "x/large"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("stat: %v", err)
		}

		if left, _ := os.ReadDir(filepath.Join(folder, tempFolder)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}

		if _, err := s.Put(t.Context(), "x/small", strings.NewReader("fits")); err != nil {
			t.Errorf("put a small blob: %v", err)
		}
	}
}

func TestWriteErrorIsNotFull(t *testing.T) {
	s := openStore(t, t.TempDir(), WithWriter(func(w io.Writer) io.Writer { return &fullDisk{w, 10, syscall.EIO} }))

	_, err := s.Put(t.Context(), "x", strings.NewReader(strings.Repeat("x", 100)))
	if !errors.Is(err, syscall.EIO) || errors.Is(err, blob.ErrFull) {
		t.Fatalf("got %v", err)
	}
}

func TestOpenRemovesIncompleteBlobs(t *testing.T) {
	folder := t.TempDir()

	s := openStore(t, folder)
	if _, err := s.Put(t.Context(), "x/whole", strings.NewReader("whole")); err != nil {
		t.Fatal(err)
	}

	half := filepath.Join(folder, tempFolder, "half")
	if err := os.WriteFile(half, []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}

	s.Close()

	s = openStore(t, folder)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-written file was not removed: %v", err)
	}

	if _, err := s.Stat(t.Context(), "x/whole"); err != nil {
		t.Error(err)
	}
}

func TestModTimeIsFromClock(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	s, err := Open(t.TempDir(), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	put, err := s.Put(t.Context(), "x/y", strings.NewReader("z"))
	if err != nil {
		t.Fatal(err)
	}

	stat, err := s.Stat(t.Context(), "x/y")
	if err != nil || !stat.ModTime.Equal(at) || !put.ModTime.Equal(at) {
		t.Fatalf("put %v, stat %v, %v", put.ModTime, stat.ModTime, err)
	}
}

func TestSymlinksOutOfFolderAreNotFollowed(t *testing.T) {
	folder := t.TempDir()

	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}

	s := openStore(t, folder)
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}

	if r, err := s.Open(t.Context(), "link"); err == nil {
		r.Close()
		t.Fatal("a link out of the folder was read")
	}
}

func TestDeleteLeavesNoEmptyFolders(t *testing.T) {
	folder := t.TempDir()

	s := openStore(t, folder)
	if _, err := s.Put(t.Context(), "a/b/c", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}

	if err := s.Delete(t.Context(), "a/b/c"); err != nil {
		t.Fatal(err)
	}

	if left, _ := os.ReadDir(folder); len(left) != 1 || left[0].Name() != tempFolder {
		t.Fatalf("left behind: %v", left)
	}
}

func TestPutBelowBlobFails(t *testing.T) {
	s := openStore(t, t.TempDir())
	if _, err := s.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Put(t.Context(), "a/b", strings.NewReader("y")); !errors.Is(err, blob.ErrBadKey) {
		t.Fatalf("got %v", err)
	}
}
