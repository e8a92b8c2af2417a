// Package wavespeed speaks to WaveSpeed for the Wan 2.6 reference-to-video
// models. dispatch calls it with an Order that checkout priced, and takes from it
// a ticket, then a Result, then the bytes. It maps shapes (wire.go, submit.go)
// and names what went wrong (verdicts.go); it never retries, never waits for a
// limit, tells no usage (the supplier does not) and never decides what becomes of
// a task.
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

// home is where the supplier serves.
const home = "https://api.wavespeed.ai"

// Kind is WaveSpeed as a value.
func Kind() provider.Kind {
	return provider.Kind{
		Name: "wavespeed",
		Home: home,
		// "Video tasks: at least 5 seconds between checks" ("get-result").
		Traits: provider.Traits{PollEvery: [2]time.Duration{5 * time.Second, 15 * time.Second}},
		New:    New,
	}
}

// settings are what Options.Settings may hold. Durations are written like "30s".
type settings struct {
	field          string        // "references_field": the supplier has renamed it before; "": by the model
	submitTimeout  time.Duration // "submit_timeout": one Submit, 60s
	queryTimeout   time.Duration // "query_timeout": one Poll, 15s
	uploadTimeout  time.Duration // "upload_timeout": one Upload, 10m
	silenceTimeout time.Duration // "silence_timeout": how long Open waits for the next bytes, 60s
}

func readSettings(given map[string]string) (settings, error) {
	s := settings{submitTimeout: 60 * time.Second, queryTimeout: 15 * time.Second, uploadTimeout: 10 * time.Minute, silenceTimeout: 60 * time.Second}
	err := provider.Settings{
		Kind:  "wavespeed",
		Words: map[string]func(string) error{"references_field": provider.OneOf(&s.field, fields...)},
		Times: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout,
			"upload_timeout": &s.uploadTimeout, "silence_timeout": &s.silenceTimeout,
		},
	}.Read(given)

	return s, err
}

// wavespeed is one upstream at the supplier.
type wavespeed struct {
	settings
	talk *provider.Talk
}

var (
	_ provider.Provider = (*wavespeed)(nil)
	_ provider.Uploader = (*wavespeed)(nil)
)

// New makes the provider of one upstream. It errs on options that cannot work
// and touches no network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := readSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	if o.Secret == "" {
		return nil, fmt.Errorf("upstream %s: wavespeed wants an API key", o.Upstream)
	}

	if o.BaseURL == "" {
		o.BaseURL = home
	}
	// Some write the API path behind the host, as the supplier's pages do.
	o.BaseURL = strings.TrimSuffix(strings.TrimRight(o.BaseURL, "/"), "/api/v3")

	talk, err := provider.NewTalk(o, "wavespeed", home)
	if err != nil {
		return nil, err
	}

	talk.Silence = s.silenceTimeout
	talk.Complain = readComplaint
	talk.Judge = judge

	return &wavespeed{settings: s, talk: talk}, nil
}

// Open reads a result through its link.
func (w *wavespeed) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return w.talk.Open(ctx, r)
}
