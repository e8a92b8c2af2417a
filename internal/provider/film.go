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

// Open reads a result: with the key when its address is of the origin and links are
// not Signed, else without. A dead link is Gone.
func (t *Talk) Open(ctx context.Context, r Result) (io.ReadCloser, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, t.gone(Answer{}, errors.New("the result's address is not http"))
	}

	ctx, cancel := context.WithCancelCause(ctx)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		cancel(nil)
		return nil, t.gone(Answer{}, errors.New("the result's address is not usable"))
	}

	request.Header.Set("User-Agent", "unireel")

	if t.Auth != "" && !t.Signed && t.Ours(u) {
		request.Header.Set("Authorization", t.Auth)
	}

	quiet := time.AfterFunc(t.Silence, func() { cancel(errSilent) })

	answer, err := t.Client.Do(request)
	if err != nil {
		quiet.Stop()

		defer cancel(nil)

		return nil, t.Broken(Answer{}, bare(or(context.Cause(ctx), err)))
	}

	if answer.StatusCode == http.StatusOK {
		return &film{Reader: answer.Body, t: t, ctx: ctx, quiet: quiet, body: answer.Body, cancel: cancel}, nil
	}

	defer cancel(nil)
	defer quiet.Stop()
	defer answer.Body.Close()

	a := t.head(answer)
	a.Body, _ = io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	c, _ := t.Complain(a.Body)
	cause := fmt.Errorf("result: status %d: %s", a.Status, c.Message)

	f := t.Broken(a, cause)
	switch a.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		f = t.gone(a, cause)
	}

	f.Code = t.Clean(c.Code)

	return nil, f
}

func (t *Talk) gone(a Answer, cause error) *Failure {
	f := t.Broken(a, cause)
	f.Class = Gone
	f.Fault = fault.New(fault.CodeResultLost, "", sentence(fault.CodeResultLost))

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
	t      *Talk
	ctx    context.Context
	quiet  *time.Timer
	body   io.Closer
	cancel context.CancelCauseFunc
}

func (f *film) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if n > 0 {
		f.quiet.Reset(f.t.Silence)
	}

	if err != nil && !errors.Is(err, io.EOF) {
		err = f.t.Broken(Answer{}, fmt.Errorf("read result: %w", or(context.Cause(f.ctx), err)))
	}

	return n, err
}

func (f *film) Close() error {
	f.quiet.Stop()
	err := f.body.Close()
	f.cancel(nil)

	return err
}
