package client

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Request orders one video. Only Model and Prompt are always needed; a
// reference-to-video model needs at least one reference, image-to-video Image.
// Empty fields are not sent and take the server's defaults.
type Request struct {
	Model  string `json:"model"`
	Prompt string `json:"prompt"`

	Image      string      `json:"image,omitempty"`      // image-to-video: the picture
	Videos     []string    `json:"videos,omitempty"`     // 0-3, the first characters: URLs, file ids, data URIs
	Images     []string    `json:"images,omitempty"`     // 0-5, the characters after the videos
	References []Reference `json:"references,omitempty"` // characters in a mixed order, instead of both

	Size      string `json:"size,omitempty"`     // "1280*720"
	Duration  int    `json:"duration,omitempty"` // seconds
	Watermark *bool  `json:"watermark,omitempty"`

	WebhookURL      string            `json:"webhook_url,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`         // at most 16 pairs, given back as they are
	Preview         bool              `json:"preview,omitempty"`          // a free storyboard instead of the video
	StartBy         int64             `json:"start_by,omitempty"`         // unix seconds; not submitted by then, it ends free
	ReferencesCheck string            `json:"references_check,omitempty"` // "trust": the supplier fetches what the server cannot reach

	Extra Extra `json:"extra_body,omitzero"`
}

// Extra is what the API keeps in extra_body.
type Extra struct {
	NegativePrompt        string `json:"negative_prompt,omitempty"`
	Audio                 string `json:"audio,omitempty"`     // guide audio: a URL or a file id
	ShotType              string `json:"shot_type,omitempty"` // "single" or "multi"
	EnablePromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Seed                  *int64 `json:"seed,omitempty"` // -1 is random
}

// Reference is one entry of a mixed list.
type Reference struct {
	Type string `json:"type,omitempty"` // "image" or "video"; "" where the bytes are to say
	URL  string `json:"url"`
}

// Status is how a task stands.
type Status string

// The statuses.
const (
	Queued     Status = "queued"
	InProgress Status = "in_progress"
	Completed  Status = "completed"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Final says whether nothing can follow.
func (s Status) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Task is one order as the server answers it. Times are unix seconds, 0 where
// they are not known yet.
type Task struct {
	ID            string `json:"id"`
	TaskID        string `json:"task_id"` // the same
	Object        string `json:"object"`
	Model         string `json:"model"`          // as asked
	ResolvedModel string `json:"resolved_model"` // what is billed
	Prompt        string `json:"prompt"`
	Size          string `json:"size"`
	Seconds       string `json:"seconds"` // of the clip

	Status   Status `json:"status"`
	Progress int    `json:"progress"` // 0-100; 100 only when completed

	CreatedAt         int64 `json:"created_at"`
	StartedAt         int64 `json:"started_at"`
	CompletedAt       int64 `json:"completed_at"`
	ExpiresAt         int64 `json:"expires_at"` // when the video's file goes
	CancelRequestedAt int64 `json:"cancel_requested_at"`
	Duration          int64 `json:"duration"` // whole seconds since its creation, frozen at the end

	Metadata     Metadata `json:"metadata"`
	VideoURL     string   `json:"video_url"` // signed, needs no key, valid 24 hours
	ThumbnailURL string   `json:"thumbnail_url"`
	Result       *Result  `json:"result"`
	Error        *Flaw    `json:"error"`

	QueuePosition *int64    `json:"queue_position"`
	ETA           *int64    `json:"eta"` // unix seconds
	Usage         *Usage    `json:"usage"`
	Warnings      []Warning `json:"warnings"`
	Preview       bool      `json:"preview"`

	Raw      json.RawMessage `json:"-"` // the answer as it came
	Replayed bool            `json:"-"` // a create that found its Idempotency-Key used: an earlier task
}

// Result repeats the links.
type Result struct {
	Outputs  []string `json:"outputs"`
	VideoURL string   `json:"video_url"`
}

// Usage is what a completed task cost.
type Usage struct {
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"` // a decimal
	Currency      string      `json:"currency"`
}

// Warning is something to know that stops nothing.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"`
}

// Metadata is the customer's pairs and the server's two numbers, in seconds.
type Metadata struct {
	Pairs       map[string]string
	TotalTime   float64 // from creation to the end; 0 until then
	PredictTime float64 // from the supplier's start to the end; 0 until then
}

// UnmarshalJSON tells pairs from numbers by their JSON type.
func (m *Metadata) UnmarshalJSON(text []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}

	*m = Metadata{}

	for name, raw := range fields {
		var pair string
		switch {
		case name == "total_time":
			_ = json.Unmarshal(raw, &m.TotalTime) // null while it is not known
		case name == "predict_time":
			_ = json.Unmarshal(raw, &m.PredictTime)
		case json.Unmarshal(raw, &pair) == nil:
			if m.Pairs == nil {
				m.Pairs = map[string]string{}
			}

			m.Pairs[name] = pair
		}
	}

	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (m Metadata) MarshalJSON() ([]byte, error) {
	fields := map[string]any{}
	for name, value := range maps.All(m.Pairs) {
		fields[name] = value
	}

	if m.TotalTime != 0 {
		fields["total_time"] = m.TotalTime
	}

	if m.PredictTime != 0 {
		fields["predict_time"] = m.PredictTime
	}

	return json.Marshal(fields)
}

// readTask decodes a task and keeps its bytes.
func readTask(raw json.RawMessage) (Task, error) {
	var t Task
	if err := json.Unmarshal(raw, &t); err != nil {
		return Task{}, fmt.Errorf("read a task: %w", err)
	}

	t.Raw = raw

	return t, nil
}
