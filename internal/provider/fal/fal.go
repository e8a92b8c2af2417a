// Package fal speaks to fal's queue for the Wan 2.6 reference-to-video models.
// dispatch calls it with an Order that checkout priced, and takes from it a
// ticket, then a Result, then the bytes. It maps shapes (wire.go, submit.go),
// names characters as the supplier does (character.go) and names what went wrong
// (verdicts.go); it never retries, never waits for a limit, tells no usage (the
// supplier does not) and never decides what becomes of a task.
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
	// home is where the supplier's queue is.
	home = "https://queue.fal.run"
	// homeStore is where it takes uploads.
	homeStore = "https://rest.fal.ai"
)

// Kind is fal as a value.
func Kind() provider.Kind {
	return provider.Kind{
		Name:   "fal",
		Home:   home,
		Traits: provider.Traits{PollEvery: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		New:    New,
	}
}

// settings are what Options.Settings may hold. Durations are written like "30s".
type settings struct {
	// store is where uploads begin: "storage_url". It follows the base URL where
	// only that is another than the supplier's own, so that uploads pass by no
	// test and no proxy.
	store          string
	submitTimeout  time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout   time.Duration // "query_timeout": one call of a Poll or Cancel, 15s
	uploadTimeout  time.Duration // "upload_timeout": one Upload, 10m
	silenceTimeout time.Duration // "silence_timeout": how long Open waits for the next bytes, 60s
}

func readSettings(given map[string]string) (settings, error) {
	s := settings{submitTimeout: 60 * time.Second, queryTimeout: 15 * time.Second, uploadTimeout: 10 * time.Minute, silenceTimeout: 60 * time.Second}
	store := func(value string) error {
		if !web(value) {
			return fmt.Errorf("want an address like %s", homeStore)
		}

		s.store = strings.TrimRight(value, "/")

		return nil
	}
	err := provider.Settings{
		Kind:  "fal",
		Words: map[string]func(string) error{"storage_url": store},
		Times: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout, "silence_timeout": &s.silenceTimeout,
		},
	}.Read(given)

	return s, err
}

// fal is one upstream at the supplier.
type fal struct {
	settings
	talk *provider.Talk
}

var (
	_ provider.Provider = (*fal)(nil)
	_ provider.Canceler = (*fal)(nil)
	_ provider.Uploader = (*fal)(nil)
)

// New makes the provider of one upstream. It errs on options that cannot work
// and touches no network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := readSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: fal wants an API key", o.Upstream)
	}

	if o.BaseURL == "" {
		o.BaseURL = home
	}

	talk, err := provider.NewTalk(o, "fal", home)
	if err != nil {
		return nil, err
	}

	talk.Auth = "Key " + o.Secret
	talk.IDHeader = "X-Fal-Request-Id"
	talk.Silence = s.silenceTimeout
	talk.Complain = readComplaint

	talk.Judge = judge
	switch {
	case s.store == "" && talk.Origin == home:
		s.store = homeStore
	case s.store == "":
		s.store = talk.Origin
	}

	return &fal{settings: s, talk: talk}, nil
}

// Open reads a result through its link.
func (f *fal) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return f.talk.Open(ctx, r)
}

// ask is one call about an order. The answer is given with the failure.
func (f *fal) ask(ctx context.Context, method, path string) (provider.Answer, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, f.queryTimeout)
	defer cancel()

	r, err := f.talk.Request(ctx, method, path, nil)
	if err != nil {
		return provider.Answer{}, f.talk.Broken(provider.Answer{}, err)
	}

	return f.talk.Ask(r)
}

// web says whether an address is one of http or https.
func web(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http")
}
