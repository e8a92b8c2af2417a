// Package dashscope speaks to Alibaba Cloud Model Studio (DashScope) for the
// Wan models from 2.6 on: text, picture and reference to video. dispatch calls it with
// an Order that checkout priced, and takes from it a ticket, then a Result, then
// the bytes. It maps shapes (wire.go, shape.go) and names what went wrong (verdicts.go); it
// never retries, never waits for a limit and never decides what becomes of a
// task.
//
// The supplier's pages: help.aliyun.com/zh/model-studio, "R2V API reference"
// (legacy-wan-reference-to-video-api-reference for 2.6,
// wan-video-to-video-api-reference for 2.7), its T2V and I2V siblings,
// wan3-video-generation-api-reference,
// "manage-asynchronous-tasks", "error-code", "get-temporary-file-url".
package dashscope

import (
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Kind is DashScope as a value.
func Kind() provider.Kind {
	return provider.Kind{
		Name:   "dashscope",
		Traits: provider.Traits{PollEvery: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:    New,
	}
}

// settings are what Options.Settings may hold. Paths are for resellers that
// serve the same API elsewhere; durations are written like "30s".
type settings struct {
	workspace      string        // "workspace": sent as X-DashScope-WorkSpace when set
	createPath     string        // "create_path"
	tasksPath      string        // "tasks_path"
	uploadsPath    string        // "uploads_path"
	submitTimeout  time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout   time.Duration // "query_timeout": one Poll, Cancel, page or policy, 15s
	uploadTimeout  time.Duration // "upload_timeout": the bytes of one Upload, 10m
	silenceTimeout time.Duration // "silence_timeout": how long Open waits for the next bytes, 60s
}

func readSettings(given map[string]string) (settings, error) {
	s := settings{
		createPath:    "/api/v1/services/aigc/video-generation/video-synthesis",
		tasksPath:     "/api/v1/tasks",
		uploadsPath:   "/api/v1/uploads",
		submitTimeout: 60 * time.Second, queryTimeout: 15 * time.Second,
		uploadTimeout: 10 * time.Minute, silenceTimeout: 60 * time.Second,
	}
	err := provider.Settings{
		Kind: "dashscope",
		Words: map[string]func(string) error{
			"workspace": provider.Word(&s.workspace), "create_path": provider.Path(&s.createPath),
			"tasks_path": provider.Path(&s.tasksPath), "uploads_path": provider.Path(&s.uploadsPath),
		},
		Times: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout, "silence_timeout": &s.silenceTimeout,
		},
	}.Read(given)

	return s, err
}

// dashscope is one upstream at the supplier.
type dashscope struct {
	settings
	talk *provider.Talk
}

var (
	_ provider.Provider = (*dashscope)(nil)
	_ provider.Canceler = (*dashscope)(nil)
	_ provider.Finder   = (*dashscope)(nil)
	_ provider.Repeater = (*dashscope)(nil)
	_ provider.Uploader = (*dashscope)(nil)
)

// New makes the provider of one upstream. It errs on options that cannot work
// and touches no network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := readSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: dashscope wants an API key", o.Upstream)
	}
	// Some write the API path behind the host, as the supplier's SDKs do.
	o.BaseURL = strings.TrimSuffix(strings.TrimRight(o.BaseURL, "/"), "/api/v1")

	talk, err := provider.NewTalk(o, "dashscope", "https://dashscope-intl.aliyuncs.com")
	if err != nil {
		return nil, err
	}

	talk.Silence = s.silenceTimeout
	talk.Signed = true
	talk.Complain = readError
	talk.Judge = told

	return &dashscope{settings: s, talk: talk}, nil
}
