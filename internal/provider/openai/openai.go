// Package openai speaks OpenAI's videos API to any server that has it: a GPU
// server of the operator's own (SGLang-Diffusion, vLLM-Omni) or another gateway.
// dispatch calls it with an Order that checkout priced, and takes from it a
// ticket, then a Result, then the bytes. It maps shapes and names what went
// wrong; it never retries, never waits for a limit and never decides what becomes
// of a task.
//
// What an order asks for is sent, be it no field of OpenAI's own: servers ignore
// or refuse what they do not know. What a server cannot do stands in the `lacks`
// of its route, and is then never asked of it.
//
// The API has no keys for repeating an order and its lists do not say whose a
// video is, so it is no provider.Finder: an order whose answer was lost is given
// up, never sent again.
//
// The pages: platform.openai.com/docs/api-reference/videos,
// docs.sglang.io/diffusion/api/openai_api.html,
// docs.vllm.ai/projects/vllm-omni "Videos API".
package openai

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Kind is the API as a value. Its servers are anywhere and often without a key.
func Kind() provider.Kind {
	return provider.Kind{
		Name:    "openai",
		Traits:  provider.Traits{PollEvery: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		Keyless: true,
		New:     New,
	}
}

// openai is one server.
type openai struct {
	settings
	talk *provider.Talk

	mu      sync.Mutex
	deleted []provider.Ticket // by us, the newest last: the server forgets what was deleted
}

var (
	_ provider.Provider = (*openai)(nil)
	_ provider.Canceler = (*openai)(nil)
)

// New makes the provider of one upstream. It errs on options that cannot work
// and touches no network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := readSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	talk, err := provider.NewTalk(o, "openai", "http://gpu-1:30000")
	if err != nil {
		return nil, err
	}

	talk.Silence = s.silenceTimeout
	talk.Complain = readComplaint
	talk.Judge = judge

	return &openai{settings: s, talk: talk}, nil
}

// Open reads a result, with the key when it is the server's own.
func (p *openai) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return p.talk.Open(ctx, r)
}

// noPicture refuses a video from a picture without exactly one.
func noPicture() *provider.Failure {
	f := provider.Unsent(fault.CodeRefused, "image", errPictures)
	f.Fault.Detail = "A video from a picture wants exactly one picture. Send one."

	return f
}
