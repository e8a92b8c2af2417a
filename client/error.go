package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxErrorBytes limits how many bytes of an error's body are read.
const maxErrorBytes = 1 << 20

// Error is an error response of the server.
type Error struct {
	Status    int           `json:"-"` // HTTP status
	Code      string        `json:"code"`
	Type      string        `json:"type"`
	Param     string        `json:"param"` // the field that caused the error; "" if none did
	Message   string        `json:"message"`
	Errors    []ErrorDetail `json:"errors"` // all errors of the request, in the order of its body
	RequestID string        `json:"-"`
	// RetryAfter is the server's Retry-After; 0 means that it sent none.
	RetryAfter time.Duration `json:"-"`
}

// RateLimited reports whether the key exceeded its rate limit. By then the client has
// already waited and retried as often as WithMaxAttempts allows.
func (e *Error) RateLimited() bool { return e.Status == http.StatusTooManyRequests }

// ErrorDetail is one error of a request.
type ErrorDetail struct {
	Param   string `json:"param"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the message, preceded by the field's name unless the message contains it.
func (e *Error) Error() string {
	if e.Param != "" && !strings.HasPrefix(e.Message, e.Param) && !strings.Contains(e.Message, "`"+e.Param+"`") {
		return e.Param + ": " + e.Message
	}

	return e.Message
}

// UnreachableError reports that the server did not respond. It is unknown whether the
// server processed the request.
type UnreachableError struct {
	Server string
	Err    error
}

// Error returns the message, with the server and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no answer from %s: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// readError turns a response with an error status into an *Error and closes its body.
func readError(resp *http.Response) *Error {
	defer resp.Body.Close()

	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // a part of the body is still useful
	e := parseError(text)
	e.Status = resp.StatusCode
	e.RequestID = resp.Header.Get("X-Request-Id")
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())

	if e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}

	return e
}

// parseError decodes {"error":{...}}. Anything else gives an Error without a message.
func parseError(text []byte) *Error {
	var body struct {
		Error json.RawMessage `json:"error"`
	}

	e := &Error{}
	if json.Unmarshal(text, &body) != nil || json.Unmarshal(body.Error, e) != nil {
		return &Error{}
	}

	return e
}
