// Package provider defines the interface that every supplier is reached through.
// dispatch passes a Submission to Submit and gets a remote ID, calls Poll until
// the video is rendered, and reads its bytes with Open. A provider translates
// between Unireel's types and the supplier's API and reports exactly what
// happened. It knows nothing of tasks, queues, limits, retries or money: those are
// dispatch's. Everything that a provider needs from outside is in its Options.
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

// Provider is the code that speaks to one kind of supplier. Its methods may be
// called concurrently and return soon after ctx ends.
type Provider interface {
	// Submit creates one video at the supplier and returns the supplier's ID for
	// it. Every error is a *Failure with its Acceptance set.
	Submit(ctx context.Context, s Submission) (RemoteID, error)
	// Poll reports the state of a remote task. An error (a *Failure) means that the
	// state could not be read; it says nothing about the remote task.
	Poll(ctx context.Context, id RemoteID) (Report, error)
	// Open reads the bytes of a rendered result once, from the start. The caller
	// closes the reader. An expired link is a *Failure of class NotFound.
	Open(ctx context.Context, r Result) (io.ReadCloser, error)
}

// Canceler can cancel a remote task. Cancel returns false when the supplier says
// that it is too late; the remote task then runs on.
type Canceler interface {
	Cancel(ctx context.Context, id RemoteID) (bool, error)
}

// Finder can list the supplier's tasks, so that dispatch can recover a submission
// whose response was lost.
type Finder interface {
	// Find returns every remote task of the supplier's model created at or after
	// since, by the supplier's clock: newest first, from all pages of the list.
	Find(ctx context.Context, model string, since time.Time) ([]RemoteTask, error)
}

// PromptEcho returns the prompt of a submission as the supplier repeats it in
// results and lists. A Finder that sends changed prompts must implement it.
type PromptEcho interface {
	EchoedPrompt(s Submission) string
}

// Uploader can copy a file to a place where the supplier can read it.
type Uploader interface {
	// Upload stores a file for the supplier's model and returns the URL to put into
	// a Submission. size is in bytes.
	Upload(ctx context.Context, model, name string, size int64, r io.Reader) (string, error)
}

// Closer stops what a provider runs by itself (renders, goroutines). Close is
// called once, after the last call of any other method.
type Closer interface {
	Close() error
}

// RemoteID is the supplier's ID for a task.
type RemoteID string

