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
	maxName   = 120      // characters of a file's name
	maxInline = 32 << 20 // bytes of a data URI; the body that it stands in is no larger
)

// KeepFile streams a customer's file of at most limit bytes into the blobs and
// then writes its row. The bytes decide what it is, not its name. When it fails
// nothing is left; a fault of the reader's own passes as it is.
func (c *Checkout) KeepFile(ctx context.Context, who Caller, name string, r io.Reader, limit int64) (store.File, error) {
	return c.KeepFileAs(ctx, who, store.File{ID: c.NewID("file"), Name: name}, r, limit)
}

// KeepFileAs is KeepFile for a file whose id, "file_" and 26 characters more, is
// fixed already. An id that is taken is a fault, and the file of then stays.
func (c *Checkout) KeepFileAs(ctx context.Context, who Caller, as store.File, r io.Reader, limit int64) (store.File, error) {
	f, err := c.keepBlob(ctx, who, as, r, limit)
	if err != nil {
		return store.File{}, explain(err)
	}

	err = c.Store.Write(ctx, func(tx *store.Tx) error { return tx.InsertFile(ctx, f) })
	if errors.Is(err, store.ErrTaken) {
		c.DropFiles(ctx, []store.File{f})
		return store.File{}, fault.New(fault.CodeConflict, "file", "This file was uploaded already and is not overwritten. Upload under another name.")
	}

	if err != nil {
		c.DropFiles(ctx, []store.File{f})
		return store.File{}, explain(fmt.Errorf("keep file: %w", err))
	}

	return f, nil
}

// ReceiveFile streams a file of at most limit bytes that comes with an order into
// the blobs, as KeepFile does, and drafts its row: Submit writes it with the task.
// Until then no row names it, and DropFiles takes it back.
func (c *Checkout) ReceiveFile(ctx context.Context, who Caller, name string, r io.Reader, limit int64) (store.File, error) {
	f, err := c.keepBlob(ctx, who, store.File{ID: c.NewID("file"), Name: name}, r, limit)
	return f, explain(err)
}

// keepBlob writes the bytes and drafts the row that will name them, with the id and
// the name that it has as.
func (c *Checkout) keepBlob(ctx context.Context, who Caller, as store.File, r io.Reader, limit int64) (store.File, error) {
	in := &bounded{r: r, left: limit}
	head := make([]byte, fetch.SniffBytes)

	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return store.File{}, in.because(err, limit)
	}

	media, ok := fetch.Sniff(head[:n])
	if !ok {
		return store.File{}, noMedia("file")
	}

	f := store.File{ID: as.ID, Account: who.Account, Name: cleanName(as.Name, as.ID+media.Ending), Kind: string(media.Kind), Type: media.Name, Blob: as.ID + "/" + c.NewID("blob"), CreatedAt: c.millis()}
	f.ExpiresAt = f.CreatedAt + c.FileRetention.Milliseconds()

	info, err := c.Blobs.Put(ctx, f.Blob, io.MultiReader(bytes.NewReader(head[:n]), in))
	if err != nil {
		return store.File{}, in.because(fmt.Errorf("keep file: %w", err), limit)
	}

	f.Bytes = info.Bytes
	f.SHA256 = info.SHA256

	return f, nil
}

var errTooMany = errors.New("more bytes than are taken")

// bounded reads at most left bytes and remembers what its reader failed with.
type bounded struct {
	r    io.Reader
	left int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}

	n, err := b.r.Read(p)
	if int64(n) > b.left {
		b.err = errTooMany
		return 0, b.err
	}

	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}

	return n, err
}

// because prefers the reader's own trouble to what the blobs made of it.
func (b *bounded) because(err error, limit int64) error {
	switch {
	case errors.Is(b.err, errTooMany):
		return fault.New(fault.CodeTooLarge, "file", fmt.Sprintf("The file is larger than the %d MiB that are taken.", limit>>20))
	case b.err != nil && !errors.Is(err, blob.ErrFull):
		return b.err
	}

	return err
}

