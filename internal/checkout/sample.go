package checkout

import (
	"context"
	"io"

	"github.com/unireel/unireel/internal/store"
)

// SamplePrefix begins the id of every sample.
const SamplePrefix = "file_sample_"

// Sample is a reference that ships with the program and that every account may
// use, so that the first request works as pasted.
type Sample struct {
	ID    string // SamplePrefix and a word
	Name  string // a file name with the right ending
	Kind  string // image, video, audio
	Type  string // media type
	Bytes int64
	Open  func() (io.ReadSeekCloser, error)
}

// Row shows the sample as a file of the account.
func (s Sample) Row(account string) store.File {
	return store.File{ID: s.ID, Account: account, Name: s.Name, Kind: s.Kind, Type: s.Type, Bytes: s.Bytes}
}

// Sample finds a sample by its id.
func (c *Checkout) Sample(id string) (Sample, bool) {
	s, ok := c.samples[id]
	return s, ok
}

// File finds what a file id stands for: the account's own file or a sample, or
// store.ErrNotFound.
func (c *Checkout) File(ctx context.Context, account, id string) (store.File, error) {
	if s, ok := c.samples[id]; ok {
		return s.Row(account), nil
	}

	f, err := c.Store.FileOf(ctx, account, id)
	if err == nil && f.ExpiresAt > 0 && f.ExpiresAt <= c.millis() {
		return store.File{}, store.ErrNotFound
	}

	return f, err
}
