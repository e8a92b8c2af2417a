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

// Body is a file that is being fetched. It must be closed; Close ends the fetch. Read
// returns the same kinds of error as Get.
type Body struct {
	Bytes       int64  // as announced, -1 if it was not
	ContentType string // as announced, "" if it was not; Sniff is more reliable
	Public      bool   // whether every hop came from the public internet, so that others can read the URL too

	host       string
	maxBytes   int64
	remaining  int64 // bytes that may still be read
	source     io.ReadCloser
	ctx        context.Context
	stallTimer *time.Timer
	cancel     context.CancelFunc
}

// Get fetches a customer's URL. A problem with the URL or its host is a *fault.Fault whose
// sentence is for the customer (see IsTransient). Any other error means that ctx has
// ended or that the problem is ours.
func (f *Fetcher) Get(ctx context.Context, rawURL string, limits Limits) (*Body, error) {
	if limits.MaxBytes <= 0 {
		limits.MaxBytes = f.options.MaxBytes
	}

	if limits.Timeout <= 0 {
		limits.Timeout = f.options.Timeout
	}

	ctx, cancel := context.WithCancelCause(ctx)
	ctx, cancelTimeout := context.WithTimeoutCause(ctx, limits.Timeout, errTimeout)
	stop := func() { cancelTimeout(); cancel(nil) }

	body := &Body{maxBytes: limits.MaxBytes, remaining: limits.MaxBytes, ctx: ctx, cancel: stop, Public: true}
	if err := f.followRedirects(ctx, body, rawURL); err != nil {
		stop()
		return nil, err
	}

	body.stallTimer = time.AfterFunc(stallTimeout, func() { cancel(errStalled) })
	body.stallTimer.Stop()

	if body.Bytes > limits.MaxBytes {
		body.Close()
		return nil, tooLarge(limits.MaxBytes)
	}

	return body, nil
}

// followRedirects follows redirects until there is a body, and checks every URL.
func (f *Fetcher) followRedirects(ctx context.Context, body *Body, rawURL string) error {
	for redirects := 0; ; redirects++ {
		u, problem := f.parse(rawURL)
		if problem != nil && redirects == 0 {
			return unreachable(problem.Detail, ErrNotAllowed)
		}

		if problem != nil {
			return unreachable("The URL redirects to another address that is not fetched: "+problem.Detail, ErrNotAllowed)
		}

		body.host = u.Hostname()
		if mapping := f.findMapping(u); mapping != nil {
			return body.openMapped(mapping, u)
		}

		resp, err := f.roundTrip(ctx, u, body)
		if err != nil {
			return requestError(ctx, u.Hostname(), err)
		}

		next, err := redirectTarget(resp, u)
		if next == "" {
			return body.acceptResponse(resp)
		}

		resp.Body.Close()

		if err != nil {
			return err
		}

		if redirects == maxRedirects {
			return unreachable(fmt.Sprintf("The URL redirects more than %d times. Give the address of the file itself.", maxRedirects), nil)
		}

		rawURL = next
	}
}

// roundTrip makes one request, without cookies, Referer or credentials.
func (f *Fetcher) roundTrip(ctx context.Context, u *url.URL, body *Body) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if !isPublicConn(c.Conn) {
			body.Public = false
		}
	}}
	withoutFragment := *u
	withoutFragment.Fragment = ""
	withoutFragment.RawFragment = ""

	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, withoutFragment.String(), nil)
	if err != nil {
		return nil, err
	}

	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")

	return f.transport.RoundTrip(req)
}

// redirectTarget returns the URL that a response redirects to, or "" if it does not redirect.
func redirectTarget(resp *http.Response, from *url.URL) (string, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return "", nil
	}

	target := resp.Header.Get("Location")

	next, err := from.Parse(target)
	if target == "" || err != nil {
		return "?", unreachable("The URL's host redirects to an address that is not a URL. Give the address of the file itself.", err)
	}

	return next.String(), nil
}

// acceptResponse uses the response as the body if its status and encoding are right.
func (b *Body) acceptResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return statusError(b.host, resp.StatusCode)
	}

	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		resp.Body.Close()
		return unreachable("The URL's host sends the file compressed, although it was asked not to. Give a link to the plain file.", nil)
	}

	b.Bytes = resp.ContentLength
	b.ContentType = resp.Header.Get("Content-Type")
	b.source = resp.Body

	return nil
}

// openMapped uses a file in a mapped folder as the body.
func (b *Body) openMapped(mapping *mappedFolder, u *url.URL) error {
	file, size, err := mapping.open(u)
	if err != nil {
		return statusError(b.host, http.StatusNotFound)
	}

	b.Bytes = size
	b.source = file
	b.Public = false

	return nil
}

// Read reads the file's bytes, at most Limits.MaxBytes of them: one more byte is an error.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}

	if err := b.ctx.Err(); err != nil {
		return 0, requestError(b.ctx, b.host, err)
	}

	// Ask for one byte more than is allowed, to tell a file at the limit from a larger one.
	if int64(len(p)) > b.remaining+1 {
		p = p[:b.remaining+1]
	}

	b.stallTimer.Reset(stallTimeout)
	n, err := b.source.Read(p)
	b.stallTimer.Stop()

	if int64(n) > b.remaining {
		n = int(b.remaining)
		b.remaining = 0

		return n, tooLarge(b.maxBytes)
	}

	b.remaining -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, requestError(b.ctx, b.host, err)
	}

	return n, err
}

// Close ends the fetch.
func (b *Body) Close() error {
	if b.stallTimer != nil {
		b.stallTimer.Stop()
	}

	b.cancel()

	return b.source.Close()
}

// DownloadInfo describes a file that Download has fetched.
type DownloadInfo struct {
	Bytes       int64
	ContentType string // as announced
	Public      bool   // see Body
}

// Download fetches a URL into dst. Its errors are those of Get, or dst's own.
func (f *Fetcher) Download(ctx context.Context, rawURL string, dst io.Writer, limits Limits) (DownloadInfo, error) {
	body, err := f.Get(ctx, rawURL, limits)
	if err != nil {
		return DownloadInfo{}, err
	}
	defer body.Close()

	n, err := io.Copy(dst, struct{ io.Reader }{body})
	if err != nil {
		return DownloadInfo{}, fmt.Errorf("download: %w", err)
	}

	return DownloadInfo{Bytes: n, ContentType: body.ContentType, Public: body.Public}, nil
}
