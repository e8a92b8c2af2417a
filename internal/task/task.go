// Package task is the law of a task: what it is, which states may follow one
// another, and Advance, the one door through which a task changes. checkout
// makes tasks, dispatch advances them, store keeps them; the law knows none of
// the three. What it needs of a transaction it declares itself, as Tx.
package task

import "github.com/unireel/unireel/internal/money"

// Task is one order for one video. Times are unix milliseconds, 0 for not yet.
type Task struct {
	ID      string // "task_" + ULID
	Account string
	Key     string // the API key that created it
	Version int64  // +1 with every change; an event has the version as its number
	State   State
	Object  string // how it was asked for: "video.generation.job" or "video"

	Model    string // as asked
	Resolved string // what is billed
	Prompt   string
	Size     string // as asked
	Seconds  int64  // of the clip

	Preview  bool
	Metadata map[string]string
	Warnings []Warning

	// Money. Price and Billing are those of the task's creation.
	Hold      money.Amount // the most it can cost
	UnitPrice money.Amount // per second
	Billing   string       // the catalog's rule: "output", "input+output", "free"
	Billed    int64        // milliseconds that were charged; set at completion
	Cost      money.Amount // what was captured; set at completion

	// The way to a supplier.
	Lane     string
	Attempt  int64  // submissions so far; a claim adds one
	Upstream string // of the latest attempt
	Ticket   string // the upstream's id for it
	Result   string // the supplier's link, from collecting on: JSON of provider.Result
	Progress int64  // 0-100, never goes back
	Retries  int64  // new submissions after a supplier's own failure

	CreatedAt   int64
	QueuedAt    int64 // joined its lane, the last time
	SubmittedAt int64 // the latest claim
	StartedAt   int64 // the first ticket
	RenderedAt  int64 // the supplier was done
	CompletedAt int64 // final, in whichever way
	ExpiresAt   int64 // the artifact goes
	StartBy     int64 // fails as expired when not submitted by then
	SweptAt     int64 // the artifact is gone

	CancelRequestedAt int64
	HiddenAt          int64 // deleted by the customer: 404 from then on

	Error *Error // why it failed
}

// Error is why a task failed, in words for the customer.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

// Warning is something that the customer should know and that stopped nothing.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

// Artifact is a file that a task made.
type Artifact struct {
	Task   string
	Kind   ArtifactKind
	Blob   string // key in the blob store
	Type   string // media type
	Bytes  int64
	SHA256 string // hex
	Width  int64
	Height int64
	Millis int64 // length; 0 for pictures
	Sound  bool
}

// ArtifactKind says which of a task's files it is.
type ArtifactKind string

// The kinds of artifact.
const (
	Video     ArtifactKind = "video"
	Thumbnail ArtifactKind = "thumbnail"
)

// Event is something that happened to a task. (Task, Seq) is unique, and Seq is
// the task's version.
type Event struct {
	Task    string
	Account string
	Seq     int64
	State   State
	Note    string // for the operator; never shown raw to customers
	At      int64  // unix milliseconds
}
