package fal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/provider"
)

// creation is the body of an order (the models' own pages, "input schema").
type creation struct {
	Prompt          string   `json:"prompt"`
	VideoURLs       []string `json:"video_urls,omitempty"`
	ImageURLs       []string `json:"image_urls,omitempty"` // flash only
	Shape           string   `json:"aspect_ratio"`         // "16:9"
	Resolution      string   `json:"resolution"`           // "720p", "1080p"
	Duration        string   `json:"duration"`             // seconds: "5" or "10"
	NegativePrompt  string   `json:"negative_prompt,omitempty"`
	PromptExpansion *bool    `json:"enable_prompt_expansion,omitempty"`
	MultiShots      bool     `json:"multi_shots"`            // its own default is true
	EnableAudio     *bool    `json:"enable_audio,omitempty"` // flash only
	Seed            *int64   `json:"seed,omitempty"`
}

// queued is the answer to an order ("submit a request").
type queued struct {
	ID       provider.Text `json:"request_id"`
	Status   provider.Text `json:"status_url"`
	Response provider.Text `json:"response_url"`
	Cancel   provider.Text `json:"cancel_url"`
}

// standing is how an order stands ("get queue status").
type standing struct {
	ID        provider.Text `json:"request_id"`
	Status    provider.Text `json:"status"`
	ErrorType provider.Text `json:"error_type"`
}

// response is what a finished order made.
type response struct {
	Video struct {
		URL provider.Text `json:"url"`
	} `json:"video"`
}

// readComplaint reads the supplier's own no: {"detail": [{type, msg, loc}]} of a
// model ("errors"), {"detail": "...", "error_type": "..."} of the queue
// ("request-errors"), or a bare list of the former. Its code is the word for
// machines, "" where there is a sentence alone.
func readComplaint(b []byte) (provider.Complaint, bool) {
	var e struct {
		Detail json.RawMessage `json:"detail"`
		Kind   provider.Text   `json:"error_type"`
	}

	list := bytes.TrimSpace(b)
	if !bytes.HasPrefix(list, []byte("[")) {
		if err := json.Unmarshal(b, &e); err != nil {
			return provider.Complaint{}, false
		}

		list = e.Detail
	}

	var details []struct {
		Message provider.Text `json:"msg"`
		Kind    provider.Text `json:"type"`
		Where   places        `json:"loc"`
	}
	if json.Unmarshal(list, &details) == nil && len(details) > 0 {
		first := details[0]
		if first.Kind == "" && first.Message == "" {
			return provider.Complaint{}, false
		}

		return provider.Complaint{Code: string(first.Kind), Message: string(first.Message), Param: first.Where.String()}, true
	}

	var sentence provider.Text

	_ = json.Unmarshal(list, &sentence) // what is no text stays ""

	return provider.Complaint{Code: string(e.Kind), Message: string(sentence)}, sentence != "" || e.Kind != ""
}

// places reads where in the body an error is; what is no list reads as none.
type places []provider.Text

// UnmarshalJSON never errs on valid JSON.
func (p *places) UnmarshalJSON(b []byte) error {
	var list []provider.Text
	if json.Unmarshal(b, &list) == nil {
		*p = list
	}

	return nil
}

// String writes ["body", "image_urls", 0] as "body.image_urls.0".
func (p places) String() string {
	var s []byte

	for i, one := range p {
		if i > 0 {
			s = append(s, '.')
		}

		s = append(s, one...)
	}

	return string(s)
}

func readQueued(b []byte) (queued, error) {
	var q queued
	if err := json.Unmarshal(b, &q); err != nil {
		return queued{}, fmt.Errorf("read answer: %w", err)
	}

	if q.ID == "" || q.Status == "" || q.Response == "" || q.Cancel == "" {
		return queued{}, errors.New("read answer: no request_id or one of its addresses is missing")
	}

	return q, nil
}

func readStanding(b []byte) (standing, error) {
	var s standing
	if err := json.Unmarshal(b, &s); err != nil {
		return standing{}, fmt.Errorf("read status: %w", err)
	}

	if s.Status == "" {
		return standing{}, errors.New("read status: none is told")
	}

	return s, nil
}

func readResponse(b []byte) (string, error) {
	var r response
	if err := json.Unmarshal(b, &r); err != nil {
		return "", fmt.Errorf("read response: %w", err)
	}

	if r.Video.URL == "" {
		return "", errors.New("read response: no video")
	}

	return string(r.Video.URL), nil
}

// readPlace reads where an upload goes and where it is read.
func readPlace(b []byte) (put, get string, err error) {
	var p struct {
		Put provider.Text `json:"upload_url"`
		Get provider.Text `json:"file_url"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return "", "", fmt.Errorf("read upload: %w", err)
	}

	if !web(string(p.Put)) || !web(string(p.Get)) {
		return "", "", errors.New("read upload: an address is missing")
	}

	return string(p.Put), string(p.Get), nil
}
