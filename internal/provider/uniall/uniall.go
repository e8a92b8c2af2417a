// Package uniall speaks the UniAll video API to another gateway: UniAll itself, or
// another Unireel. dispatch passes it a Submission that checkout priced, gets a
// remote ID, later a Result, and then the bytes. The models have the same names
// there as here. The package translates requests and responses and classifies
// errors. It never retries, never waits for a limit and never decides what becomes
// of a task.
//
// Another Unireel would honor an Idempotency-Key. None is sent: Go's transport
// takes that header as permission to send a POST again, and the client for
// submissions must never do so.
//
// The pages: docs.uniall.ai, "Wan 2.6" (R2V create task, create task, query task);
// for Unireel, its own openapi.yaml.
package uniall

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Driver describes the provider. The operator configures its base URL.
func Driver() provider.Driver {
	return provider.Driver{
		Name:         "uniall",
		Capabilities: provider.Capabilities{PollInterval: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:          New,
	}
}

// settings are the keys of Options.Settings. UniAll's pages name more than one
// path for the same thing. Durations are written like "30s".
type settings struct {
	createPath    string        // "create_path"
	videosPath    string        // "videos_path": queries, and Unireel's cancel endpoint
	filesPath     string        // "files_path": Unireel's uploads
	submitTimeout time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout  time.Duration // "query_timeout": one Poll or Cancel, 15s
	uploadTimeout time.Duration // "upload_timeout": one Upload, 10m
	idleTimeout   time.Duration // "idle_timeout": how long Open waits for the next bytes, 60s
}

func parseSettings(values map[string]string) (settings, error) {
	s := settings{
		createPath:    "/v1/video/generations",
		videosPath:    "/v1/videos",
		filesPath:     "/v1/files",
		submitTimeout: 60 * time.Second,
		queryTimeout:  15 * time.Second,
		uploadTimeout: 10 * time.Minute,
		idleTimeout:   60 * time.Second,
	}
	err := provider.Settings{
		Driver: "uniall",
		Parsers: map[string]func(string) error{
			"create_path": provider.PathVar(&s.createPath),
			"videos_path": provider.PathVar(&s.videosPath),
			"files_path":  provider.PathVar(&s.filesPath),
		},
		Durations: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout,
			"query_timeout":  &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout,
			"idle_timeout":   &s.idleTimeout,
		},
	}.Parse(values)

	return s, err
}

// uniall is the provider of one account at another gateway.
type uniall struct {
	settings
	client *provider.Client
}

var (
	_ provider.Provider = (*uniall)(nil)
	_ provider.Canceler = (*uniall)(nil)
	_ provider.Uploader = (*uniall)(nil)
)

// New makes the provider of one upstream. It returns an error for options that
// cannot work; it does not use the network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: uniall needs an API key", o.Upstream)
	}

	client, err := provider.NewClient(o, "uniall", "https://api.uniall.ai")
	if err != nil {
		return nil, err
	}

	client.IdleTimeout = s.idleTimeout
	client.ParseError = readError
	client.Classify = classify

	return &uniall{settings: s, client: client}, nil
}

// Open reads a result through its link, which needs no key.
func (u *uniall) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return u.client.Open(ctx, r)
}
