package client

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Request describes a video to generate. Model and Prompt are always required; a
// reference-to-video model also needs at least one reference, image-to-video needs
// Image. Empty fields are not sent, and the server uses its defaults.
type Request struct {
	Model  string `json:"model"`
	Prompt string `json:"prompt"`

	Image      string      `json:"image,omitempty"`      // image-to-video: the image
	Videos     []string    `json:"videos,omitempty"`     // 0 to 3, the first characters: URLs, file ids or data URIs
	Images     []string    `json:"images,omitempty"`     // 0 to 5, the characters after those of the videos
	References []Reference `json:"references,omitempty"` // characters in any order, instead of Videos and Images

	Size      string `json:"size,omitempty"`     // "1280*720"
	Duration  int    `json:"duration,omitempty"` // seconds
	Watermark *bool  `json:"watermark,omitempty"`

	WebhookURL      string            `json:"webhook_url,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`         // at most 16 pairs, returned unchanged with the task
	Preview         bool              `json:"preview,omitempty"`          // generate a free preview instead of the video
	StartBy         int64             `json:"start_by,omitempty"`         // unix seconds; a task that is not submitted by then fails and costs nothing
	ReferencesCheck string            `json:"references_check,omitempty"` // "trust": the supplier fetches URLs that the server cannot reach

	Extra Extra `json:"extra_body,omitzero"`
}

// Extra holds the fields that the API expects in extra_body.
type Extra struct {
	NegativePrompt        string `json:"negative_prompt,omitempty"`
	Audio                 string `json:"audio,omitempty"`     // guide audio: a URL or file id
	ShotType              string `json:"shot_type,omitempty"` // "single" or "multi"
	EnablePromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Seed                  *int64 `json:"seed,omitempty"` // -1 means random
}

// Reference is one entry of Request.References.
type Reference struct {
	Type string `json:"type,omitempty"` // "image" or "video"; "" means that the server detects it from the bytes
	URL  string `json:"url"`
}

// Status is the status of a task.
type Status string

// The statuses.
const (
	Queued     Status = "queued"
	InProgress Status = "in_progress"
	Completed  Status = "completed"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Final reports whether the status cannot change any more.
func (s Status) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Task is a task as the server returns it. Times are unix seconds; 0 means not known yet.
type Task struct {
	ID            string `json:"id"`
	TaskID        string `json:"task_id"` // the same as ID
	Object        string `json:"object"`
	Model         string `json:"model"`          // as requested
	ResolvedModel string `json:"resolved_model"` // the model that is billed
	Prompt        string `json:"prompt"`
	Size          string `json:"size"`
	Seconds       string `json:"seconds"` // length of the clip

	Status   Status `json:"status"`
	Progress int    `json:"progress"` // 0-100; 100 only when completed

	CreatedAt         int64 `json:"created_at"`
	StartedAt         int64 `json:"started_at"`
	CompletedAt       int64 `json:"completed_at"`
	ExpiresAt         int64 `json:"expires_at"` // when the video is deleted
	CancelRequestedAt int64 `json:"cancel_requested_at"`
	Duration          int64 `json:"duration"` // whole seconds from creation until now, or until the end of the task

	Metadata     Metadata     `json:"metadata"`
	VideoURL     string       `json:"video_url"` // signed, needs no key, valid 24 hours
	ThumbnailURL string       `json:"thumbnail_url"`
	Result       *Result      `json:"result"`
	Error        *ErrorDetail `json:"error"`

	QueuePosition *int64    `json:"queue_position"`
	ETA           *int64    `json:"eta"` // unix seconds
	Usage         *Usage    `json:"usage"`
	Warnings      []Warning `json:"warnings"`
	Preview       bool      `json:"preview"`

	Raw      json.RawMessage `json:"-"` // the response as received
	Replayed bool            `json:"-"` // set by a create whose Idempotency-Key was already used: this is the earlier task
}

// Result repeats the links to the video.
type Result struct {
	Outputs  []string `json:"outputs"`
	VideoURL string   `json:"video_url"`
}

// Usage is the cost of a completed task.
type Usage struct {
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"` // a decimal
	Currency      string      `json:"currency"`
}

// Warning is a remark about a request that was accepted nevertheless.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param"`
}

// Metadata holds the customer's pairs and two durations of the server, in seconds.
type Metadata struct {
	Pairs       map[string]string
	TotalTime   float64 // from the creation of the task to its end; 0 until then
	PredictTime float64 // from the start at the supplier to the end of the task; 0 until then
}

// UnmarshalJSON implements json.Unmarshaler. It takes strings as the customer's pairs.
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
			_ = json.Unmarshal(raw, &m.TotalTime) // null until it is known
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

// MarshalJSON implements json.Marshaler. Its output is what UnmarshalJSON reads.
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

// readTask decodes a task and keeps the raw bytes.
func readTask(raw json.RawMessage) (Task, error) {
	var t Task
	if err := json.Unmarshal(raw, &t); err != nil {
		return Task{}, fmt.Errorf("read a task: %w", err)
	}

	t.Raw = raw

	return t, nil
}
