// Package uniall speaks the UniAll video API to another gateway: UniAll itself,
// or another Unireel. dispatch calls it with an Order that checkout priced, and
// takes from it a ticket, then a Result, then the bytes. The models have the same
// names there as here. It maps shapes and names what went wrong; it never
// retries, never waits for a limit and never decides what becomes of a task.
//
// A Unireel would heed an Idempotency-Key. None is sent: Go's transport takes the
// header for a leave to send a POST again, and the order's client must be one
// that never does (rules.md, "Rescue").
//
// The pages: docs.uniall.ai, "Wan 2.6" (R2V create task, create task, query
// task); of Unireel, its own openapi.yaml.
package uniall

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Kind is the API as a value. Its address is the operator's to say.
func Kind() provider.Kind {
	return provider.Kind{
		Name:   "uniall",
		Traits: provider.Traits{PollEvery: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:    New,
	}
}

// settings are what Options.Settings may hold. UniAll's pages name more than one
// path for the same thing. Durations are written like "30s".
type settings struct {
	createPath     string        // "create_path"
	videosPath     string        // "videos_path": queries, and Unireel's cancels
	filesPath      string        // "files_path": Unireel's uploads
	submitTimeout  time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout   time.Duration // "query_timeout": one Poll or Cancel, 15s
	uploadTimeout  time.Duration // "upload_timeout": one Upload, 10m
	silenceTimeout time.Duration // "silence_timeout": how long Open waits for the next bytes, 60s
}

func readSettings(given map[string]string) (settings, error) {
	s := settings{
		createPath: "/v1/video/generations", videosPath: "/v1/videos", filesPath: "/v1/files",
		submitTimeout: 60 * time.Second, queryTimeout: 15 * time.Second,
		uploadTimeout: 10 * time.Minute, silenceTimeout: 60 * time.Second,
	}
	err := provider.Settings{
		Kind: "uniall",
		Words: map[string]func(string) error{
			"create_path": provider.Path(&s.createPath), "videos_path": provider.Path(&s.videosPath), "files_path": provider.Path(&s.filesPath),
		},
		Times: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout, "silence_timeout": &s.silenceTimeout,
		},
	}.Read(given)

	return s, err
}

// uniall is one account at another gateway.
type uniall struct {
	settings
	talk *provider.Talk
}

var (
	_ provider.Provider = (*uniall)(nil)
	_ provider.Canceler = (*uniall)(nil)
	_ provider.Uploader = (*uniall)(nil)
)

// New makes the provider of one upstream. It errs on options that cannot work
// and touches no network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := readSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: uniall wants an API key", o.Upstream)
	}

	talk, err := provider.NewTalk(o, "uniall", "https://api.uniall.ai")
	if err != nil {
		return nil, err
	}

	talk.Silence = s.silenceTimeout
	talk.Complain = readComplaint
	talk.Judge = judge

	return &uniall{settings: s, talk: talk}, nil
}

// Open reads a result through its link, which carries its own leave.
func (u *uniall) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return u.talk.Open(ctx, r)
}
