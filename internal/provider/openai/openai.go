// Package openai speaks OpenAI's videos API to any server that has it: a GPU
// server of the operator's own (SGLang-Diffusion, vLLM-Omni) or another gateway.
// dispatch passes it a Submission that checkout priced, gets a remote ID, later a
// Result, and then the bytes. The package translates requests and responses and
// classifies errors. It never retries, never waits for a limit and never decides
// what becomes of a task.
//
// Everything that a submission asks for is sent, even if OpenAI has no such field:
// servers ignore or reject what they do not know. What a server cannot do is
// listed under `unsupported` in its route, and no submission that needs it is sent
// there.
//
// The API has no idempotency keys, and its lists do not say which client created a
// video, so the package does not implement provider.Finder: a submission whose
// response was lost is given up and never sent again.
//
// The pages: platform.openai.com/docs/api-reference/videos,
// docs.sglang.io/diffusion/api/openai_api.html, docs.vllm.ai/projects/vllm-omni
// "Videos API".
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

// Driver describes the provider. Its servers can be anywhere and often need no
// key.
func Driver() provider.Driver {
	return provider.Driver{
		Name:         "openai",
		Capabilities: provider.Capabilities{PollInterval: [2]time.Duration{2 * time.Second, 15 * time.Second}},
		KeyOptional:  true,
		New:          New,
	}
}

// openai is the provider of one server.
type openai struct {
	settings
	client *provider.Client

	mu      sync.Mutex
	deleted []provider.RemoteID // deleted by us, newest last: the server forgets deleted videos
}

var (
	_ provider.Provider = (*openai)(nil)
	_ provider.Canceler = (*openai)(nil)
)

// New makes the provider of one upstream. It returns an error for options that
// cannot work; it does not use the network.
func New(o provider.Options) (provider.Provider, error) {
	s, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", o.Upstream, err)
	}

	client, err := provider.NewClient(o, "openai", "http://gpu-1:30000")
	if err != nil {
		return nil, err
	}

	client.IdleTimeout = s.idleTimeout
	client.ParseError = readError
	client.Classify = classify

	return &openai{settings: s, client: client}, nil
}

// Open reads a result, with the key when the URL is the server's own.
func (p *openai) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return p.client.Open(ctx, r)
}

// pictureRequired rejects an I2V submission that does not have exactly one
// picture.
func pictureRequired() *provider.Failure {
	f := provider.NewInvalidRequest(fault.CodeSupplierRejected, "image", errPictureCount)
	f.Fault.Detail = "A video from a picture needs exactly one picture. Send one."

	return f
}
