package dashscopesim

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// Operation is a kind of request.
type Operation string

const (
	Submit   Operation = "submit"
	Poll     Operation = "poll"
	List     Operation = "list"
	Cancel   Operation = "cancel"
	Policy   Operation = "policy"   // a request for an upload policy
	Upload   Operation = "upload"   // of a file's bytes
	Download Operation = "download" // of a video
)

// Fault is one thing that goes wrong. The functions below make faults, and Inject
// activates them. The exported fields may be set before that.
type Fault struct {
	Operation  Operation
	SkipCall   bool                     // the request has no effect; otherwise only its response is changed
	Times      int                      // how many requests it applies to; 0 means one, below 0 all
	When       func(*http.Request) bool // which requests it applies to; nil: any
	ChangeTask func(*task)              // changes the submitted task

	respond func(http.ResponseWriter, *http.Request, response)
}

// Inject activates faults. Each request meets the first active fault that applies
// to it.
func (s *Sim) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}

		s.faults = append(s.faults, &f)
	}
}

// ClearFaults removes all faults.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults = nil
}

func (s *Sim) matchFault(operation Operation, c *apiCall) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, f := range s.faults {
		if f.Times == 0 || f.Operation != operation || (f.When != nil && !f.When(c.Request)) {
			continue
		}

		f.Times--

		return f
	}

	return nil
}

// Reject responds with the supplier's own error body; the request has no effect.
func Reject(on Operation, status int, code, message string) Fault {
	return RespondRaw(on, status, "application/json", string(errorResponse(status, code, message).body))
}

// RespondRaw responds with any bytes; the request has no effect. With an empty
// body the response is a bare status.
func RespondRaw(on Operation, status int, contentType, body string) Fault {
	return Fault{
		Operation: on,
		SkipCall:  true,
		respond: func(w http.ResponseWriter, r *http.Request, _ response) {
			response{status: status, contentType: contentType, body: []byte(body)}.write(w, r)
		},
	}
}

// Throttle responds with 429 and a Retry-After; the request has no effect.
func Throttle(on Operation, retryAfter string) Fault {
	return Fault{
		Operation: on,
		SkipCall:  true,
		respond: func(w http.ResponseWriter, r *http.Request, _ response) {
			resp := errorResponse(http.StatusTooManyRequests, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
			resp.header = map[string]string{"Retry-After": retryAfter}
			resp.write(w, r)
		},
	}
}

// Drop reads the request and closes the connection; the request has no effect.
func Drop(on Operation) Fault {
	return Fault{
		Operation: on,
		SkipCall:  true,
		respond:   func(http.ResponseWriter, *http.Request, response) { panic(http.ErrAbortHandler) },
	}
}

// DropAfter executes the request and closes the connection before a byte of the
// response.
func DropAfter(on Operation) Fault {
	return Fault{Operation: on, respond: func(http.ResponseWriter, *http.Request, response) { panic(http.ErrAbortHandler) }}
}

// TruncateAfter executes the request and closes the connection in the middle of
// the response's body; its headers, x-request-id among them, arrive.
func TruncateAfter(on Operation) Fault {
	return Fault{Operation: on, respond: func(w http.ResponseWriter, _ *http.Request, resp response) {
		b := resp.prepare(w)
		w.WriteHeader(resp.status)
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()

		panic(http.ErrAbortHandler)
	}}
}

// ReplaceResponse executes the request and responds with this status and these
// bytes instead.
func ReplaceResponse(on Operation, status int, contentType, body string) Fault {
	return Fault{Operation: on, respond: func(w http.ResponseWriter, r *http.Request, resp response) {
		response{status: status, contentType: contentType, body: []byte(body)}.write(w, r)
	}}
}

// SlowResponse executes the request and sends the response byte by byte with a
// pause after each, by the wall clock.
func SlowResponse(on Operation, pause time.Duration) Fault {
	return Fault{Operation: on, respond: func(w http.ResponseWriter, r *http.Request, resp response) {
		b := resp.prepare(w)
		w.WriteHeader(resp.status)
		flush := http.NewResponseController(w).Flush

		tick := time.NewTicker(pause)
		defer tick.Stop()

		for i := range b {
			_, _ = w.Write(b[i : i+1])
			_ = flush()

			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}}
}

// StallHalfway executes the request, sends half of the response and then nothing
// more until release is closed or the client disconnects.
func StallHalfway(on Operation, release <-chan struct{}) Fault {
	return Fault{Operation: on, respond: func(w http.ResponseWriter, r *http.Request, resp response) {
		b := resp.prepare(w)
		w.WriteHeader(resp.status)
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		hang(release)(w, r, resp)
	}}
}

// Hang sends nothing until release is closed or the client disconnects, and then
// closes the connection; the request has no effect.
func Hang(on Operation, release <-chan struct{}) Fault {
	return Fault{Operation: on, SkipCall: true, respond: hang(release)}
}

// HangAfter executes the request and then hangs.
func HangAfter(on Operation, release <-chan struct{}) Fault {
	return Fault{Operation: on, respond: hang(release)}
}

func hang(release <-chan struct{}) func(http.ResponseWriter, *http.Request, response) {
	return func(_ http.ResponseWriter, r *http.Request, _ response) {
		_, _ = io.Copy(io.Discard, r.Body) // a client that disconnects is noticed only after its body was read
		select {
		case <-release:
		case <-r.Context().Done():
		}

		panic(http.ErrAbortHandler)
	}
}

// Gzip compresses the response, whatever the client accepts.
func Gzip(on Operation) Fault {
	return Fault{Operation: on, respond: func(w http.ResponseWriter, r *http.Request, resp response) { resp.gzipped().write(w, r) }}
}

// FailTask makes the next submitted task end as FAILED. An empty code and message
// are left out of the body.
func FailTask(code, message string) Fault {
	return Fault{Operation: Submit, ChangeTask: func(t *task) {
		t.willFail = true
		t.code = code
		t.message = message
	}}
}

// StringNumbers writes the numbers of the next submitted task's usage as strings.
func StringNumbers() Fault {
	return Fault{Operation: Submit, ChangeTask: func(t *task) { t.stringNumbers = true }}
}

// ExpiredLink makes the link of the next submitted task expired from the start.
func ExpiredLink() Fault {
	return Fault{Operation: Submit, ChangeTask: func(t *task) { t.linkExpired = true }}
}

// WrongVideo serves these bytes as the video of the next submitted task.
func WrongVideo(b []byte) Fault {
	return Fault{Operation: Submit, ChangeTask: func(t *task) { t.video = b }}
}

// WrongPrompt makes the next submitted task report another prompt than its own.
func WrongPrompt(prompt string) Fault {
	return Fault{Operation: Submit, ChangeTask: func(t *task) { t.prompt = prompt }}
}

// WithKey is a value for Fault.When: requests with this API key.
func WithKey(secret string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") == secret
	}
}
