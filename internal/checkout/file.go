package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
)

const (
	maxFileName = 120      // characters of a file's name
	maxDataURI  = 32 << 20 // bytes of a data URI; a request body is not larger
)

// SaveFile streams a customer's file of at most limit bytes into the blob store and then
// writes its row. The media type is detected from the bytes, not from the name. If it
// fails, nothing is stored; an error of r is returned as it is.
func (c *Checkout) SaveFile(ctx context.Context, caller Caller, name string, r io.Reader, limit int64) (store.File, error) {
	return c.SaveFileAs(ctx, caller, store.File{ID: c.NewID("file"), Name: name}, r, limit)
}

// SaveFileAs is SaveFile for a file whose id ("file_" and 26 more characters) is already
// fixed. If the id is in use, it returns a fault and leaves the existing file unchanged.
func (c *Checkout) SaveFileAs(ctx context.Context, caller Caller, file store.File, r io.Reader, limit int64) (store.File, error) {
	f, err := c.storeBlob(ctx, caller, file, r, limit)
	if err != nil {
		return store.File{}, toFault(err)
	}

	// The bytes are durable before the row names them; if the row cannot be written, they
	// are discarded.
	err = c.Store.Write(ctx, func(tx *store.Tx) error { return tx.InsertFile(ctx, f) })
	if errors.Is(err, store.ErrExists) {
		c.DiscardFiles(ctx, []store.File{f})
		return store.File{}, fault.New(fault.CodeConflictingFields, "file", "This file was already uploaded and is not overwritten. Upload it under another name.")
	}

	if err != nil {
		c.DiscardFiles(ctx, []store.File{f})
		return store.File{}, toFault(fmt.Errorf("store file: %w", err))
	}

	return f, nil
}

// StageFile streams a file of at most limit bytes that comes with a create request into
// the blob store, as SaveFile does, and returns its row without writing it: Create writes
// it with the task. Until then no row names the file, and DiscardFiles can delete it.
func (c *Checkout) StageFile(ctx context.Context, caller Caller, name string, r io.Reader, limit int64) (store.File, error) {
	f, err := c.storeBlob(ctx, caller, store.File{ID: c.NewID("file"), Name: name}, r, limit)
	return f, toFault(err)
}

// storeBlob writes the bytes and returns the row that will name them, with the id and the
// name of file. The row is not written.
func (c *Checkout) storeBlob(ctx context.Context, caller Caller, file store.File, r io.Reader, limit int64) (store.File, error) {
	in := &limitedReader{r: r, remaining: limit}
	head := make([]byte, fetch.SniffBytes)

	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return store.File{}, in.readError(err, limit)
	}

	media, ok := fetch.Sniff(head[:n])
	if !ok {
		return store.File{}, unsupportedFile("file")
	}

	f := store.File{
		ID:        file.ID,
		Account:   caller.Account,
		Name:      cleanName(file.Name, file.ID+media.Extension),
		Kind:      string(media.Kind),
		Type:      media.Name,
		Blob:      blob.Key{Owner: file.ID, Name: c.NewID("blob")}.String(),
		CreatedAt: c.millis(),
	}
	f.ExpiresAt = f.CreatedAt + c.FileRetention.Milliseconds()

	info, err := c.Blobs.Put(ctx, f.Blob, io.MultiReader(bytes.NewReader(head[:n]), in))
	if err != nil {
		return store.File{}, in.readError(fmt.Errorf("store file: %w", err), limit)
	}

	f.Bytes = info.Bytes
	f.SHA256 = info.SHA256

	return f, nil
}

var errTooLarge = errors.New("the file is larger than the limit")

// limitedReader reads at most remaining bytes from r and keeps the first error of r.
type limitedReader struct {
	r         io.Reader
	remaining int64
	err       error
}

func (b *limitedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.remaining+1 {
		p = p[:b.remaining+1]
	}

	n, err := b.r.Read(p)
	if int64(n) > b.remaining {
		b.err = errTooLarge
		return 0, b.err
	}

	b.remaining -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}

	return n, err
}

// readError returns the error to report when storing a file failed with err. The blob store
// wraps errors of its reader; the reader's own error tells the customer more, except if the
// storage is full.
func (b *limitedReader) readError(err error, limit int64) error {
	switch {
	case errors.Is(b.err, errTooLarge):
		return fault.New(fault.CodeBodyTooLarge, "file", fmt.Sprintf("The file is larger than the limit of %d MiB.", limit>>20))
	case b.err != nil && !errors.Is(err, blob.ErrFull):
		return b.err
	}

	return err
}

