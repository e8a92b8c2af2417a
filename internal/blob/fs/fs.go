// Package fs keeps blobs as files in one folder: the embedded default of
// blob.Store. dispatch and checkout put, api reads, the sweep deletes. Nothing
// below the folder's root can be left by a key or a link, since every path goes
// through os.Root. It never looks into a blob, never changes one, and does not
// lock the folder: one process owns it, and who starts that process sees to it.
package fs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/unireel/unireel/internal/blob"
)

// incoming is where blobs are written before they get their name: on the same
// file system, so that naming is one step, and in one place, so that Open finds
// what a crash left without reading the whole store. No key begins with a dot.
const incoming = ".incoming"

const chunk = 256 << 10

// Store is a blob.Store in a folder.
type Store struct {
	root   *os.Root
	now    func() time.Time
	writer func(io.Writer) io.Writer
	link   func(from, to string) error
	naming sync.Mutex // only where the file system has no links
}

// Option changes a Store as it is opened.
type Option func(*Store)

// Writer puts wrap around every file that is written, so that a test can have a
// disk that is full.
func Writer(wrap func(io.Writer) io.Writer) Option {
	return func(s *Store) { s.writer = wrap }
}

// Open opens the store in folder, made if it is missing, and removes what an
// earlier process left half-written. now gives the blobs their time.
func Open(folder string, now func() time.Time, options ...Option) (*Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make blob folder: %w", err)
	}

	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}

	s := &Store{root: root, now: now, writer: func(w io.Writer) io.Writer { return w }, link: root.Link}
	for _, o := range options {
		o(s)
	}

	if err := errors.Join(root.RemoveAll(incoming), root.Mkdir(incoming, 0o700)); err != nil {
		root.Close()
		return nil, fmt.Errorf("clear half-written blobs: %w", err)
	}

	return s, nil
}

// Close gives the folder up. Readers that are open stay readable.
func (s *Store) Close() error { return s.root.Close() }

// Put writes a blob; see blob.Store. A reader that waits must itself end with
// ctx: between two reads Put looks, within one it cannot.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	if _, err := s.root.Lstat(key); err == nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blob.ErrExists)
	}

	info, err := s.put(ctx, key, r)
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, full(err))
	}

	return info, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader) (info blob.Info, err error) {
	temp := path.Join(incoming, rand.Text())
	defer func() {
		// After a link the temporary name is the file's second one; after a
		// rename it is gone.
		if gone := s.root.Remove(temp); err == nil && gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = gone
		}
	}()

	if info, err = s.write(ctx, temp, r); err != nil {
		return blob.Info{}, err
	}

	if err := s.name(temp, key); err != nil {
		return blob.Info{}, err
	}

	if err := s.syncFolders(key); err != nil {
		return blob.Info{}, errors.Join(err, s.root.Remove(key))
	}

	info.Key = key

	return info, nil
}

// write fills the temporary file and makes its bytes durable.
func (s *Store) write(ctx context.Context, temp string, r io.Reader) (blob.Info, error) {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return blob.Info{}, err
	}

	hash := sha256.New()

	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(s.writer(f), hash)}, onlyReader{ctx, r}, make([]byte, chunk))
	if err == nil {
		err = f.Sync()
	}

	if closed := f.Close(); err == nil {
		err = closed
	}

	now := s.now()
	if err == nil {
		err = s.root.Chtimes(temp, now, now)
	}

	if err != nil {
		return blob.Info{}, err
	}

	return blob.Info{Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil)), ModTime: now}, nil
}

// name gives a finished file its key, and never replaces one that has it. The
// key's folder may be removed by a Delete between the two steps; so it tries
// again.
func (s *Store) name(temp, key string) error {
	var err error
	for range 100 {
		if err = s.root.MkdirAll(path.Dir(key), 0o700); err == nil {
			err = s.place(temp, key)
		} else if s.throughBlob(key) {
			return fmt.Errorf("%w: a part of it is a blob", blob.ErrBadKey)
		} else if errors.Is(err, fs.ErrExist) {
			continue // it was there, and was gone when it was looked at
		}

		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}

	return err
}

// throughBlob says whether a folder that the key would lie in is no folder.
func (s *Store) throughBlob(key string) bool {
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if info, err := s.root.Lstat(folder); err == nil {
			return !info.IsDir()
		}
	}

	return false
}

