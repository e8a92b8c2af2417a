package dashscope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Open reads a result through its signed link, without the key.
func (d *dashscope) Open(ctx context.Context, r provider.Result) (io.ReadCloser, error) {
	if u, err := url.Parse(r.URL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, d.gone(exchange{}, errors.New("the result's address is not http"))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		cancel(nil)
		return nil, d.gone(exchange{}, errors.New("the result's address is not usable"))
	}
	request.Header.Set("User-Agent", "unireel")
	quiet := time.AfterFunc(d.silenceTimeout, func() { cancel(errSilent) })
	answer, err := d.client.Do(request)
	if err != nil {
		quiet.Stop()
		cancel(nil)
		return nil, d.broken(exchange{}, bare(or(context.Cause(ctx), err)))
	}
	if answer.StatusCode == http.StatusOK {
		return &film{Reader: answer.Body, d: d, ctx: ctx, quiet: quiet, body: answer.Body, cancel: cancel}, nil
	}
	defer cancel(nil)
	defer quiet.Stop()
	defer answer.Body.Close()
	x := exchange{status: answer.StatusCode, requestID: answer.Header.Get("X-Request-Id"), after: d.retryAfter(answer.Header.Get("Retry-After"))}
	x.body, _ = io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	cause := fmt.Errorf("result: status %d", x.status)
	e, err := readError(x.body)
	if err == nil {
		cause = fmt.Errorf("%w: %s", cause, e.Message)
	}
	var f *provider.Failure
	switch x.status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		f = d.gone(x, cause)
	default:
		f = d.broken(x, cause)
	}
	f.Code = d.clean(e.Code)
	return nil, f
}

func (d *dashscope) gone(x exchange, cause error) *provider.Failure {
	f := d.broken(x, cause)
	f.Class = provider.Gone
	f.Fault = fault.New(fault.CodeResultLost, "", "The video was made, but its file was gone before it could be fetched. Nothing was charged; create it again.")
	return f
}

var errSilent = errors.New("no bytes for too long")

// or prefers why a context ended to the error that its end made.
func or(cause, err error) error {
	if cause != nil {
		return cause
	}
	return err
}

// film is a result's body that ends when nothing comes any more. An error of it
// is a passing failure: the link may be opened again.
type film struct {
	io.Reader
	d      *dashscope
	ctx    context.Context
	quiet  *time.Timer
	body   io.Closer
	cancel context.CancelCauseFunc
}

func (f *film) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if n > 0 {
		f.quiet.Reset(f.d.silenceTimeout)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.d.broken(exchange{}, fmt.Errorf("read result: %w", or(context.Cause(f.ctx), err)))
	}
	return n, err
}

func (f *film) Close() error {
	f.quiet.Stop()
	err := f.body.Close()
	f.cancel(nil)
	return err
}
