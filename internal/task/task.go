// Package task holds the rules of a task: what a task is, which states may
// follow one another, and Advance, the only function that changes a task.
// checkout creates tasks, dispatch advances them, store saves them. The package
// imports none of the three: what it needs of a transaction it declares itself,
// as Tx.
package task

import "github.com/unireel/unireel/internal/money"

// Task is one request for one video. Times are unix milliseconds, 0 for not yet.
type Task struct {
	ID      string // "task_" + ULID
	Account string
	Key     string // the API key that created it
	Version int64  // +1 with every change; an event has the version as its number
	State   State
	Object  string // the kind of object that the request created: "video.generation.job" or "video"

	Model         string // as requested
	ResolvedModel string // the model that is billed
	Prompt        string
	Size          string // as requested
	Seconds       int64  // of the clip

	Preview  bool
	Metadata map[string]string
	Warnings []Warning

	// Money. UnitPrice and Billing are those at the task's creation.
	Hold      money.Amount // the most it can cost
	UnitPrice money.Amount // per second
	Billing   string       // the catalog's rule: "output", "input+output", "free"
	Billed    int64        // milliseconds charged; set at completion
	Cost      money.Amount // amount captured; set at completion

	// The task at a supplier.
	Queue    string
	Attempt  int64  // number of submissions so far; a claim adds one
	Upstream string // of the latest attempt
	RemoteID string // the upstream's id for it
	Result   string // the supplier's link, from collecting on: JSON of provider.Result
	Progress int64  // 0-100, never decreases
	Retries  int64  // new submissions after a failure at the supplier

	CreatedAt   int64
	QueuedAt    int64 // when it last joined its queue
	SubmittedAt int64 // when it was last claimed
	StartedAt   int64 // when the first remote ID was received
	RenderedAt  int64 // when the supplier had rendered it
	CompletedAt int64 // when it reached a final state, whichever it is
	ExpiresAt   int64 // when the artifact is deleted
	StartBy     int64 // the task fails as expired if it is not submitted by then
	SweptAt     int64 // when the artifact was deleted

	CancelRequestedAt int64
	CancelRefusedAt   int64 // when the supplier said that it cannot stop the task
	HiddenAt          int64 // when the customer deleted it: 404 from then on

	Error *Error // why it failed
}

// Error is why a task failed, in words for the customer.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

// Warning is something that the customer should know about a task. It does not
// stop the task.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}

// Artifact is a file that a task produced.
type Artifact struct {
	Task   string
	Kind   ArtifactKind
	Blob   string // key in the blob store
	Type   string // media type
	Bytes  int64
	SHA256 string // hex
	Width  int64
	Height int64
	Millis int64 // duration; 0 for images
	Sound  bool
}

// ArtifactKind says which of a task's files an artifact is.
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
	Note    string // for the operator; never shown to customers as it is
	At      int64  // unix milliseconds
}
