// Package client is the Go client of Unireel's API: order videos, follow them,
// fetch their bytes, upload references, look at models, prices and credit; for
// operators, keep accounts, keys and upstreams. It comes before the server's api
// on a task's path, and the command line is built on it. It retries what is safe
// to repeat (never a second paid task: every create carries an Idempotency-Key)
// and imports nothing of the server.
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

// maxAnswer is how many bytes of a JSON answer are read.
const maxAnswer = 32 << 20

// Client speaks to one server with one key. Its methods may be called at the
// same time from many goroutines.
type Client struct {
	server *url.URL
	key    string
	http   *http.Client
	tries  int
	agent  string
}

// Option sets up a Client.
type Option func(*Client)

// WithTransport sends requests through rt: a test's, or one with tracing.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *Client) { c.http = &http.Client{Transport: rt} }
}

// WithUnixSocket sends every request to the socket at path.
func WithUnixSocket(path string) Option {
	return WithTransport(transport(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}))
}

// WithTries bounds how often one request is sent: 1 is never again. Default 5.
func WithTries(n int) Option { return func(c *Client) { c.tries = max(1, n) } }

// WithUserAgent names the program that calls.
func WithUserAgent(agent string) Option { return func(c *Client) { c.agent = agent } }

// New makes a client. server is an http(s) address without a path, such as
// http://127.0.0.1:8080; key is the API key.
func New(server, key string, options ...Option) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(server, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("server %q is not an address; write it like http://127.0.0.1:8080", server)
	}

	dial := (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext

	c := &Client{server: u, key: key, http: &http.Client{Transport: transport(dial)}, tries: 5, agent: "unireel-go"}
	for _, option := range options {
		option(c)
	}

	return c, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func transport(dial func(context.Context, string, string) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dial, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // above the longest ?wait
	}
}

// call is one request, before it is sent.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   func() (io.Reader, error) // a fresh body for each try; nil for none
	size   int64                     // of the body, in bytes
	safe   bool                      // sending it twice does what sending it once does
}

// jsonCall is a call with v as its body, nil for none.
func jsonCall(method, path string, v any) (call, error) {
	c := call{method: method, path: path, header: http.Header{}, safe: method != http.MethodPost}
	if v == nil {
		return c, nil
	}

	text, err := json.Marshal(v)
	if err != nil {
		return call{}, fmt.Errorf("encode the request: %w", err)
	}

	c.header.Set("Content-Type", "application/json")
	c.body = func() (io.Reader, error) { return bytes.NewReader(text), nil }
	c.size = int64(len(text))

	return c, nil
}

// send sends the call until it is answered well, repeating what is safe to
// repeat. The caller closes the answer's body.
func (c *Client) send(ctx context.Context, call call) (*http.Response, error) {
	for try := 1; ; try++ {
		answer, err := c.once(ctx, call)
		if err == nil && answer.StatusCode < 400 {
			return answer, nil
		}

		pause := backoff(try)

		again := call.safe
		if err == nil {
			pause, again = afterAnswer(try, answer, call.safe)
			err = readError(answer)
		}

		if !again || try >= c.tries || ctx.Err() != nil {
			return nil, err
		}

		if wait(ctx, pause) != nil {
			return nil, err
		}
	}
}

func (c *Client) once(ctx context.Context, call call) (*http.Response, error) {
	var body io.Reader
	if call.body != nil {
		var err error
		if body, err = call.body(); err != nil {
			return nil, err
		}
	}

	u := c.server.JoinPath(call.path)
	u.RawQuery = call.query.Encode()

	request, err := http.NewRequestWithContext(ctx, call.method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", call.method, call.path, err)
	}

	if call.header != nil {
		request.Header = call.header.Clone()
	}

	if call.body != nil {
		request.ContentLength = call.size
	}

	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}

	request.Header.Set("User-Agent", c.agent)

	answer, err := c.http.Do(request)
	if err != nil {
		return nil, &Unreachable{Server: c.server.String(), Err: inner(err)}
	}

	return answer, nil
}

// inner drops what net/http puts around a cause: the address, with its query.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}

	return err
}

// ask sends the call and reads its JSON answer into v, and returns its bytes.
func (c *Client) ask(ctx context.Context, call call, v any) (json.RawMessage, http.Header, error) {
	answer, err := c.send(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()

	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("more than %d bytes", maxAnswer)
	}

	if err == nil && v != nil {
		err = json.Unmarshal(text, v)
	}

	if err != nil {
		return nil, nil, fmt.Errorf("read the answer to %s %s: %w", call.method, call.path, err)
	}

	return text, answer.Header, nil
}

// get asks for JSON.
func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	_, _, err := c.ask(ctx, call{method: http.MethodGet, path: path, query: query, safe: true}, v)
	return err
}
