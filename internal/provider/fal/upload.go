package fal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Upload brings a file to the supplier's store, as its own clients do: one call
// for a place, one for the bytes. size is in bytes; the file is never held.
func (f *fal) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.uploadTimeout)
	defer cancel()

	name = provider.SafeName(name)

	put, get, no := f.place(ctx, name)
	if no != nil {
		return "", no
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPut, put, io.NopCloser(io.LimitReader(file, size)))
	if err != nil {
		return "", f.unsent(err)
	}

	r.ContentLength = size // the place is signed: the key stays here
	r.Header.Set("Content-Type", provider.TypeOf(name))
	r.Header.Set("User-Agent", "unireel")

	a, no := f.talk.Ask(r)
	switch {
	case no == nil:
		return get, nil
	case a.Status == http.StatusRequestEntityTooLarge:
		return "", provider.Unsent(fault.CodeBadReference, "", no.Err)
	case a.Status != 0: // its words are not the API's: a new place may work
		return "", f.talk.Broken(a, fmt.Errorf("upload: status %d", a.Status))
	}

	return "", no
}

// place asks for a place to put a file, and where it will be read.
func (f *fal) place(ctx context.Context, name string) (put, get string, no *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, f.queryTimeout)
	defer cancel()

	body, err := provider.EncodeJSON(map[string]string{"content_type": provider.TypeOf(name), "file_name": name})
	if err != nil {
		return "", "", f.unsent(err)
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.store+"/storage/upload/initiate?storage_type=fal-cdn-v3", bytes.NewReader(body))
	if err != nil {
		return "", "", f.unsent(err)
	}

	r.Header.Set("Authorization", f.talk.Auth)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "unireel")

	a, no := f.talk.Ask(r)
	if no != nil {
		return "", "", no
	}

	put, get, err = readPlace(a.Body)
	if err == nil && strings.HasPrefix(f.store, "https:") && (!strings.HasPrefix(put, "https:") || !strings.HasPrefix(get, "https:")) {
		err = errors.New("the place for the upload is not an https address")
	}

	if err != nil {
		return "", "", f.talk.Broken(a, err)
	}

	return put, get, nil
}
