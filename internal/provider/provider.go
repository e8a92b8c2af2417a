// Package provider is the socket that suppliers plug into. dispatch hands an
// Order to Submit and gets a ticket, asks Poll until the video is rendered, and
// reads its bytes through Open. A provider maps shapes and says plainly what
// happened; it knows nothing of tasks, lanes, limits, retries or money: those
// are dispatch's. Everything a provider needs from the world is in its Options.
package provider

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// Provider is code that speaks to one kind of supplier. Its methods may be
// called at the same time from many goroutines and end soon after ctx does.
type Provider interface {
	// Submit orders one video and returns the supplier's id for it. Whatever
	// went wrong comes as a *Failure whose Taken field is set.
	Submit(ctx context.Context, o Order) (Ticket, error)
	// Poll asks how a ticket stands. An error means that the question was not
	// answered (a *Failure): it says nothing about the ticket.
	Poll(ctx context.Context, t Ticket) (Report, error)
	// Open reads the bytes of a rendered result: once, from its start. The
	// caller closes it. A dead link is a *Failure of class Gone.
	Open(ctx context.Context, r Result) (io.ReadCloser, error)
}

// Canceler can stop a ticket. It returns false when the supplier says that it
// is too late; the ticket then runs on.
type Canceler interface {
	Cancel(ctx context.Context, t Ticket) (bool, error)
}

// Finder can list what the supplier has, so that a lost answer can be found
// again (rules.md, rescue).
type Finder interface {
	// Find returns every ticket of the supplier's model made at or after since,
	// by the supplier's clock, newest first, all pages of it.
	Find(ctx context.Context, model string, since time.Time) ([]Found, error)
}

// Repeater tells the prompt of an order as the supplier repeats it in results and
// lists: a Finder whose prompts are not sent as they are must be one.
type Repeater interface {
	Repeated(o Order) string
}

// Uploader can bring bytes to where the supplier reads them.
type Uploader interface {
	// Upload keeps the bytes for the supplier's model and returns the address to
	// put into an Order. size is in bytes.
	Upload(ctx context.Context, model, name string, size int64, r io.Reader) (string, error)
}

// Closer ends what a provider runs by itself (renders, goroutines). It is called
// once, after the last other call.
type Closer interface {
	Close() error
}

// Ticket is the upstream's id for a task.
type Ticket string

// Order is what is asked of a supplier, in our words.
type Order struct {
	Task    string // our id: for logs and for names of files
	Attempt int64  // which submission of the task this is, from 1
	Model   string // the supplier's name of the model
	Mode    Mode

	Prompt         string // characterN stands for References[N-1]
	NegativePrompt string
	References     []Reference // in character order; for I2V exactly the one picture
	Audio          *Reference  // guide audio, or nil

	Size          string // "1280*720"
	Width, Height int    // pixels
	Seconds       int
	Sound         bool // whether the video is to have a sound track

	ShotType        string // "single" or "multi"
	PromptExpansion *bool  // nil: the supplier's default
	Watermark       *bool  // nil: the supplier's default
	Seed            int64  // 0..2147483647, or -1: the supplier chooses
}

// Mode says what a video is made from.
type Mode string

// The modes.
const (
	R2V Mode = "r2v" // references
	I2V Mode = "i2v" // one picture
	T2V Mode = "t2v" // the prompt alone
)

