// Package catalog defines the models and their prices: it loads the model files and
// provides Validate, Price and Estimate. It is pure: no network, no clock, no
// database. Before it on a task's path, api decodes a dialect's body into a
// RawRequest. After it, checkout stores the Request that Validate returns;
// dispatch reads the same Request when it submits the task to a supplier, and
// calls CheckReferences to check the references that it fetched.
package catalog

// Request is one valid request for a video, independent of any dialect. It is stored
// as JSON beside the task.
type Request struct {
	Model    string `json:"model"`          // as the customer named it
	Resolved string `json:"resolved_model"` // id of the model that is billed
	Mode     Mode   `json:"mode"`

	Prompt         string      `json:"prompt"`
	NegativePrompt string      `json:"negative_prompt,omitempty"`
	References     []Reference `json:"references,omitempty"` // in character order; in I2V the one picture
	Audio          *Reference  `json:"audio,omitempty"`      // guide audio

	Size          string `json:"size"`       // "1280*720"
	RequestedSize string `json:"size_asked"` // as the customer wrote it; the default size if there was none
	Width         int    `json:"width"`      // pixels
	Height        int    `json:"height"`
	Seconds       int    `json:"seconds"`
	Sound         bool   `json:"sound"`

	ShotType        string `json:"shot_type"` // "single" or "multi"
	PromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Watermark       *bool  `json:"watermark,omitempty"`
	Seed            int64  `json:"seed"` // -1: random

	Preview         bool              `json:"preview,omitempty"`
	StartBy         int64             `json:"start_by,omitempty"` // unix seconds; 0: no limit
	WebhookURL      string            `json:"webhook_url,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	ReferencesCheck string            `json:"references_check,omitempty"` // "" or "trust"

	Warnings []Warning `json:"warnings,omitempty"`
}

// Mode says what a video is made from.
type Mode string

// The modes.
const (
	R2V Mode = "r2v"
	I2V Mode = "i2v"
	T2V Mode = "t2v"
)

// Reference is a picture, video or sound that a request refers to. Its bytes have not
// been checked.
type Reference struct {
	Kind  Kind   `json:"kind"`  // "" until the bytes are read, if the request did not declare it
	Input string `json:"input"` // an http(s) URL or a "file_..." id; data URIs become files at checkout
	Param string `json:"param"` // its field in the body, "videos[0]"
}

// Kind is a kind of media.
type Kind string

// The kinds.
const (
	Image Kind = "image"
	Video Kind = "video"
	Audio Kind = "audio"
)

// Warning tells the customer something about a request without rejecting it. Its code is
// one of package fault's.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}
