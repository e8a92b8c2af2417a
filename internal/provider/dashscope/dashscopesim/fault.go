package dashscopesim

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// Call is a kind of exchange.
type Call string

// The calls.
const (
	Submit Call = "submit"
	Poll   Call = "poll"
	List   Call = "list"
	Cancel Call = "cancel"
	Policy Call = "policy" // of an upload
	Upload Call = "upload" // of the bytes
	Fetch  Call = "fetch"  // of a video
)

// Fault is one thing that goes wrong, made by the functions below and armed by
// Inject. Its exported fields may be set before.
type Fault struct {
	Call    Call
	Instead bool                     // the call has no effect; otherwise only its answer is spoiled
	Times   int                      // how many calls it meets; 0 is one, below 0 all
	When    func(*http.Request) bool // which calls it meets; nil: any
	Task    func(*task)              // what becomes of the submitted task

	send func(http.ResponseWriter, *http.Request, reply)
}

// Inject arms faults. Each call meets the first armed one that fits it.
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

// Heal disarms all faults.
func (s *Sim) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults = nil
}

func (s *Sim) meet(kind Call, c *call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, f := range s.faults {
		if f.Times == 0 || f.Call != kind || (f.When != nil && !f.When(c.Request)) {
			continue
		}

		f.Times--

		return f
	}

	return nil
}

// Refuse answers with the supplier's own error body, and does nothing.
func Refuse(on Call, status int, code, message string) Fault {
	return Raw(on, status, "application/json", string(refusal(status, code, message).body))
}

// Raw answers with any bytes, and does nothing. An empty body is a bare status.
func Raw(on Call, status int, contentType, body string) Fault {
	return Fault{Call: on, Instead: true, send: func(w http.ResponseWriter, r *http.Request, _ reply) {
		reply{status: status, kind: contentType, body: []byte(body)}.write(w, r)
	}}
}

// Slower refuses with 429 and a Retry-After.
func Slower(on Call, after string) Fault {
	return Fault{Call: on, Instead: true, send: func(w http.ResponseWriter, r *http.Request, _ reply) {
		a := refusal(http.StatusTooManyRequests, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
		a.header = map[string]string{"Retry-After": after}
		a.write(w, r)
	}}
}

// Drop takes the request and ends the connection; nothing is done.
func Drop(on Call) Fault {
	return Fault{Call: on, Instead: true, send: func(http.ResponseWriter, *http.Request, reply) { panic(http.ErrAbortHandler) }}
}

// DropAfter does the call and ends the connection before a byte of the answer.
func DropAfter(on Call) Fault {
	return Fault{Call: on, send: func(http.ResponseWriter, *http.Request, reply) { panic(http.ErrAbortHandler) }}
}

// CutAfter does the call and ends the connection in the middle of the answer's
// body; its headers, x-request-id among them, arrive.
func CutAfter(on Call) Fault {
	return Fault{Call: on, send: func(w http.ResponseWriter, _ *http.Request, a reply) {
		b := a.ready(w)
		w.WriteHeader(a.status)
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()

		panic(http.ErrAbortHandler)
	}}
}

// Garble does the call and answers with these bytes and this status instead.
func Garble(on Call, status int, contentType, body string) Fault {
	return Fault{Call: on, send: func(w http.ResponseWriter, r *http.Request, a reply) {
		reply{status: status, kind: contentType, body: []byte(body)}.write(w, r)
	}}
}

// Drip does the call and sends the answer byte by byte, one each pause, by the
// wall clock.
func Drip(on Call, pause time.Duration) Fault {
	return Fault{Call: on, send: func(w http.ResponseWriter, r *http.Request, a reply) {
		b := a.ready(w)
		w.WriteHeader(a.status)
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

// Stall does the call, sends half of the answer and then nothing more until
// release is closed or the client goes away.
func Stall(on Call, release <-chan struct{}) Fault {
	return Fault{Call: on, send: func(w http.ResponseWriter, r *http.Request, a reply) {
		b := a.ready(w)
		w.WriteHeader(a.status)
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		hang(release)(w, r, a)
	}}
}

// Hang says nothing until release is closed or the client goes away, and then
// ends the connection; nothing is done.
func Hang(on Call, release <-chan struct{}) Fault {
	return Fault{Call: on, Instead: true, send: hang(release)}
}

// HangAfter does the call and then hangs.
func HangAfter(on Call, release <-chan struct{}) Fault {
	return Fault{Call: on, send: hang(release)}
}

func hang(release <-chan struct{}) func(http.ResponseWriter, *http.Request, reply) {
	return func(_ http.ResponseWriter, r *http.Request, _ reply) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a client that goes away is seen
		select {
		case <-release:
		case <-r.Context().Done():
		}

		panic(http.ErrAbortHandler)
	}
}

// Zip answers gzip, whatever the client takes.
func Zip(on Call) Fault {
	return Fault{Call: on, send: func(w http.ResponseWriter, r *http.Request, a reply) { a.zipped().write(w, r) }}
}

// FailTask lets the next submitted task end FAILED. An empty code and message
// are left out of the body.
func FailTask(code, message string) Fault {
	return Fault{Call: Submit, Task: func(t *task) {
		t.fails = true
		t.code = code
		t.message = message
	}}
}

// TextNumbers writes the numbers of the next submitted task's usage as strings.
func TextNumbers() Fault {
	return Fault{Call: Submit, Task: func(t *task) { t.text = true }}
}

// ExpiredLink lets the next submitted task's link be dead from the start.
func ExpiredLink() Fault {
	return Fault{Call: Submit, Task: func(t *task) { t.dead = true }}
}

// WrongVideo puts these bytes where the next submitted task's video would be.
func WrongVideo(b []byte) Fault {
	return Fault{Call: Submit, Task: func(t *task) { t.video = b }}
}

// WrongPrompt lets the next submitted task repeat another prompt than its own.
func WrongPrompt(prompt string) Fault {
	return Fault{Call: Submit, Task: func(t *task) { t.prompt = prompt }}
}

// WithKey is a When: calls made with this API key.
func WithKey(secret string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") == secret
	}
}
