package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// Open reads a result. It sends the key when the URL belongs to the origin and
// links are not presigned. An expired link is a failure of class NotFound.
func (c *Client) Open(ctx context.Context, r Result) (io.ReadCloser, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, c.resultNotFound(Response{}, errors.New("the result's URL is not http or https"))
	}

	ctx, cancel := context.WithCancelCause(ctx)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		cancel(nil)
		return nil, c.resultNotFound(Response{}, errors.New("the result's URL cannot be used"))
	}

	request.Header.Set("User-Agent", "unireel")

	if c.Authorization != "" && !c.PresignedResults && c.SameOrigin(u) {
		request.Header.Set("Authorization", c.Authorization)
	}

	idleTimer := time.AfterFunc(c.IdleTimeout, func() { cancel(errIdleTimeout) })

	httpResp, err := c.HTTPClient.Do(request)
	if err != nil {
		idleTimer.Stop()

		defer cancel(nil)

		return nil, c.TransientFailure(Response{}, stripURL(preferCause(context.Cause(ctx), err)))
	}

	if httpResp.StatusCode == http.StatusOK {
		return &resultBody{
			Reader:    httpResp.Body,
			client:    c,
			ctx:       ctx,
			idleTimer: idleTimer,
			body:      httpResp.Body,
			cancel:    cancel,
		}, nil
	}

	defer cancel(nil)
	defer idleTimer.Stop()
	defer httpResp.Body.Close()

	resp := c.responseHead(httpResp)
	resp.Body, _ = io.ReadAll(io.LimitReader(httpResp.Body, 64<<10))
	errBody, _ := c.ParseError(resp.Body)
	cause := fmt.Errorf("result: status %d: %s", resp.Status, errBody.Message)

	f := c.TransientFailure(resp, cause)
	switch resp.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		f = c.resultNotFound(resp, cause)
	}

	f.Code = c.Sanitize(errBody.Code)

	return nil, f
}

func (c *Client) resultNotFound(resp Response, cause error) *Failure {
	f := c.TransientFailure(resp, cause)
	f.Class = NotFound
	f.Fault = fault.New(fault.CodeResultLost, "", customerMessage(fault.CodeResultLost))

	return f
}

var errIdleTimeout = errors.New("no bytes arrived for too long")

// preferCause returns the reason why a context ended, if there is one, instead of
// the error that its end produced.
func preferCause(cause, err error) error {
	if cause != nil {
		return cause
	}

	return err
}

// resultBody is a result's body that fails when no bytes arrive for the idle
// timeout. A read error is a transient failure: the link may be opened again.
type resultBody struct {
	io.Reader
	client    *Client
	ctx       context.Context
	idleTimer *time.Timer
	body      io.Closer
	cancel    context.CancelCauseFunc
}

func (r *resultBody) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.idleTimer.Reset(r.client.IdleTimeout)
	}

	if err != nil && !errors.Is(err, io.EOF) {
		err = r.client.TransientFailure(Response{}, fmt.Errorf("read result: %w", preferCause(context.Cause(r.ctx), err)))
	}

	return n, err
}

func (r *resultBody) Close() error {
	r.idleTimer.Stop()
	err := r.body.Close()
	r.cancel(nil)

	return err
}
