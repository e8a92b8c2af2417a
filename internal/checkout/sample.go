package checkout

import (
	"context"
	"io"

	"github.com/unireel/unireel/internal/store"
)

// SamplePrefix is the start of every sample's id.
const SamplePrefix = "file_sample_"

// Sample is a reference that ships with the program and that every account may use, so
// that the documented requests work without an upload.
type Sample struct {
	ID    string // SamplePrefix and a word
	Name  string // a file name with the correct extension
	Kind  string // image, video, audio
	Type  string // media type
	Bytes int64
	Open  func() (io.ReadSeekCloser, error)
}

// AsFile returns the sample as a file of the account.
func (s Sample) AsFile(account string) store.File {
	return store.File{ID: s.ID, Account: account, Name: s.Name, Kind: s.Kind, Type: s.Type, Bytes: s.Bytes}
}

// Sample returns the sample with the id, and false if there is none.
func (c *Checkout) Sample(id string) (Sample, bool) {
	s, ok := c.samples[id]
	return s, ok
}

// File returns the file with the id: a sample or one of the account's files. It returns
// store.ErrNotFound if there is none, or if it has expired.
func (c *Checkout) File(ctx context.Context, account, id string) (store.File, error) {
	if s, ok := c.samples[id]; ok {
		return s.AsFile(account), nil
	}

	f, err := c.Store.FileOf(ctx, account, id)
	if err == nil && f.ExpiresAt > 0 && f.ExpiresAt <= c.millis() {
		return store.File{}, store.ErrNotFound
	}

	return f, err
}