func (s *Store) place(temp, key string) error {
	err := s.link(temp, key)
	switch {
	case errors.Is(err, fs.ErrExist):
		return blob.ErrExists
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EMLINK):
		return s.rename(temp, key)
	}

	return err
}

// rename does what link does on file systems without links, where only this
// process' own lock keeps a key from being replaced.
func (s *Store) rename(temp, key string) error {
	s.naming.Lock()
	defer s.naming.Unlock()

	if _, err := s.root.Lstat(key); err == nil {
		return blob.ErrExists
	}

	return s.root.Rename(temp, key)
}

// syncFolders makes the key's name durable, and the names of the folders that it
// lies in: another Put may have made them a moment ago.
func (s *Store) syncFolders(key string) error {
	for folder := path.Dir(key); ; folder = path.Dir(folder) {
		f, err := s.root.Open(folder)
		if err != nil {
			return err
		}

		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}

		if folder == "." {
			return nil
		}
	}
}

// Open reads a blob; see blob.Store.
func (s *Store) Open(_ context.Context, key string) (blob.Reader, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}

	f, err := s.root.Open(key)
	if err != nil {
		return nil, missing("open", key, err)
	}

	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}

	if err != nil {
		f.Close()
		return nil, missing("open", key, err)
	}

	return &reader{f, info.Size()}, nil
}

// Stat says how large and how old a blob is; see blob.Store.
func (s *Store) Stat(_ context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	info, err := s.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}

	if err != nil {
		return blob.Info{}, missing("stat", key, err)
	}

	return blob.Info{Key: key, Bytes: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete removes a blob, and folders that it leaves empty; see blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if _, err := s.Stat(ctx, key); err != nil {
		if errors.Is(err, blob.ErrNotFound) {
			return nil
		}

		return err
	}

	if err := s.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}

	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if !s.removed(folder) {
			break // not empty
		}
	}

	return nil
}

func (s *Store) removed(folder string) bool { return s.root.Remove(folder) == nil }

// URL gives none: the server passes the bytes on.
func (s *Store) URL(context.Context, string, time.Duration) (string, error) { return "", nil }

// List visits every blob; see blob.Store. It reads folders piece by piece, so a
// store of any size is walked in bounded memory.
func (s *Store) List(ctx context.Context, visit func(blob.Info) bool) error {
	_, err := s.walk(ctx, ".", visit)
	return err
}

func (s *Store) walk(ctx context.Context, folder string, visit func(blob.Info) bool) (more bool, err error) {
	f, err := s.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // a Delete was faster
	}

	if err != nil {
		return false, fmt.Errorf("list blobs: %w", err)
	}
	defer f.Close()

	for {
		entries, err := f.ReadDir(512)
		for _, e := range entries {
			if more, err := s.visit(ctx, path.Join(folder, e.Name()), e, visit); err != nil || !more {
				return false, err
			}
		}

		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}

		if err != nil {
			return false, fmt.Errorf("list blobs: %w", err)
		}
	}
}

func (s *Store) visit(ctx context.Context, name string, e fs.DirEntry, visit func(blob.Info) bool) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("list blobs: %w", err)
	}

	if !blob.IsKey(name) {
		return true, nil // incoming, and what others put into the folder
	}

	if e.IsDir() {
		return s.walk(ctx, name, visit)
	}

	info, err := s.Stat(ctx, name)
	if errors.Is(err, blob.ErrNotFound) {
		return true, nil
	}

	if err != nil {
		return false, err
	}

	return visit(info), nil
}

// full marks errors of a disk, an account on it or a process that has no room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}

	return err
}

func missing(verb, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = blob.ErrNotFound
	}

	return fmt.Errorf("%s blob %s: %w", verb, key, err)
}

type reader struct {
	*os.File
	size int64
}

// Size is the blob's length in bytes.
func (r *reader) Size() int64 { return r.size }

// onlyReader looks at ctx before each read, and hides WriterTo, which would pass
// over the bounded buffer.
type onlyReader struct {
	ctx context.Context
	r   io.Reader
}

func (o onlyReader) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, context.Cause(o.ctx)
	}

	return o.r.Read(p)
}

type onlyWriter struct{ io.Writer }
