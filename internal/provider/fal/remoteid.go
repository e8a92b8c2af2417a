package fal

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/provider"
)

// requestHandle is what is needed to follow a request: its ID and the paths that
// the supplier returned with it. They cannot be built from the model ("do not
// build these URLs yourself"), so all of them are kept in the remote ID, separated
// by spaces.
type requestHandle struct {
	id, statusPath, resultPath, cancelPath string
}

// maxRemoteID is the longest remote ID, in bytes.
const maxRemoteID = 1000

// remoteIDOf requires every URL to be on the configured origin, since the key is
// sent nowhere else.
func (f *fal) remoteIDOf(q createResponse) (provider.RemoteID, error) {
	parts := []string{string(q.ID)}
	for _, address := range []provider.Text{q.StatusURL, q.ResponseURL, q.CancelURL} {
		path, ok := f.relativePath(string(address))
		if !ok {
			return "", fmt.Errorf("the response's URL %s is not below the base URL %s: the request may run, but cannot be followed", address, f.client.Origin)
		}

		parts = append(parts, path)
	}

	joined := strings.Join(parts, " ")
	if len(strings.Fields(joined)) != len(parts) || len(joined) > maxRemoteID {
		return "", errors.New("the response's request_id or URLs cannot be stored")
	}

	return provider.RemoteID(joined), nil
}

// relativePath returns the part of a URL after the configured origin, "/a/b?c=d";
// false for a URL anywhere else.
func (f *fal) relativePath(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Opaque != "" || !f.client.SameOrigin(u) {
		return "", false
	}

	origin, err := url.Parse(f.client.Origin)
	if err != nil {
		return "", false
	}

	path, ok := strings.CutPrefix(u.EscapedPath(), origin.EscapedPath())
	if !ok || !strings.HasPrefix(path, "/") {
		return "", false
	}

	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}

	return path, true
}

// parseRemoteID returns false for a remote ID that remoteIDOf did not make.
func parseRemoteID(id provider.RemoteID) (requestHandle, bool) {
	parts := strings.Split(string(id), " ")
	if len(parts) != 4 || parts[0] == "" {
		return requestHandle{}, false
	}

	for _, path := range parts[1:] {
		if !strings.HasPrefix(path, "/") {
			return requestHandle{}, false
		}
	}

	return requestHandle{parts[0], parts[1], parts[2], parts[3]}, true
}
