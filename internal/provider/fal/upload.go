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

// Upload copies a file to the supplier's storage, as its own clients do: one
// request for the URLs, one for the bytes. size is in bytes; the file is not held
// in memory.
func (f *fal) Upload(ctx context.Context, _, name string, size int64, file io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.uploadTimeout)
	defer cancel()

	name = provider.SafeFileName(name)

	put, get, failure := f.uploadURLs(ctx, name)
	if failure != nil {
		return "", failure
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPut, put, io.NopCloser(io.LimitReader(file, size)))
	if err != nil {
		return "", f.notSent(err)
	}

	// The URL is signed, so the key is not sent.
	r.ContentLength = size
	r.Header.Set("Content-Type", provider.MediaTypeByName(name))
	r.Header.Set("User-Agent", "unireel")

	resp, failure := f.client.Do(r)
	switch {
	case failure == nil:
		return get, nil
	case resp.Status == http.StatusRequestEntityTooLarge:
		return "", provider.NewInvalidRequest(fault.CodeReferenceInvalid, "", failure.Err)
	case resp.Status != 0: // the storage's errors are not the API's: a new URL may work
		return "", f.client.TransientFailure(resp, fmt.Errorf("upload: status %d", resp.Status))
	}

	return "", failure
}

// uploadURLs requests the URL to send a file to and the URL to read it from.
func (f *fal) uploadURLs(ctx context.Context, name string) (put, get string, failure *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, f.queryTimeout)
	defer cancel()

	body, err := provider.EncodeJSON(map[string]string{"content_type": provider.MediaTypeByName(name), "file_name": name})
	if err != nil {
		return "", "", f.notSent(err)
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.storageURL+"/storage/upload/initiate?storage_type=fal-cdn-v3", bytes.NewReader(body))
	if err != nil {
		return "", "", f.notSent(err)
	}

	r.Header.Set("Authorization", f.client.Authorization)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "unireel")

	resp, failure := f.client.Do(r)
	if failure != nil {
		return "", "", failure
	}

	put, get, err = readUploadURLs(resp.Body)
	if err == nil && strings.HasPrefix(f.storageURL, "https:") && (!strings.HasPrefix(put, "https:") || !strings.HasPrefix(get, "https:")) {
		err = errors.New("the upload URL is not an https URL")
	}

	if err != nil {
		return "", "", f.client.TransientFailure(resp, err)
	}

	return put, get, nil
}