// DeleteFile deletes an account's file and its bytes. Samples belong to no account and
// cannot be deleted.
func (c *Checkout) DeleteFile(ctx context.Context, account, id string) error {
	at := c.millis()

	f, err := c.Store.FileOf(ctx, account, id)
	if err == nil {
		var deleted bool

		// The row is deleted before the bytes, so that it never names missing bytes.
		err = c.Store.Write(ctx, func(tx *store.Tx) (err error) {
			deleted, err = tx.DeleteFile(ctx, account, id, at)
			return err
		})
		if err == nil && !deleted {
			err = store.ErrNotFound
		}
	}

	if errors.Is(err, store.ErrNotFound) {
		return FileNotFound()
	}

	if err != nil {
		return toFault(fmt.Errorf("delete file: %w", err))
	}

	c.DiscardFiles(ctx, []store.File{f})

	return nil
}

// FileNotFound is the fault for a file that does not exist or belongs to another account.
// The two cases are indistinguishable for the caller.
func FileNotFound() *fault.Fault {
	return fault.New(fault.CodeFileNotFound, "id", "This account has no file with this id. GET /v1/files lists those it has.")
}

// storeInline stores a request's data URIs as files and replaces them by the files' ids.
// The blobs are durable when it returns; the rows are written with the task.
func (c *Checkout) storeInline(ctx context.Context, caller Caller, r *catalog.Request) ([]store.File, error) {
	var stored []store.File

	for _, ref := range allReferences(r) {
		if !fetch.IsDataURI(ref.Input) {
			continue
		}

		f, err := c.storeDataURI(ctx, caller, ref)
		if err != nil {
			c.DiscardFiles(ctx, stored)
			return nil, err
		}

		stored = append(stored, f)
		ref.Input = f.ID
	}

	return stored, nil
}

func (c *Checkout) storeDataURI(ctx context.Context, caller Caller, ref *catalog.Reference) (store.File, error) {
	_, data, err := fetch.ParseDataURI(ref.Input, maxDataURI)
	if err != nil {
		return store.File{}, withParam(ref.Param, err)
	}

	f, err := c.storeBlob(ctx, caller, store.File{ID: c.NewID("file")}, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return store.File{}, withParam(ref.Param, err)
	}

	return f, nil
}

// checkDataURI checks that a data URI's bytes are of a supported type and of the declared
// kind.
func checkDataURI(ref catalog.Reference) (*fault.Fault, error) {
	_, data, err := fetch.ParseDataURI(ref.Input, maxDataURI)
	if err != nil {
		var f *fault.Fault
		if errors.As(err, &f) {
			return f, nil
		}

		return nil, err
	}

	media, ok := fetch.Sniff(data[:min(len(data), fetch.SniffBytes)])
	switch {
	case !ok:
		return unsupportedFile(ref.Param), nil
	case ref.Kind != "" && string(ref.Kind) != string(media.Kind):
		return invalid(ref.Param, "This should be %s, but its bytes are %s.", withArticle(string(ref.Kind)), withArticle(string(media.Kind))), nil
	}

	return nil, nil
}

func unsupportedFile(param string) *fault.Fault {
	return fault.New(fault.CodeUnsupportedFileType, param, "The bytes are not a picture, video or sound of a supported type, whatever the file's name says.")
}

// withParam sets the field that a fault is about; other errors are returned as they are.
func withParam(param string, err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		named := *f
		named.Param = param

		return &named
	}

	return err
}

// DiscardFiles deletes the bytes of files that no row names, after a request failed. It
// also runs if ctx is cancelled. A blob that it cannot delete is deleted later by the
// sweep of unreferenced blobs.
func (c *Checkout) DiscardFiles(ctx context.Context, files []store.File) {
	ctx = context.WithoutCancel(ctx)
	for _, f := range files {
		if err := c.Blobs.Delete(ctx, f.Blob); err != nil {
			c.Log.Warn("delete blob", "blob", f.Blob, "error", err)
		}
	}
}

// cleanName returns the last part of a customer's file name, without characters that could
// harm a header, a log or a terminal. It returns fallback if nothing is left.
func cleanName(name, fallback string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/"))

	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || strings.ContainsRune(`"<>:|?*/`, r) {
			return -1
		}

		return r
	}, name)
	for utf8.RuneCountInString(name) > maxFileName {
		_, n := utf8.DecodeRuneInString(name)
		name = name[n:] // cut at the start: the extension must stay
	}

	if strings.Trim(name, ". ") == "" {
		return fallback
	}

	return name
}
