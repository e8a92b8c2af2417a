package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	pathCreate   = "/v1/video/generations"
	pathVideos   = "/v1/videos"
	pathEstimate = "/v1/video/generations/estimate"
)

// CreateOption configures a create request.
type CreateOption func(*apiRequest)

// WithIdempotencyKey sets the Idempotency-Key, with which the create makes only one task
// however often it is sent within 24 hours. Without this option a random key is used,
// which covers the client's own retries.
func WithIdempotencyKey(key string) CreateOption {
	return func(req *apiRequest) { req.header.Set("Idempotency-Key", key) }
}

// Create creates a task and returns it. If fields are invalid it returns an *Error that
// lists all of them.
func (c *Client) Create(ctx context.Context, r Request, options ...CreateOption) (Task, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return Task{}, fmt.Errorf("encode the request: %w", err)
	}

	return c.CreateRaw(ctx, text, options...)
}

// CreateRaw is like Create, with a body that is already JSON. The bytes are sent
// unchanged.
func (c *Client) CreateRaw(ctx context.Context, body []byte, options ...CreateOption) (Task, error) {
	req := newRawRequest(pathCreate, body)
	req.idempotent = true // because of the Idempotency-Key
	req.header.Set("Idempotency-Key", rand.Text())

	for _, option := range options {
		option(&req)
	}

	raw, header, err := c.doJSON(ctx, req, nil)
	if err != nil {
		return Task{}, err
	}

	t, err := readTask(raw)
	t.Replayed = header.Get("Idempotent-Replayed") == "true"

	return t, err
}

func newRawRequest(path string, body []byte) apiRequest {
	return apiRequest{
		method: http.MethodPost,
		path:   path,
		header: http.Header{"Content-Type": {"application/json"}},
		body:   func() (io.Reader, error) { return bytes.NewReader(body), nil },
		size:   int64(len(body)),
	}
}

// CreateAndWait creates a task and waits until it is final (see Wait).
func (c *Client) CreateAndWait(ctx context.Context, r Request, onUpdate func(Task), options ...CreateOption) (Task, error) {
	t, err := c.Create(ctx, r, options...)
	if err != nil {
		return Task{}, err
	}

	if onUpdate != nil {
		onUpdate(t)
	}

	return c.Wait(ctx, t.ID, onUpdate)
}

// GetOption configures a Get request.
type GetOption func(url.Values)

// WithWait makes the server delay the response until the task is final, or for at most d.
// d is rounded down to whole seconds, from 1 to 60.
func WithWait(d time.Duration) GetOption {
	seconds := int(min(max(d, time.Second), time.Minute) / time.Second)
	return func(q url.Values) { q.Set("wait", strconv.Itoa(seconds)) }
}

// WhileStatus makes WithWait return as soon as the status differs from s.
func WhileStatus(s Status) GetOption {
	return func(q url.Values) { q.Set("status", string(s)) }
}

// Get returns a task.
func (c *Client) Get(ctx context.Context, id string, options ...GetOption) (Task, error) {
	query := url.Values{}
	for _, option := range options {
		option(query)
	}

	req := apiRequest{method: http.MethodGet, path: pathVideos + "/" + url.PathEscape(id), query: query, idempotent: true}

	raw, _, err := c.doJSON(ctx, req, nil)
	if err != nil {
		return Task{}, err
	}

	return readTask(raw)
}

const (
	// watchPollTimeout is how long the server may delay a response when the caller wants
	// updates.
	watchPollTimeout = 2 * time.Second
	// minPollInterval is the shortest time between two polls, for servers that do not
	// delay responses.
	minPollInterval = 500 * time.Millisecond
	// outageTimeout is how long a server may be unreachable before Wait gives up. The
	// task continues without the client.
	outageTimeout = 5 * time.Minute
)

// Wait waits until a task is final and returns it. onUpdate, if not nil, is called with
// every response, about every two seconds. A failed or cancelled task is not an error
// of Wait: see its Status and Error. Wait tolerates a server that is unreachable for
// less than five minutes.
func (c *Client) Wait(ctx context.Context, id string, onUpdate func(Task)) (Task, error) {
	pollTimeout := time.Minute
	if onUpdate != nil {
		pollTimeout = watchPollTimeout
	}

	lastResponse := time.Now()
	for {
		sentAt := time.Now()

		t, err := c.Get(ctx, id, WithWait(pollTimeout))
		switch {
		case err == nil:
			lastResponse = time.Now()

			if onUpdate != nil {
				onUpdate(t)
			}

			if t.Status.Final() {
				return t, nil
			}
		case ctx.Err() != nil:
			return Task{}, ctx.Err()
		case !isTransient(err) || time.Since(lastResponse)+requestedDelay(err) > outageTimeout:
			return Task{}, err
		}

		if err := sleep(ctx, max(0, minPollInterval-time.Since(sentAt), requestedDelay(err))); err != nil {
			return Task{}, err
		}
	}
}

// requestedDelay returns the Retry-After of an error response, or 0.
func requestedDelay(err error) time.Duration {
	var apiErr *Error
	if errors.As(err, &apiErr) {
		return apiErr.RetryAfter
	}

	return 0
}

// isTransient reports whether a retry may succeed soon.
func isTransient(err error) bool {
	var apiErr *Error
	if errors.As(err, &apiErr) {
		return apiErr.Status >= 500 || apiErr.Status == http.StatusTooManyRequests
	}

	var unreachable *UnreachableError

	return errors.As(err, &unreachable)
}

// Filter selects the tasks to list. The zero value selects all, newest first.
type Filter struct {
	Status   Status
	Model    string
	Key      string // id of the API key that created them
	Order    string // "desc" (default) or "asc" by creation
	After    string // the id of a task; the list starts after it
	PageSize int    // tasks per request; 0 means the server's default
}

// List yields the account's tasks. It fetches them page by page. The first error is
// yielded with a zero Task and ends the iteration.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Task, error] {
	query := url.Values{}

	for name, value := range map[string]string{"status": string(f.Status), "model": f.Model, "key": f.Key, "order": f.Order} {
		if value != "" {
			query.Set(name, value)
		}
	}

	if f.PageSize > 0 {
		query.Set("limit", strconv.Itoa(f.PageSize))
	}

	return func(yield func(Task, error) bool) {
		after := f.After
		for {
			if after != "" {
				query.Set("after", after)
			}

			var page struct {
				Data    []json.RawMessage `json:"data"`
				LastID  string            `json:"last_id"`
				HasMore bool              `json:"has_more"`
			}
			if err := c.getJSON(ctx, pathVideos, query, &page); err != nil {
				yield(Task{}, err)
				return
			}

			for _, raw := range page.Data {
				t, err := readTask(raw)
				if !yield(t, err) || err != nil {
					return
				}
			}

			if !page.HasMore || page.LastID == "" || page.LastID == after {
				return
			}

			after = page.LastID
		}
	}
}

// Cancel requests the cancellation of a task and returns the task. A task that was
// already submitted to a supplier may continue to run.
func (c *Client) Cancel(ctx context.Context, id string) (Task, error) {
	req := apiRequest{method: http.MethodPost, path: pathVideos + "/" + url.PathEscape(id) + "/cancel", idempotent: true}

	raw, _, err := c.doJSON(ctx, req, nil)
	if err != nil {
		return Task{}, err
	}

	return readTask(raw)
}

// Delete cancels a task and hides it. Its files are deleted once it is final.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, _, err := c.doJSON(ctx, apiRequest{method: http.MethodDelete, path: pathVideos + "/" + url.PathEscape(id), idempotent: true}, nil)
	return err
}
