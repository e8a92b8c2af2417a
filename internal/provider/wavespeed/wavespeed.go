// Package wavespeed speaks to WaveSpeed for the Wan 2.6 reference-to-video models.
// dispatch passes it a Submission that checkout priced, gets a remote ID, later a
// Result, and then the bytes. The package translates requests and responses
// (wire.go, submit.go) and classifies errors (classify.go). It never retries,
// never waits for a limit, reports no usage (the supplier reports none) and never
// decides what becomes of a task.
//
// The supplier's pages: wavespeed.ai/docs, "get-result", "error-codes",
// "upload-files-api", and each model's own (…/llms.txt).
package wavespeed

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// defaultBaseURL is the address of the supplier's API.
const defaultBaseURL = "https://api.wavespeed.ai"

// Driver describes the WaveSpeed provider.
func Driver() provider.Driver {
	return provider.Driver{
		Name:           "wavespeed",
		DefaultBaseURL: defaultBaseURL,
		// "Video tasks: at least 5 seconds between checks" ("get-result").
		Capabilities: provider.Capabilities{PollInterval: [2]time.Duration{5 * time.Second, 15 * time.Second}},
		New:          New,
	}
}

// settings are the keys of Options.Settings. Durations are written like "30s".
type settings struct {
	referencesField string        // "references_field": the supplier has renamed it before; "": depends on the model
	submitTimeout   time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout    time.Duration // "query_timeout": one Poll, 15s
	uploadTimeout   time.Duration // "upload_timeout": one Upload, 10m
	idleTimeout     time.Duration // "idle_timeout": how long Open waits for the next bytes, 60s
}

func parseSettings(values map[string]string) (settings, error) {
	s := settings{
		submitTimeout: 60 * time.Second,
		queryTimeout:  15 * time.Second,
		uploadTimeout: 10 * time.Minute,
		idleTimeout:   60 * time.Second,
	}
	err := provider.Settings{
		Driver:  "wavespeed",
		Parsers: map[string]func(string) error{"references_field": provider.OneOfVar(&s.referencesField, referenceFields...)},
		Durations: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout,
			"query_timeout":  &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout,
			"idle_timeout":   &s.idleTimeout,
		},
	}.Parse(values)

	return s, err
}

// wavespeed is the provider of one upstream.
type wavespeed struct {
	settings
	client *provider.Client
}

var (
	_ provider.Provider = (*wavespeed)(nil)
	_ provider.Uploader = (*wavespeed)(nil)
)

// New makes the provider of one upstream. It returns an error for options that
// cannot work; it does not use the network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: wavespeed needs an API key", o.Upstream)
	}

	if o.BaseURL == "" {
		o.BaseURL = defaultBaseURL
	}
	// Some operators append the API path to the host, as the supplier's pages do.
	o.BaseURL = strings.TrimSuffix(strings.TrimRight(o.BaseURL, "/"), "/api/v3")

	client, err := provider.NewClient(o, "wavespeed", defaultBaseURL)
	if err != nil {
		return nil, err
	}

	client.IdleTimeout = s.idleTimeout
	client.ParseError = readError
	client.Classify = classify

	return &wavespeed{settings: s, client: client}, nil
}

// Open reads a result through its link.
func (w *wavespeed) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return w.client.Open(ctx, r)
}