// Submission describes one video to be made by a supplier, in Unireel's terms.
type Submission struct {
	TaskID  string // our ID: for logs and file names
	Attempt int64  // the number of this submission of the task, from 1
	Model   string // the supplier's name of the model
	Mode    Mode

	Prompt         string // characterN stands for References[N-1]
	NegativePrompt string
	References     []Reference // in character order; for I2V exactly the one picture
	Audio          *Reference  // guide audio, or nil

	Size          string // "1280*720"
	Width, Height int    // pixels
	Seconds       int
	Sound         bool // whether the video gets a sound track

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

// Reference is a picture, video or sound that a submission uses.
type Reference struct {
	Kind           string // "image", "video", "audio"
	Param          string // the customer's field, such as "videos[0]"
	URL            string // where the supplier can read it (http, https, oss); "" when it cannot
	Name           string // a file name with a matching extension
	MediaType      string // "" when it was not measured (references_check: trust)
	SizeBytes      int64
	DurationMillis int64 // 0 for pictures, and when it was not measured
	Width          int64 // pixels; 0 for sound, and when it was not measured
	Height         int64
	Sound          bool // whether a video has a sound track
	// Open reads Unireel's own copy; nil when there is none (references_check:
	// trust).
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Phase is the state of a remote task at the supplier.
type Phase string

// The phases.
const (
	Queued    Phase = "queued" // in the supplier's own queue
	Rendering Phase = "rendering"
	Rendered  Phase = "rendered"  // Result is set
	Failed    Phase = "failed"    // Failure is set
	Cancelled Phase = "cancelled" // cancelled at the supplier
	Unknown   Phase = "unknown"   // the supplier does not know the remote ID, or no longer
)

// Report is what Poll returns.
type Report struct {
	Phase    Phase
	Progress int // percent, 0 to 99, while rendering; -1 when the supplier gives none
	Result   *Result
	Failure  *Failure
	Prompt   string // as the supplier repeats it, "" when it does not; proves that a recovered remote task is ours
}

// Result says where the video is and what the supplier reports about it. It is
// stored as JSON with the task, so that the download can continue after a restart.
type Result struct {
	URL       string `json:"url"`
	Prompt    string `json:"prompt,omitempty"`
	Size      string `json:"size,omitempty"`       // "1280*720"; "" when the supplier does not report it
	ExpiresAt int64  `json:"expires_at,omitempty"` // unix milliseconds; 0 when the supplier does not report it
	// DurationMillis is how long the supplier had the task by its own account, its
	// queue included; 0 when it does not report it.
	DurationMillis int64 `json:"duration_ms,omitempty"`
	// Usage is what the supplier bills; nil when it does not report it.
	Usage *Usage `json:"usage,omitempty"`
}

// Usage is what a supplier says that it bills, in milliseconds of video.
type Usage struct {
	Billed int64 `json:"billed"`
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
}

// RemoteTask is one entry of a supplier's task list.
type RemoteTask struct {
	RemoteID  RemoteID
	Model     string
	KeyID     string // the supplier account's API key that created it
	RequestID string
	Phase     Phase
	CreatedAt time.Time // by the supplier's clock
}

// Acceptance says whether a failed submission may exist at the supplier.
type Acceptance uint8

const (
	// AcceptanceUnknown means that the supplier may have received the submission.
	// It is not submitted again until it is known that no remote task exists.
	AcceptanceUnknown Acceptance = iota
	// NotAccepted means that nothing was sent, or that the supplier's own error
	// body rejects the submission.
	NotAccepted
)

// Class says what a failure calls for. The provider decides the class; what is
// done about it is dispatch's policy.
type Class uint8

const (
	// Transient: busy, broken or slow for the moment. Try again.
	Transient Class = iota
	// Throttled: too many requests. Try again, more slowly.
	Throttled
	// InvalidRequest: the request itself is wrong. Trying again cannot help.
	InvalidRequest
	// AccountBlocked: the key, the supplier account or its balance. The operator
	// must act.
	AccountBlocked
	// NotFound: what was requested does not exist any more.
	NotFound
)

// Failure is the error of every method of a provider, and the reason in a Report
// with phase Failed.
type Failure struct {
	Acceptance Acceptance // set by Submit only
	Class      Class
	ModelOnly  bool          // with AccountBlocked: only this model's route is blocked, not the whole upstream
	RetryAfter time.Duration // the supplier's Retry-After, 0 when there was none
	Fault      *fault.Fault  // what the customer reads when this failure ends the task
	RequestID  string        // the supplier's ID of the request, "" when it was lost
	Code       string        // the supplier's own code, for the operator
	Err        error         // the cause, for the log only; contains no secrets
}

// Error returns the class, the supplier's code and the cause, for the log.
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

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// String returns the name of the class, as logs, metrics and task events show it.
func (c Class) String() string {
	switch c {
	case Throttled:
		return "throttled"
	case InvalidRequest:
		return "invalid_request"
	case AccountBlocked:
		return "account_blocked"
	case NotFound:
		return "not_found"
	default:
		return "transient"
	}
}

// FailureOf returns the Failure in err's chain. Any other error becomes a
// transient failure of unknown acceptance.
func FailureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}

	return &Failure{
		Acceptance: AcceptanceUnknown,
		Class:      Transient,
		Err:        err,
		Fault:      fault.New(fault.CodeSupplierFailed, "", "The supplier could not make the video. Nothing was charged; create it again later."),
	}
}

// Driver describes one provider: its name, its capabilities and its constructor.
type Driver struct {
	Name         string
	Capabilities Capabilities
	// DefaultBaseURL is used when no base URL is configured. If it is "", a base
	// URL must be configured (or follows from the region).
	DefaultBaseURL string
	// KeyOptional says that the provider works without an API key.
	KeyOptional bool
	New         func(Options) (Provider, error)
}

// Capabilities are the facts about a kind of supplier that dispatch relies on.
type Capabilities struct {
	// SafeToResubmit says that submitting a task again does no harm: nobody is
	// paid, and the first remote task dies with its process. A task whose remote ID
	// is unknown there is then put back into its queue.
	SafeToResubmit bool
	// Preview says that the provider makes previews in place of real videos.
	Preview bool
	// PollInterval is the shortest and the longest time between two polls of a
	// remote task, used when past durations of the model give no better estimate.
	PollInterval [2]time.Duration
}

// Options is what a provider is built from.
type Options struct {
	Upstream string // the upstream's name, for logs
	BaseURL  string // http or https, no trailing slash, no API path
	Secret   string // the supplier's API key
	Settings map[string]string
	// HTTPClient makes all requests but submissions. SubmitHTTPClient makes
	// submissions: it keeps no connections, follows no redirects and never replays
	// a request (see NewHTTPClients).
	HTTPClient       *http.Client
	SubmitHTTPClient *http.Client
	Folder           string // a private folder for what the provider writes; emptied at start
	Now              func() time.Time
	Log              *slog.Logger
}
