// Package catalog knows what can be asked and what it costs: the models as data
// files, Validate, Price and Estimate. It is pure: no network, no clock, no
// database. api hands it what a dialect decoded, as an Ask; checkout goes on with
// the Request that Validate returns; dispatch reads the same Request when it
// orders the video, and lets Judge say whether the fetched references will do.
package catalog

// Request is one valid order for a video, free of any dialect. It is kept as
// JSON beside the task.
type Request struct {
	Model    string `json:"model"`          // as asked
	Resolved string `json:"resolved_model"` // what is billed
	Mode     Mode   `json:"mode"`

	Prompt         string      `json:"prompt"`
	NegativePrompt string      `json:"negative_prompt,omitempty"`
	References     []Reference `json:"references,omitempty"` // in character order; I2V: the one picture
	Audio          *Reference  `json:"audio,omitempty"`      // guide audio

	Size      string `json:"size"`       // "1280*720"
	SizeAsked string `json:"size_asked"` // as asked; the default when it was not
	Width     int    `json:"width"`      // pixels
	Height    int    `json:"height"`
	Seconds   int    `json:"seconds"`
	Sound     bool   `json:"sound"`

	ShotType        string `json:"shot_type"` // "single" or "multi"
	PromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Watermark       *bool  `json:"watermark,omitempty"`
	Seed            int64  `json:"seed"` // -1: random

	Preview         bool              `json:"preview,omitempty"`
	StartBy         int64             `json:"start_by,omitempty"` // unix seconds; 0 is none
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

// Reference is a picture, video or sound that was asked for, not yet looked at.
type Reference struct {
	Kind  Kind   `json:"kind"`  // "" until the bytes are seen, where the request did not say
	Input string `json:"input"` // an http(s) URL or a "file_..." id; data URIs become files at checkout
	Param string `json:"param"` // where it stood, "videos[0]"
}

// Kind is a kind of media.
type Kind string

// The kinds.
const (
	Image Kind = "image"
	Video Kind = "video"
	Audio Kind = "audio"
)

// Warning is something that the customer should know and that stops nothing.
// Its code is one of fault's.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"`
}
