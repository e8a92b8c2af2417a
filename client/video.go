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

// CreateOption changes one create.
type CreateOption func(*call)

// WithIdempotencyKey names the create, so that it makes one task however often
// it is sent within 24 hours. Without it a random one is used, which covers the
// client's own repeats.
func WithIdempotencyKey(key string) CreateOption {
	return func(c *call) { c.header.Set("Idempotency-Key", key) }
}

// Create orders a video and returns its task, queued. Wrong fields come as an
// *Error that lists all of them.
func (c *Client) Create(ctx context.Context, r Request, options ...CreateOption) (Task, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return Task{}, fmt.Errorf("encode the request: %w", err)
	}

	return c.CreateRaw(ctx, text, options...)
}

// CreateRaw is Create with a body that is JSON already; its bytes are sent as
// they are.
func (c *Client) CreateRaw(ctx context.Context, body []byte, options ...CreateOption) (Task, error) {
	call := rawCall(pathCreate, body)
	call.safe = true // by its Idempotency-Key
	call.header.Set("Idempotency-Key", rand.Text())

	for _, option := range options {
		option(&call)
	}

	raw, header, err := c.ask(ctx, call, nil)
	if err != nil {
		return Task{}, err
	}

	t, err := readTask(raw)
	t.Replayed = header.Get("Idempotent-Replayed") == "true"

	return t, err
}

func rawCall(path string, body []byte) call {
	return call{
		method: http.MethodPost, path: path, header: http.Header{"Content-Type": {"application/json"}},
		body: func() (io.Reader, error) { return bytes.NewReader(body), nil }, size: int64(len(body)),
	}
}

// CreateAndWait orders a video and follows it to its end (see Wait).
func (c *Client) CreateAndWait(ctx context.Context, r Request, watch func(Task), options ...CreateOption) (Task, error) {
	t, err := c.Create(ctx, r, options...)
	if err != nil {
		return Task{}, err
	}

	if watch != nil {
		watch(t)
	}

	return c.Wait(ctx, t.ID, watch)
}

// GetOption changes one Get.
type GetOption func(url.Values)

// WithWait lets the server hold the answer for up to 60 seconds, until the task
// is final.
func WithWait(d time.Duration) GetOption {
	seconds := int(min(max(d, time.Second), time.Minute) / time.Second)
	return func(q url.Values) { q.Set("wait", strconv.Itoa(seconds)) }
}

// WhileStatus makes WithWait end as soon as the status is another one.
func WhileStatus(s Status) GetOption {
	return func(q url.Values) { q.Set("status", string(s)) }
}

// Get asks how a task stands.
func (c *Client) Get(ctx context.Context, id string, options ...GetOption) (Task, error) {
	query := url.Values{}
	for _, option := range options {
		option(query)
	}

	call := call{method: http.MethodGet, path: pathVideos + "/" + url.PathEscape(id), query: query, safe: true}

	raw, _, err := c.ask(ctx, call, nil)
	if err != nil {
		return Task{}, err
	}

	return readTask(raw)
}

const (
	// watchEvery is how long the server may hold an answer while somebody looks on.
	watchEvery = 2 * time.Second
	// leastPause keeps the polls apart where a server does not hold answers.
	leastPause = 500 * time.Millisecond
	// patience is how long a server may be gone before Wait gives up; the task
	// goes on without us.
	patience = 5 * time.Minute
)

// Wait follows a task to its end. watch, when it is not nil, is called with
// every answer, about every two seconds. A failed or cancelled task is no error:
// see its Status and Error. A server that is away for less than five minutes is
// waited for.
func (c *Client) Wait(ctx context.Context, id string, watch func(Task)) (Task, error) {
	hold := time.Minute
	if watch != nil {
		hold = watchEvery
	}

	answered := time.Now()
	for {
		asked := time.Now()

		t, err := c.Get(ctx, id, WithWait(hold))
		switch {
		case err == nil:
			answered = time.Now()

			if watch != nil {
				watch(t)
			}

			if t.Status.Final() {
				return t, nil
			}
		case ctx.Err() != nil:
			return Task{}, ctx.Err()
		case !passing(err) || time.Since(answered)+asksFor(err) > patience:
			return Task{}, err
		}

		if err := wait(ctx, max(0, leastPause-time.Since(asked), asksFor(err))); err != nil {
			return Task{}, err
		}
	}
}

// asksFor is when a server that refused wants to be asked again, 0 when it said
// nothing.
func asksFor(err error) time.Duration {
	var no *Error
	if errors.As(err, &no) {
		return no.RetryAfter
	}

	return 0
}

// passing says whether an error may be over soon.
func passing(err error) bool {
	var no *Error
	if errors.As(err, &no) {
		return no.Status >= 500 || no.Status == http.StatusTooManyRequests
	}

	var gone *Unreachable

	return errors.As(err, &gone)
}

// Filter chooses tasks of a list. The zero value is all, newest first.
type Filter struct {
	Status Status
	Model  string
	Key    string // id of the API key that made them
	Order  string // "desc" (default) or "asc" by creation
	After  string // a task's id: begin after it
	Page   int    // tasks a request; 0 is the server's own number
}

// List goes through the account's tasks, page by page. It ends at the first
// error, which is given with a zero Task.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Task, error] {
	query := url.Values{}

	for name, value := range map[string]string{"status": string(f.Status), "model": f.Model, "key": f.Key, "order": f.Order} {
		if value != "" {
			query.Set(name, value)
		}
	}

	if f.Page > 0 {
		query.Set("limit", strconv.Itoa(f.Page))
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
			if err := c.get(ctx, pathVideos, query, &page); err != nil {
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

// Cancel wishes a task away. The answer says how it stands: a task that a
// supplier already has may run on.
func (c *Client) Cancel(ctx context.Context, id string) (Task, error) {
	call := call{method: http.MethodPost, path: pathVideos + "/" + url.PathEscape(id) + "/cancel", safe: true}

	raw, _, err := c.ask(ctx, call, nil)
	if err != nil {
		return Task{}, err
	}

	return readTask(raw)
}

// Delete cancels a task and hides it; its files go when it is final.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, _, err := c.ask(ctx, call{method: http.MethodDelete, path: pathVideos + "/" + url.PathEscape(id), safe: true}, nil)
	return err
}
