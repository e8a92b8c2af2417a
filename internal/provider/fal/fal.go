// Package fal speaks to fal's queue API for the Wan 2.6 reference-to-video models.
// dispatch passes it a Submission that checkout priced, gets a remote ID, later a
// Result, and then the bytes. The package translates requests and responses
// (wire.go, submit.go), renames characters as the supplier does (character.go) and
// classifies errors (classify.go). It never retries, never waits for a limit,
// reports no usage (the supplier reports none) and never decides what becomes of a
// task.
//
// The supplier's pages: docs.fal.ai, "model-apis/inference/queue",
// "inference-api/queue/cancel", "errors", "request-errors", and each model's own
// (fal.ai/models/…/llms.txt).
package fal

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

const (
	// defaultBaseURL is the address of the supplier's queue API.
	defaultBaseURL = "https://queue.fal.run"
	// defaultStorageURL is the address of its upload API.
	defaultStorageURL = "https://rest.fal.ai"
)

// Driver describes the fal provider.
func Driver() provider.Driver {
	return provider.Driver{
		Name:           "fal",
		DefaultBaseURL: defaultBaseURL,
		Capabilities:   provider.Capabilities{PollInterval: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:            New,
	}
}

// settings are the keys of Options.Settings. Durations are written like "30s".
type settings struct {
	// storageURL is where uploads start: "storage_url". When only the base URL is
	// configured and it is not the supplier's own, storageURL follows it, so that
	// uploads go through the same test server or proxy.
	storageURL    string
	submitTimeout time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout  time.Duration // "query_timeout": one request of a Poll or Cancel, 15s
	uploadTimeout time.Duration // "upload_timeout": one Upload, 10m
	idleTimeout   time.Duration // "idle_timeout": how long Open waits for the next bytes, 60s
}

func parseSettings(values map[string]string) (settings, error) {
	s := settings{
		submitTimeout: 60 * time.Second,
		queryTimeout:  15 * time.Second,
		uploadTimeout: 10 * time.Minute,
		idleTimeout:   60 * time.Second,
	}
	parseStorageURL := func(value string) error {
		if !isHTTP(value) {
			return fmt.Errorf("want a URL like %s", defaultStorageURL)
		}

		s.storageURL = strings.TrimRight(value, "/")

		return nil
	}
	err := provider.Settings{
		Driver:  "fal",
		Parsers: map[string]func(string) error{"storage_url": parseStorageURL},
		Durations: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout,
			"query_timeout":  &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout,
			"idle_timeout":   &s.idleTimeout,
		},
	}.Parse(values)

	return s, err
}

// fal is the provider of one upstream.
type fal struct {
	settings
	client *provider.Client
}

var (
	_ provider.Provider = (*fal)(nil)
	_ provider.Canceler = (*fal)(nil)
	_ provider.Uploader = (*fal)(nil)
)

// New makes the provider of one upstream. It returns an error for options that
// cannot work; it does not use the network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: fal needs an API key", o.Upstream)
	}

	if o.BaseURL == "" {
		o.BaseURL = defaultBaseURL
	}

	client, err := provider.NewClient(o, "fal", defaultBaseURL)
	if err != nil {
		return nil, err
	}

	client.Authorization = "Key " + o.Secret
	client.RequestIDHeader = "X-Fal-Request-Id"
	client.IdleTimeout = s.idleTimeout
	client.ParseError = readError
	client.Classify = classify

	switch {
	case s.storageURL == "" && client.Origin == defaultBaseURL:
		s.storageURL = defaultStorageURL
	case s.storageURL == "":
		s.storageURL = client.Origin
	}

	return &fal{settings: s, client: client}, nil
}

// Open reads a result through its link.
func (f *fal) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return f.client.Open(ctx, r)
}

// query sends one request about a remote task. The response is returned with the
// failure.
func (f *fal) query(ctx context.Context, method, path string) (provider.Response, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, f.queryTimeout)
	defer cancel()

	r, err := f.client.NewRequest(ctx, method, path, nil)
	if err != nil {
		return provider.Response{}, f.client.TransientFailure(provider.Response{}, err)
	}

	return f.client.Do(r)
}

// isHTTP reports whether an address is an http or https URL.
func isHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http")
}
