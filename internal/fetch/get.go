package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// Body is a file that is being fetched. Close ends it; it must be closed. Errors
// of Read are like those of Get.
type Body struct {
	Bytes       int64  // as announced, -1 when it was not
	ContentType string // as announced, "" when it was not; Sniff knows better
	Public      bool   // whether every hop came from the open internet, so that others can read the URL too

	host  string
	max   int64
	left  int64 // bytes that may still come
	src   io.ReadCloser
	ctx   context.Context
	stall *time.Timer
	end   context.CancelFunc
}

// Get fetches a URL of a customer. What is wrong with it comes as a *fault.Fault
// whose sentence is for the customer (see Passing); an error that is none is
// ctx's end or a trouble of our own.
func (f *Fetcher) Get(ctx context.Context, rawURL string, b Bounds) (*Body, error) {
	if b.MaxBytes <= 0 {
		b.MaxBytes = f.options.MaxBytes
	}

	if b.Timeout <= 0 {
		b.Timeout = f.options.Timeout
	}

	ctx, cancel := context.WithCancelCause(ctx)
	ctx, end := context.WithTimeoutCause(ctx, b.Timeout, errTooSlow)
	stop := func() { end(); cancel(nil) }

	body := &Body{max: b.MaxBytes, left: b.MaxBytes, ctx: ctx, end: stop, Public: true}
	if err := f.follow(ctx, body, rawURL); err != nil {
		stop()
		return nil, err
	}

	body.stall = time.AfterFunc(stallWait, func() { cancel(errStalled) })
	body.stall.Stop()

	if body.Bytes > b.MaxBytes {
		body.Close()
		return nil, tooLarge(b.MaxBytes)
	}

	return body, nil
}

// follow goes from hop to hop until there is a body, and checks each.
func (f *Fetcher) follow(ctx context.Context, body *Body, rawURL string) error {
	for hop := 0; ; hop++ {
		u, wrong := f.parse(rawURL)
		if wrong != nil && hop == 0 {
			return unreachable(wrong.Detail, ErrNotAllowed)
		}

		if wrong != nil {
			return unreachable("The URL leads on to another address that is not fetched: "+wrong.Detail, ErrNotAllowed)
		}

		body.host = u.Hostname()
		if d := f.mapped(u); d != nil {
			return body.serve(d, u)
		}

		answer, err := f.ask(ctx, u, body)
		if err != nil {
			return troubleOf(ctx, u.Hostname(), err)
		}

		next, err := location(answer, u)
		if next == "" {
			return body.take(answer)
		}

		answer.Body.Close()

		if err != nil {
			return err
		}

		if hop == maxHops {
			return unreachable(fmt.Sprintf("The URL leads on more than %d times. Give the address of the file itself.", maxHops), nil)
		}

		rawURL = next
	}
}

// ask makes one request. It has no cookies, no Referer and no credentials.
func (f *Fetcher) ask(ctx context.Context, u *url.URL, body *Body) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if !publicConn(c.Conn) {
			body.Public = false
		}
	}}
	plain := *u
	plain.Fragment = ""
	plain.RawFragment = ""

	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, plain.String(), nil)
	if err != nil {
		return nil, err
	}

	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Accept-Encoding", "identity")

	return f.transport.RoundTrip(r)
}

// location is where an answer leads on to, "" when it does not.
func location(answer *http.Response, from *url.URL) (string, error) {
	switch answer.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return "", nil
	}

	to := answer.Header.Get("Location")

	next, err := from.Parse(to)
	if to == "" || err != nil {
		return "?", unreachable("The URL's host leads on to an address that is not a URL. Give the address of the file itself.", err)
	}

	return next.String(), nil
}

// take makes the answer the body, if it is a good one.
func (b *Body) take(answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return badStatus(b.host, answer.StatusCode)
	}

	if e := answer.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		answer.Body.Close()
		return unreachable("The URL's host sends the file compressed, though asked not to. Give a link to the plain file.", nil)
	}

	b.Bytes = answer.ContentLength
	b.ContentType = answer.Header.Get("Content-Type")
	b.src = answer.Body

	return nil
}

// serve makes a file of a mapped folder the body.
func (b *Body) serve(d *folder, u *url.URL) error {
	file, size, err := d.file(u)
	if err != nil {
		return badStatus(b.host, http.StatusNotFound)
	}

	b.Bytes = size
	b.src = file
	b.Public = false

	return nil
}

// Read gives the file's bytes, at most as many as Bounds says: one more is an
// error.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}

	if err := b.ctx.Err(); err != nil {
		return 0, troubleOf(b.ctx, b.host, err)
	}

	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}

	b.stall.Reset(stallWait)
	n, err := b.src.Read(p)
	b.stall.Stop()

	if int64(n) > b.left {
		n = int(b.left)
		b.left = 0

		return n, tooLarge(b.max)
	}

	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, troubleOf(b.ctx, b.host, err)
	}

	return n, err
}

// Close ends the fetch.
func (b *Body) Close() error {
	if b.stall != nil {
		b.stall.Stop()
	}

	b.end()

	return b.src.Close()
}

// Fetched is what Download found.
type Fetched struct {
	Bytes       int64
	ContentType string // as announced
	Public      bool   // see Body
}

// Download fetches a URL into dst; its errors are Get's, or dst's own.
func (f *Fetcher) Download(ctx context.Context, rawURL string, dst io.Writer, b Bounds) (Fetched, error) {
	body, err := f.Get(ctx, rawURL, b)
	if err != nil {
		return Fetched{}, err
	}
	defer body.Close()

	n, err := io.Copy(dst, struct{ io.Reader }{body})
	if err != nil {
		return Fetched{}, fmt.Errorf("download: %w", err)
	}

	return Fetched{Bytes: n, ContentType: body.ContentType, Public: body.Public}, nil
}
