// Package fs keeps blobs as files in one folder. It is the default blob.Store. dispatch
// and checkout put blobs, api reads them, cleanup deletes them. Every path goes through
// os.Root, so no key and no link leads out of the folder. It never looks into a blob or
// changes one. It does not lock the folder: one process owns it, and whatever starts
// that process must make sure of that.
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

// tempFolder is where blobs are written before they get their name. It is on the same
// file system, so that naming is one step, and in one place, so that Open finds what a
// crash left without reading the whole store. No key begins with a dot.
const tempFolder = ".incoming"

const copyBufferSize = 256 << 10

// Store is a blob.Store that keeps files in a folder.
type Store struct {
	root       *os.Root
	now        func() time.Time
	wrapWriter func(io.Writer) io.Writer
	link       func(from, to string) error
	renameMu   sync.Mutex // only where the file system has no links
}

// Option changes a Store when it is opened.
type Option func(*Store)

// WithWriter wraps every file that is written, so that a test can simulate a full disk.
func WithWriter(wrap func(io.Writer) io.Writer) Option {
	return func(s *Store) { s.wrapWriter = wrap }
}

// Open opens the store in folder, creates the folder if it is missing, and removes what
// an earlier process left half-written. now is the clock for the blobs' times.
func Open(folder string, now func() time.Time, options ...Option) (*Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make blob folder: %w", err)
	}

	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open blob folder: %w", err)
	}

	s := &Store{root: root, now: now, wrapWriter: func(w io.Writer) io.Writer { return w }, link: root.Link}
	for _, o := range options {
		o(s)
	}

	if err := errors.Join(root.RemoveAll(tempFolder), root.Mkdir(tempFolder, 0o700)); err != nil {
		root.Close()
		return nil, fmt.Errorf("clear half-written blobs: %w", err)
	}

	return s, nil
}

// Close closes the folder. Readers that are open remain usable.
func (s *Store) Close() error { return s.root.Close() }

// Put writes a blob; see blob.Store. It checks ctx between two reads, but cannot
// interrupt one: a reader that blocks must end with ctx itself.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	if _, err := s.root.Lstat(key); err == nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, blob.ErrExists)
	}

	info, err := s.put(ctx, key, r)
	if err != nil {
		return blob.Info{}, fmt.Errorf("put blob %s: %w", key, classifyWriteError(err))
	}

	return info, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader) (info blob.Info, err error) {
	temp := path.Join(tempFolder, rand.Text())
	defer func() {
		// After a link the temporary name is a second name of the file; after a
		// rename it no longer exists.
		if removeErr := s.root.Remove(temp); err == nil && removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = removeErr
		}
	}()

	// The bytes are synced before the file gets its key, and the key's folders after:
	// after a crash a key that can be read has all its bytes.
	if info, err = s.write(ctx, temp, r); err != nil {
		return blob.Info{}, err
	}

	if err := s.publish(temp, key); err != nil {
		return blob.Info{}, err
	}

	if err := s.syncFolders(key); err != nil {
		return blob.Info{}, errors.Join(err, s.root.Remove(key))
	}

	info.Key = key

	return info, nil
}

// write writes the temporary file and makes its bytes durable.
func (s *Store) write(ctx context.Context, temp string, r io.Reader) (blob.Info, error) {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return blob.Info{}, err
	}

	hash := sha256.New()

	n, err := io.CopyBuffer(plainWriter{io.MultiWriter(s.wrapWriter(f), hash)}, contextReader{ctx, r}, make([]byte, copyBufferSize))
	if err == nil {
		err = f.Sync()
	}

	if closeErr := f.Close(); err == nil {
		err = closeErr
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

// publish gives a finished file its key and never replaces an existing one. A Delete may
// remove the key's folder between MkdirAll and the link, so it tries again.
func (s *Store) publish(temp, key string) error {
	var err error
	for range 100 {
		if err = s.root.MkdirAll(path.Dir(key), 0o700); err == nil {
			err = s.linkOrRename(temp, key)
		} else if s.parentIsBlob(key) {
			return fmt.Errorf("%w: a part of it is a blob", blob.ErrBadKey)
		} else if errors.Is(err, fs.ErrExist) {
			continue // a Delete removed the folder while MkdirAll looked at it
		}

		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}

	return err
}

// parentIsBlob reports whether one of the folders that the key needs is a file.
func (s *Store) parentIsBlob(key string) bool {
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if info, err := s.root.Lstat(folder); err == nil {
			return !info.IsDir()
		}
	}

	return false
}

func (s *Store) linkOrRename(temp, key string) error {
	err := s.link(temp, key)
	switch {
	case errors.Is(err, fs.ErrExist):
		return blob.ErrExists
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EMLINK):
		return s.renameExclusive(temp, key)
	}

	return err
}

// renameExclusive does the same as a link on file systems without links. There only this
// process's own lock keeps an existing key from being replaced.
func (s *Store) renameExclusive(temp, key string) error {
	s.renameMu.Lock()
	defer s.renameMu.Unlock()

	if _, err := s.root.Lstat(key); err == nil {
		return blob.ErrExists
	}

	return s.root.Rename(temp, key)
}

// syncFolders makes the key's name durable, and the names of all folders above it,
// because another Put may have made them a moment ago.
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

// Open opens a blob; see blob.Store.
func (s *Store) Open(_ context.Context, key string) (blob.Reader, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}

	f, err := s.root.Open(key)
	if err != nil {
		return nil, classifyReadError("open", key, err)
	}

	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}

	if err != nil {
		f.Close()
		return nil, classifyReadError("open", key, err)
	}

	return &reader{f, info.Size()}, nil
}

// Stat returns a blob's size and age; see blob.Store.
func (s *Store) Stat(_ context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	info, err := s.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}

	if err != nil {
		return blob.Info{}, classifyReadError("stat", key, err)
	}

	return blob.Info{Key: key, Bytes: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete removes a blob and the folders that become empty; see blob.Store.
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
		if !s.tryRemove(folder) {
			break // not empty
		}
	}

	return nil
}

func (s *Store) tryRemove(folder string) bool { return s.root.Remove(folder) == nil }

// URL returns no link: the server passes the bytes on.
func (s *Store) URL(context.Context, string, time.Duration) (string, error) { return "", nil }

// List visits every blob; see blob.Store. It reads folders in pieces, so that it needs
// little memory for a store of any size.
func (s *Store) List(ctx context.Context, visit func(blob.Info) bool) error {
	_, err := s.walk(ctx, ".", visit)
	return err
}

func (s *Store) walk(ctx context.Context, folder string, visit func(blob.Info) bool) (more bool, err error) {
	f, err := s.root.Open(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // a Delete removed it meanwhile
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
		return true, nil // the temporary folder, or files that others put into the folder
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

// classifyWriteError marks errors that mean no space: a full disk, a quota or a limit on file size.
func classifyWriteError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}

	return err
}

func classifyReadError(verb, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = blob.ErrNotFound
	}

	return fmt.Errorf("%s blob %s: %w", verb, key, err)
}

type reader struct {
	*os.File
	size int64
}

// Size returns the blob's length in bytes.
func (r *reader) Size() int64 { return r.size }

// contextReader checks ctx before each read. It hides WriterTo, which would bypass the
// bounded buffer.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}

	return c.r.Read(p)
}

type plainWriter struct{ io.Writer }
