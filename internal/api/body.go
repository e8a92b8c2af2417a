package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

const (
	maxBody     = 32 << 20         // bytes of a JSON body
	bodyTimeout = 30 * time.Second // maximum wait for the next bytes of a body
)

// body reads the whole JSON body. A missing Content-Type counts as JSON.
func (c *requestContext) body() ([]byte, error) {
	if !c.isJSON() {
		return nil, fault.New(fault.CodeUnsupportedContentType, "Content-Type", "This path accepts JSON: send the header Content-Type: application/json (curl: -H 'Content-Type: application/json').")
	}

	if err := c.rejectEncoding(); err != nil {
		return nil, err
	}

	in := c.limitedBody(maxBody, "The body is larger than the limit of 32 MiB; upload large media with POST /v1/files.")
	defer in.clearDeadline()

	if c.req.ContentLength > in.limit {
		return nil, in.tooLarge()
	}

	return io.ReadAll(in)
}

func (c *requestContext) isJSON() bool {
	header := c.req.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(header)

	return header == "" || err == nil && (mediaType == "application/json" || mediaType == "text/json" || mediaType == "text/plain")
}

// rejectEncoding refuses a compressed body: its size on the wire says nothing about its
// real size.
func (c *requestContext) rejectEncoding() error {
	if coding := c.req.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.CodeUnsupportedContentType, "Content-Encoding", "Compressed bodies are not accepted. Send the body without Content-Encoding.")
	}

	return nil
}

// bodyReader reads a request's body with a limit on its size and on the time between
// reads. Its errors are faults.
type bodyReader struct {
	r              io.Reader
	c              *requestContext
	conn           *http.ResponseController
	limit          int64     // maximum of bytes in total
	deadline       time.Time // the connection's current read deadline
	tooLargeDetail string    // error sentence for a body that is too large
}

func (c *requestContext) limitedBody(limit int64, large string) *bodyReader {
	return &bodyReader{r: http.MaxBytesReader(&c.responseRecorder, c.req.Body, limit), c: c, conn: http.NewResponseController(&c.responseRecorder), limit: limit, tooLargeDetail: large}
}

func (a *bodyReader) tooLarge() error {
	a.c.Header().Set("Connection", "close") // do not read the rest of the body
	return fault.New(fault.CodeBodyTooLarge, "", a.tooLargeDetail)
}

// Read reads on. It extends the connection's read deadline by bodyTimeout, but at most
// once a second.
func (a *bodyReader) Read(p []byte) (int, error) {
	if now := time.Now(); a.deadline.Sub(now) < bodyTimeout-time.Second {
		a.deadline = now.Add(bodyTimeout)
		_ = a.conn.SetReadDeadline(a.deadline) // a test's recorder has no deadline
	}

	n, err := a.r.Read(p)

	return n, a.asFault(err)
}

func (a *bodyReader) asFault(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.As(err, &large):
		return a.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.c.Header().Set("Connection", "close")
		return fault.New(fault.CodeRequestTimeout, "", fmt.Sprintf("Nothing of the body arrived for %d seconds. Send the request again.", int(bodyTimeout.Seconds()))).WithCause(err)
	case errors.Is(err, context.Canceled):
		return err
	}

	return fault.New(fault.CodeMalformedBody, "", "The body ended before its announced end. Send it again.").WithCause(err)
}

// clearDeadline removes the read deadline: what follows the body does not depend on the
// sender's speed.
func (a *bodyReader) clearDeadline() { _ = a.conn.SetReadDeadline(time.Time{}) }
