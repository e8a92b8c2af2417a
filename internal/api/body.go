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
	maxBody  = 32 << 20         // bytes of a JSON body
	bodyWait = 30 * time.Second // for the next bytes of a body
)

// body reads a JSON body whole. A missing Content-Type is taken for JSON.
func (c *call) body() ([]byte, error) {
	if !c.isJSON() {
		return nil, fault.New(fault.CodeContentType, "Content-Type", "This path takes JSON: send the header Content-Type: application/json (curl: -H 'Content-Type: application/json').")
	}

	if err := c.plain(); err != nil {
		return nil, err
	}

	in := c.arriving(maxBody, "The body is larger than the 32 MiB that are taken; send big media by POST /v1/files.")
	defer in.end()

	if c.r.ContentLength > in.limit {
		return nil, in.tooLarge()
	}

	return io.ReadAll(in)
}

func (c *call) isJSON() bool {
	header := c.r.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(header)

	return header == "" || err == nil && (mediaType == "application/json" || mediaType == "text/json" || mediaType == "text/plain")
}

// plain refuses a compressed body: what it says of its size would be a lie.
func (c *call) plain() error {
	if coding := c.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.CodeContentType, "Content-Encoding", "Bodies are taken as they are. Send it without Content-Encoding.")
	}

	return nil
}

// arrival is a request's body as it comes: bounded in bytes, and in the time
// between them. Its errors are faults.
type arrival struct {
	r       io.Reader
	c       *call
	conn    *http.ResponseController
	limit   int64     // bytes in all
	patient time.Time // until when the connection waits
	large   string    // what is said of too many bytes
}

func (c *call) arriving(limit int64, large string) *arrival {
	return &arrival{r: http.MaxBytesReader(&c.answered, c.r.Body, limit), c: c, conn: http.NewResponseController(&c.answered), limit: limit, large: large}
}

func (a *arrival) tooLarge() error {
	a.c.Header().Set("Connection", "close") // what is still on its way is not waited for
	return fault.New(fault.CodeTooLarge, "", a.large)
}

// Read reads on, giving the sender a new bodyWait from time to time.
func (a *arrival) Read(p []byte) (int, error) {
	if now := time.Now(); a.patient.Sub(now) < bodyWait-time.Second {
		a.patient = now.Add(bodyWait)
		_ = a.conn.SetReadDeadline(a.patient) // a recorder has none
	}

	n, err := a.r.Read(p)

	return n, a.explain(err)
}

func (a *arrival) explain(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.As(err, &large):
		return a.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.c.Header().Set("Connection", "close")
		return fault.New(fault.CodeSlowBody, "", fmt.Sprintf("Nothing of the body arrived for %d seconds. Send it again.", int(bodyWait.Seconds()))).Because(err)
	case errors.Is(err, context.Canceled):
		return err
	}

	return fault.New(fault.CodeMalformedBody, "", "The body ended before its announced end. Send it again.").Because(err)
}

// end stops the clock: what follows the body is not the sender's to be fast at.
func (a *arrival) end() { _ = a.conn.SetReadDeadline(time.Time{}) }