// Reference is a picture, video or sound that the order uses.
type Reference struct {
	Kind   string // "image", "video", "audio"
	Param  string // the field it came from, "videos[0]"
	URL    string // where the supplier can read it (http, https, oss); "" when it cannot
	Name   string // a file name with the right ending
	Type   string // media type, "" when it was not measured (references_check: trust)
	Bytes  int64
	Millis int64 // length; 0 for pictures, and when it was not measured
	Width  int64 // pixels; 0 for sound, and when it was not measured
	Height int64
	Sound  bool // whether a video has a sound track
	// Open reads our own copy; nil when we have none (references_check: trust).
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Phase is how a ticket stands at the supplier.
type Phase string

// The phases.
const (
	Waiting   Phase = "waiting"   // in the supplier's own queue
	Rendering Phase = "rendering" //
	Rendered  Phase = "rendered"  // Result is set
	Broken    Phase = "broken"    // Failure is set
	Stopped   Phase = "stopped"   // cancelled there
	Unknown   Phase = "unknown"   // the supplier does not know the ticket (any more)
)

// Report is the answer to a Poll.
type Report struct {
	Phase    Phase
	Progress int // 0-99 while rendering; -1 when the supplier does not tell
	Result   *Result
	Failure  *Failure
	Prompt   string // as the supplier repeats it, "" when it does not: proves that a rescued ticket is ours
}

// Result is where the video is and what the supplier says about it. It is kept
// as JSON with the task, so that collecting can go on after a restart.
type Result struct {
	URL       string `json:"url"`
	Prompt    string `json:"prompt,omitempty"`
	Size      string `json:"size,omitempty"`       // "1280*720"; "" when it does not tell
	ExpiresAt int64  `json:"expires_at,omitempty"` // unix milliseconds; 0 when it does not tell
	// Took is how long the supplier says that it had the task, its own queue
	// included, in milliseconds; 0 when it does not tell.
	Took int64 `json:"took,omitempty"`
	// Usage as the supplier bills it, in milliseconds; nil when it does not tell.
	Usage *Usage `json:"usage,omitempty"`
}

// Usage is what a supplier says that it bills, in milliseconds.
type Usage struct {
	Billed int64 `json:"billed"`
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
}

// Found is one ticket in a supplier's list.
type Found struct {
	Ticket    Ticket
	Model     string
	KeyID     string // which of the supplier account's keys made it
	RequestID string
	Phase     Phase
	MadeAt    time.Time // by the supplier's clock
}

// Taken says whether a submission that failed may exist at the supplier.
type Taken uint8

const (
	// Unsure: something may have arrived. It is never submitted again blindly.
	Unsure Taken = iota
	// NotTaken: no connection was made, or the supplier's own error body says no.
	NotTaken
)

// Class says what a failure asks for. It is the adapter's decision; what is done
// about it is dispatch's policy.
type Class uint8

const (
	// Passing: busy, broken or slow for the moment; ask again.
	Passing Class = iota
	// Throttled: too many requests; ask again, slower.
	Throttled
	// Refused: the request itself; asking again cannot help.
	Refused
	// Locked: the key, the supplier account or its money; the operator must act.
	Locked
	// Gone: what was asked for is not there any more.
	Gone
)

// Failure is what every method of a provider returns when it could not do what
// was asked, and what a Report carries for a broken ticket.
type Failure struct {
	Taken     Taken // of Submit only
	Class     Class
	ModelOnly bool          // of class Locked: it concerns this model only; the gate is parked, not the upstream
	After     time.Duration // the supplier's Retry-After, 0 when it said none
	Fault     *fault.Fault  // what the customer is told when this ends the task
	RequestID string        // the supplier's id of the exchange, "" when lost
	Code      string        // the supplier's own code: for the operator
	Err       error         // the cause: for the log only, free of secrets
}

// Error names class and code: for the log.
func (f *Failure) Error() string {
	s := f.Class.String()
	if f.Code != "" {
		s += " " + f.Code
	}

	if f.Err != nil {
		s += ": " + f.Err.Error()
	}

	return s
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// String names the class.
func (c Class) String() string {
	switch c {
	case Throttled:
		return "throttled"
	case Refused:
		return "refused"
	case Locked:
		return "locked"
	case Gone:
		return "gone"
	default:
		return "passing"
	}
}

// FailureOf finds the Failure in an error. Anything else is a passing failure
// that leaves open whether the order was taken.
func FailureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}

	return &Failure{
		Taken: Unsure, Class: Passing, Err: err,
		Fault: fault.New(fault.CodeSupplier, "", "The supplier could not make the video. Nothing was charged; create it again later."),
	}
}

// Kind is one provider as a value: its name, what is true of it, how it is made.
type Kind struct {
	Name   string
	Traits Traits
	// Home is the base URL that holds where none is configured; "" must be
	// configured (or follows from the region).
	Home string
	// Keyless says that it works without an API key.
	Keyless bool
	New     func(Options) (Provider, error)
}

// Traits are facts about a kind of supplier that dispatch goes by.
type Traits struct {
	// Resubmit says that submitting a task again is harmless: nobody is paid, and
	// the first ticket dies with its process. Unknown tickets are then requeued.
	Resubmit bool
	// Preview says that its videos only stand in for the real ones.
	Preview bool
	// PollEvery is how often a ticket is asked about when the model's own past
	// durations do not decide: the bounds of the next interval.
	PollEvery [2]time.Duration
}

// Options is what a provider gets of the world.
type Options struct {
	Upstream string // the upstream's name: for logs
	BaseURL  string // http(s), no trailing slash, no API path
	Secret   string // the supplier's API key
	Settings map[string]string
	// Client makes the supplier's requests; Submit's has no keep-alive, no
	// redirects and is never replayed (see NewClients).
	Client *http.Client
	Submit *http.Client
	Folder string // a private folder for what the provider writes; emptied at start
	Now    func() time.Time
	Log    *slog.Logger
}