// DeleteFile forgets an account's file and its bytes. Samples are nobody's.
func (c *Checkout) DeleteFile(ctx context.Context, account, id string) error {
	at := c.millis()

	f, err := c.Store.FileOf(ctx, account, id)
	if err == nil {
		var gone bool

		err = c.Store.Write(ctx, func(tx *store.Tx) (err error) { gone, err = tx.DeleteFile(ctx, account, id, at); return err })
		if err == nil && !gone {
			err = store.ErrNotFound
		}
	}

	if errors.Is(err, store.ErrNotFound) {
		return NoFile()
	}

	if err != nil {
		return explain(fmt.Errorf("delete file: %w", err))
	}

	c.DropFiles(ctx, []store.File{f})

	return nil
}

// NoFile is what every question about a file of somebody else, or of nobody, is
// answered with.
func NoFile() *fault.Fault {
	return fault.New(fault.CodeNoFile, "id", "This account has no file with this id. GET /v1/files lists those it has.")
}

// keepInline makes files of a request's data URIs and puts their ids in place.
// Their blobs are durable when it returns; the rows are written with the task.
func (c *Checkout) keepInline(ctx context.Context, who Caller, r *catalog.Request) ([]store.File, error) {
	var kept []store.File

	for _, ref := range inputs(r) {
		if !fetch.IsDataURI(ref.Input) {
			continue
		}

		f, err := c.keepDataURI(ctx, who, ref)
		if err != nil {
			c.DropFiles(ctx, kept)
			return nil, err
		}

		kept = append(kept, f)
		ref.Input = f.ID
	}

	return kept, nil
}

func (c *Checkout) keepDataURI(ctx context.Context, who Caller, ref *catalog.Reference) (store.File, error) {
	_, data, err := fetch.ParseDataURI(ref.Input, maxInline)
	if err != nil {
		return store.File{}, at(ref.Param, err)
	}

	f, err := c.keepBlob(ctx, who, store.File{ID: c.NewID("file")}, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return store.File{}, at(ref.Param, err)
	}

	return f, nil
}

// lookInside holds a data URI's bytes to what they should be.
func lookInside(ref catalog.Reference) (*fault.Fault, error) {
	_, data, err := fetch.ParseDataURI(ref.Input, maxInline)
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
		return noMedia(ref.Param), nil
	case ref.Kind != "" && string(ref.Kind) != string(media.Kind):
		return wrong(ref.Param, "This should be %s, but its bytes are %s.", article(string(ref.Kind)), article(string(media.Kind))), nil
	}

	return nil, nil
}

func noMedia(param string) *fault.Fault {
	return fault.New(fault.CodeFileType, param, "The bytes are not a picture, a video or a sound that is taken, whatever the file's name says.")
}

// at names the field that a fault is about, whichever the one who found it knew.
func at(param string, err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		named := *f
		named.Param = param

		return &named
	}

	return err
}

// DropFiles removes the bytes of what was kept for a request that came to nothing. What it
// cannot remove no row names, and the sweep does.
func (c *Checkout) DropFiles(ctx context.Context, files []store.File) {
	ctx = context.WithoutCancel(ctx)
	for _, f := range files {
		if err := c.Blobs.Delete(ctx, f.Blob); err != nil {
			c.Log.Warn("drop blob", "blob", f.Blob, "error", err)
		}
	}
}

// cleanName is the last part of a customer's file name, without what could harm
// a header, a log or a terminal; rest stands in where nothing is left.
func cleanName(name, rest string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/"))

	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || strings.ContainsRune(`"<>:|?*/`, r) {
			return -1
		}

		return r
	}, name)
	for utf8.RuneCountInString(name) > maxName {
		_, n := utf8.DecodeRuneInString(name)
		name = name[n:] // the ending says more than the beginning
	}

	if strings.Trim(name, ". ") == "" {
		return rest
	}

	return name
}
