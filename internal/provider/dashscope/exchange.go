package dashscope

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// request makes an API request with the key, and the workspace when set.
func (d *dashscope) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}

	r, err := d.talk.Request(ctx, method, path, reader)
	if err != nil {
		return nil, err
	}

	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}

	if d.workspace != "" {
		r.Header.Set("X-DashScope-WorkSpace", d.workspace)
	}

	return r, nil
}

// ask is one query of the supplier: a request that may be repeated.
func (d *dashscope) ask(ctx context.Context, method, path string) (provider.Answer, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, d.queryTimeout)
	defer cancel()

	r, err := d.request(ctx, method, path, nil)
	if err != nil {
		return provider.Answer{}, d.broken(provider.Answer{}, err)
	}

	return d.talk.Ask(r)
}

// broken is the failure of an exchange without a readable answer.
func (d *dashscope) broken(a provider.Answer, err error) *provider.Failure {
	return d.talk.Broken(a, err)
}

// Open reads a result through its signed link, without the key.
func (d *dashscope) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return d.talk.Open(ctx, r)
}
