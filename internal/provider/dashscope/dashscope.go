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
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	texts := map[string]*string{"workspace": &s.workspace, "create_path": &s.createPath, "tasks_path": &s.tasksPath, "uploads_path": &s.uploadsPath}
	times := map[string]*time.Duration{
		"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout,
		"upload_timeout": &s.uploadTimeout, "silence_timeout": &s.silenceTimeout,
	}
	for name, value := range given {
		if text := texts[name]; text != nil {
			if strings.HasSuffix(name, "_path") && !strings.HasPrefix(value, "/") {
				return s, fmt.Errorf("setting %s %q: want a path that begins with /", name, value)
			}
			*text = strings.TrimSuffix(value, "/")
			continue
		}
		span := times[name]
		if span == nil {
			return s, fmt.Errorf("setting %q is not one of dashscope's: workspace, create_path, tasks_path, uploads_path, submit_timeout, query_timeout, upload_timeout, silence_timeout", name)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return s, fmt.Errorf("setting %s %q: want a duration like 30s", name, value)
		}
		*span = d
	}
	return s, nil
}

// dashscope is one upstream at the supplier.
type dashscope struct {
	settings
	origin string // scheme and host
	secret string
	client *http.Client
	submit *http.Client
	now    func() time.Time
	log    *slog.Logger
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
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("upstream %s: the base URL wants to be like https://dashscope-intl.aliyuncs.com", o.Upstream)
	}
	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: dashscope wants an API key", o.Upstream)
	}
	if strings.ContainsFunc(o.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("upstream %s: the API key holds white space or characters that no key has", o.Upstream)
	}
	if o.Client == nil || o.Submit == nil || o.Now == nil {
		return nil, errors.New("dashscope wants its clients and its clock")
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Some write the API path behind the host, as the supplier's SDKs do.
	origin := strings.TrimSuffix(strings.TrimSuffix(o.BaseURL, "/"), "/api/v1")
	return &dashscope{
		settings: s, origin: origin, secret: o.Secret, client: o.Client, submit: o.Submit, now: o.Now,
		log: log.With("upstream", o.Upstream),
	}, nil
}
