// Package dashscope speaks to Alibaba Cloud Model Studio (DashScope) for the Wan
// models from 2.6 on: text, image and reference to video. dispatch passes it a
// Submission that checkout priced, gets a remote ID, later a Result, and then the
// bytes. The package translates requests and responses (wire.go, format.go) and
// classifies errors (classify.go). It never retries, never waits for a limit and
// never decides what becomes of a task.
//
// The supplier's pages: help.aliyun.com/zh/model-studio, "R2V API reference"
// (legacy-wan-reference-to-video-api-reference for 2.6,
// wan-video-to-video-api-reference for 2.7), its T2V and I2V siblings,
// wan3-video-generation-api-reference, "manage-asynchronous-tasks", "error-code",
// "get-temporary-file-url".
package dashscope

import (
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Driver describes the DashScope provider.
func Driver() provider.Driver {
	return provider.Driver{
		Name:         "dashscope",
		Capabilities: provider.Capabilities{PollInterval: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:          New,
	}
}

// settings are the keys of Options.Settings. The paths are for resellers that
// serve the same API under other paths; durations are written like "30s".
type settings struct {
	workspace     string        // "workspace": sent as X-DashScope-WorkSpace when set
	createPath    string        // "create_path"
	tasksPath     string        // "tasks_path"
	uploadsPath   string        // "uploads_path"
	submitTimeout time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout  time.Duration // "query_timeout": one Poll, one Cancel, one page of Find or one upload policy, 15s
	uploadTimeout time.Duration // "upload_timeout": sending the bytes of one Upload, 10m
	idleTimeout   time.Duration // "idle_timeout": how long Open waits for the next bytes, 60s
}

func parseSettings(values map[string]string) (settings, error) {
	s := settings{
		createPath:    "/api/v1/services/aigc/video-generation/video-synthesis",
		tasksPath:     "/api/v1/tasks",
		uploadsPath:   "/api/v1/uploads",
		submitTimeout: 60 * time.Second,
		queryTimeout:  15 * time.Second,
		uploadTimeout: 10 * time.Minute,
		idleTimeout:   60 * time.Second,
	}
	err := provider.Settings{
		Driver: "dashscope",
		Parsers: map[string]func(string) error{
			"workspace":    provider.StringVar(&s.workspace),
			"create_path":  provider.PathVar(&s.createPath),
			"tasks_path":   provider.PathVar(&s.tasksPath),
			"uploads_path": provider.PathVar(&s.uploadsPath),
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

// dashscope is the provider of one upstream.
type dashscope struct {
	settings
	client *provider.Client
}

var (
	_ provider.Provider   = (*dashscope)(nil)
	_ provider.Canceler   = (*dashscope)(nil)
	_ provider.Finder     = (*dashscope)(nil)
	_ provider.PromptEcho = (*dashscope)(nil)
	_ provider.Uploader   = (*dashscope)(nil)
)

// New makes the provider of one upstream. It returns an error for options that
// cannot work; it does not use the network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: dashscope needs an API key", o.Upstream)
	}
	// Some operators append the API path to the host, as the supplier's SDKs do.
	o.BaseURL = strings.TrimSuffix(strings.TrimRight(o.BaseURL, "/"), "/api/v1")

	client, err := provider.NewClient(o, "dashscope", "https://dashscope-intl.aliyuncs.com")
	if err != nil {
		return nil, err
	}

	client.IdleTimeout = s.idleTimeout
	client.PresignedResults = true
	client.ParseError = readError
	client.Classify = classifyError

	return &dashscope{settings: s, client: client}, nil
}
