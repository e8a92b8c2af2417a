package dashscope

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// request makes an API request with the key, and with the workspace when it is
// set.
func (d *dashscope) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}

	r, err := d.client.NewRequest(ctx, method, path, reader)
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

// query sends a request that may be repeated.
func (d *dashscope) query(ctx context.Context, method, path string) (provider.Response, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, d.queryTimeout)
	defer cancel()

	r, err := d.request(ctx, method, path, nil)
	if err != nil {
		return provider.Response{}, d.transientFailure(provider.Response{}, err)
	}

	return d.client.Do(r)
}

// transientFailure is the failure of a request without a readable response.
func (d *dashscope) transientFailure(response provider.Response, err error) *provider.Failure {
	return d.client.TransientFailure(response, err)
}

// Open reads a result through its presigned link, without the key.
func (d *dashscope) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	return d.client.Open(ctx, r)
}
