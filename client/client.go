// Package client is the Go client of Unireel's API. It creates video tasks, waits for
// them, downloads their videos, uploads references, and reads models, prices and
// credit; for operators it manages accounts, keys and upstreams. On a task's path it
// comes before the server's package api, and the command line is built on it. It
// retries requests that are safe to repeat and never pays for a second task, because
// every create carries an Idempotency-Key. It imports no package of the server.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxResponseBytes limits how many bytes of a JSON response are read.
const maxResponseBytes = 32 << 20

// Client sends requests to one server with one key. Its methods are safe for
// concurrent use.
type Client struct {
	server      *url.URL
	key         string
	http        *http.Client
	maxAttempts int
	userAgent   string
}

// Option configures a Client.
type Option func(*Client)

// WithTransport sends requests through rt, for example one for tests or tracing.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *Client) { c.http = &http.Client{Transport: rt} }
}

// WithUnixSocket sends every request to the Unix socket at path.
func WithUnixSocket(path string) Option {
	return WithTransport(transport(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}))
}

// WithMaxAttempts limits how often one request is sent; 1 means no retries. The default
// is 5.
func WithMaxAttempts(n int) Option { return func(c *Client) { c.maxAttempts = max(1, n) } }

// WithUserAgent sets the User-Agent header.
func WithUserAgent(agent string) Option { return func(c *Client) { c.userAgent = agent } }

// New returns a client for a server. server is an http or https URL without a path, such
// as http://127.0.0.1:8080; key is the API key.
func New(server, key string, options ...Option) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(server, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server %q is not an address; write it like http://127.0.0.1:8080", server)
	}

	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext

	c := &Client{
		server:      u,
		key:         key,
		http:        &http.Client{Transport: transport(dial)},
		maxAttempts: 5,
		userAgent:   "unireel-go",
	}
	for _, option := range options {
		option(c)
	}

	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func transport(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // above the longest ?wait
	}
}

// apiRequest is one request, before it is sent.
type apiRequest struct {
	method     string
	path       string
	query      url.Values
	header     http.Header
	body       func() (io.Reader, error) // returns a new body for each attempt; nil for no body
	size       int64                     // size of the body in bytes
	idempotent bool                      // whether it is safe to send the request twice
}

// newJSONRequest returns a request with v as its JSON body; nil means no body.
func newJSONRequest(method, path string, v any) (apiRequest, error) {
	req := apiRequest{method: method, path: path, header: http.Header{}, idempotent: method != http.MethodPost}
	if v == nil {
		return req, nil
	}

	text, err := json.Marshal(v)
	if err != nil {
		return apiRequest{}, fmt.Errorf("encode the request: %w", err)
	}

	req.header.Set("Content-Type", "application/json")
	req.body = func() (io.Reader, error) { return bytes.NewReader(text), nil }
	req.size = int64(len(text))

	return req, nil
}

// send sends the request and retries it while that is safe and attempts are left. A
// response with a status of 400 or more is returned as an *Error. The caller closes the
// response's body.
func (c *Client) send(ctx context.Context, req apiRequest) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := c.sendOnce(ctx, req)
		if err == nil && resp.StatusCode < 400 {
			return resp, nil
		}

		delay := backoff(attempt)

		retry := req.idempotent
		if err == nil {
			delay, retry = retryDecision(attempt, resp, req.idempotent)
			err = readError(resp)
		}

		if !retry || attempt >= c.maxAttempts || ctx.Err() != nil {
			return nil, err
		}

		if sleep(ctx, delay) != nil {
			return nil, err
		}
	}
}

func (c *Client) sendOnce(ctx context.Context, req apiRequest) (*http.Response, error) {
	var body io.Reader
	if req.body != nil {
		var err error
		if body, err = req.body(); err != nil {
			return nil, err
		}
	}

	u := c.server.JoinPath(req.path)
	u.RawQuery = req.query.Encode()

	httpReq, err := http.NewRequestWithContext(ctx, req.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.method, req.path, err)
	}

	if req.header != nil {
		httpReq.Header = req.header.Clone()
	}

	if req.body != nil {
		httpReq.ContentLength = req.size
	}

	if c.key != "" {
		httpReq.Header.Set("Authorization", "Bearer "+c.key)
	}

	httpReq.Header.Set("User-Agent", c.userAgent)

	resp, err := c.http.Do(httpReq)
	if err != nil {
		return nil, &UnreachableError{Server: c.server.String(), Err: unwrapURLError(err)}
	}

	return resp, nil
}

// unwrapURLError returns the cause of an error of net/http without the URL, whose query
// must not be shown.
func unwrapURLError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}

	return err
}

// doJSON sends the request, decodes the JSON response into v if v is not nil, and
// returns the response's bytes and header.
func (c *Client) doJSON(ctx context.Context, req apiRequest, v any) (json.RawMessage, http.Header, error) {
	resp, err := c.send(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()

	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes+1))
	if err == nil && len(text) > maxResponseBytes {
		err = fmt.Errorf("more than %d bytes", maxResponseBytes)
	}

	if err == nil && v != nil {
		err = json.Unmarshal(text, v)
	}

	if err != nil {
		return nil, nil, fmt.Errorf("read the response to %s %s: %w", req.method, req.path, err)
	}

	return text, resp.Header, nil
}

// getJSON sends a GET request and decodes the JSON response into v.
func (c *Client) getJSON(ctx context.Context, path string, query url.Values, v any) error {
	_, _, err := c.doJSON(ctx, apiRequest{method: http.MethodGet, path: path, query: query, idempotent: true}, v)
	return err
}
