package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxError is how many bytes of an error's body are read.
const maxError = 1 << 20

// Error is the server's no.
type Error struct {
	Status    int    `json:"-"` // HTTP status
	Code      string `json:"code"`
	Type      string `json:"type"`
	Param     string `json:"param"` // the field to blame, "" for none
	Message   string `json:"message"`
	Errors    []Flaw `json:"errors"` // everything that is wrong, in the body's order
	RequestID string `json:"-"`
	// RetryAfter is when the server wants to be asked again; 0 is when it said nothing.
	RetryAfter time.Duration `json:"-"`
}

// RateLimited says that the key asked more often than it may. The client has waited
// and repeated as often as it may by then (WithTries).
func (e *Error) RateLimited() bool { return e.Status == http.StatusTooManyRequests }

// Flaw is one thing that is wrong with a request.
type Flaw struct {
	Param   string `json:"param"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error is the sentence, with the field's name where there is one.
func (e *Error) Error() string {
	if e.Param != "" && !strings.HasPrefix(e.Message, e.Param) && !strings.Contains(e.Message, "`"+e.Param+"`") {
		return e.Param + ": " + e.Message
	}

	return e.Message
}

// Unreachable says that the server did not answer. Whether it took the request
// is not known.
type Unreachable struct {
	Server string
	Err    error
}

// Error names the server and the cause.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("no answer from %s: %v", u.Server, u.Err)
}

// Unwrap gives the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// readError turns an answer with an error status into an *Error, and closes it.
func readError(answer *http.Response) *Error {
	defer answer.Body.Close()

	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxError)) // a part of it still tells something
	e := parseError(text)
	e.Status = answer.StatusCode
	e.RequestID = answer.Header.Get("X-Request-Id")

	e.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	if e.Message == "" {
		e.Message = fmt.Sprintf("the server answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}

	return e
}

// parseError reads {"error":{...}}; anything else is an Error without a message.
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
