package fal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/unireel/unireel/internal/provider"
)

// createRequest is the body of a submission (the models' own pages, "input
// schema").
type createRequest struct {
	Prompt          string   `json:"prompt"`
	VideoURLs       []string `json:"video_urls,omitempty"`
	ImageURLs       []string `json:"image_urls,omitempty"` // flash only
	AspectRatio     string   `json:"aspect_ratio"`         // "16:9"
	Resolution      string   `json:"resolution"`           // "720p", "1080p"
	Duration        string   `json:"duration"`             // seconds: "5" or "10"
	NegativePrompt  string   `json:"negative_prompt,omitempty"`
	PromptExpansion *bool    `json:"enable_prompt_expansion,omitempty"`
	MultiShots      bool     `json:"multi_shots"`            // the supplier's default is true
	EnableAudio     *bool    `json:"enable_audio,omitempty"` // flash only
	Seed            *int64   `json:"seed,omitempty"`
}

// createResponse is the response to a submission ("submit a request").
type createResponse struct {
	ID          provider.Text `json:"request_id"`
	StatusURL   provider.Text `json:"status_url"`
	ResponseURL provider.Text `json:"response_url"`
	CancelURL   provider.Text `json:"cancel_url"`
}

// statusResponse is the state of a request ("get queue status").
type statusResponse struct {
	ID        provider.Text `json:"request_id"`
	Status    provider.Text `json:"status"`
	ErrorType provider.Text `json:"error_type"`
}

// resultResponse is the result of a finished request.
type resultResponse struct {
	Video struct {
		URL provider.Text `json:"url"`
	} `json:"video"`
}

// readError reads an error of the supplier's own: {"detail": [{type, msg, loc}]}
// of a model ("errors"), {"detail": "...", "error_type": "..."} of the queue
// ("request-errors"), or a bare list of the former. The code is the error type, ""
// where there is only a sentence.
func readError(b []byte) (provider.ErrorBody, bool) {
	var e struct {
		Detail json.RawMessage `json:"detail"`
		Kind   provider.Text   `json:"error_type"`
	}

	list := bytes.TrimSpace(b)
	if !bytes.HasPrefix(list, []byte("[")) {
		if err := json.Unmarshal(b, &e); err != nil {
			return provider.ErrorBody{}, false
		}

		list = e.Detail
	}

	var details []struct {
		Message provider.Text `json:"msg"`
		Kind    provider.Text `json:"type"`
		Where   errorLocation `json:"loc"`
	}
	if json.Unmarshal(list, &details) == nil && len(details) > 0 {
		first := details[0]
		if first.Kind == "" && first.Message == "" {
			return provider.ErrorBody{}, false
		}

		return provider.ErrorBody{
			Code:    string(first.Kind),
			Message: string(first.Message),
			Param:   first.Where.String(),
		}, true
	}

	var sentence provider.Text

	_ = json.Unmarshal(list, &sentence) // anything but text stays ""

	return provider.ErrorBody{Code: string(e.Kind), Message: string(sentence)}, sentence != "" || e.Kind != ""
}

// errorLocation reads where in the body an error is; anything but a list reads as
// empty.
type errorLocation []provider.Text

// UnmarshalJSON never fails on valid JSON.
func (p *errorLocation) UnmarshalJSON(b []byte) error {
	var list []provider.Text
	if json.Unmarshal(b, &list) == nil {
		*p = list
	}

	return nil
}

// String writes ["body", "image_urls", 0] as "body.image_urls.0".
func (p errorLocation) String() string {
	var s []byte

	for i, one := range p {
		if i > 0 {
			s = append(s, '.')
		}

		s = append(s, one...)
	}

	return string(s)
}

func readCreateResponse(b []byte) (createResponse, error) {
	var q createResponse
	if err := json.Unmarshal(b, &q); err != nil {
		return createResponse{}, fmt.Errorf("read response: %w", err)
	}

	if q.ID == "" || q.StatusURL == "" || q.ResponseURL == "" || q.CancelURL == "" {
		return createResponse{}, errors.New("read response: request_id or one of the URLs is missing")
	}

	return q, nil
}

func readStatus(b []byte) (statusResponse, error) {
	var s statusResponse
	if err := json.Unmarshal(b, &s); err != nil {
		return statusResponse{}, fmt.Errorf("read status: %w", err)
	}

	if s.Status == "" {
		return statusResponse{}, errors.New("read status: no status")
	}

	return s, nil
}

func readResult(b []byte) (string, error) {
	var r resultResponse
	if err := json.Unmarshal(b, &r); err != nil {
		return "", fmt.Errorf("read response: %w", err)
	}

	if r.Video.URL == "" {
		return "", errors.New("read response: no video")
	}

	return string(r.Video.URL), nil
}

// readUploadURLs reads the URL to send an upload to and the URL to read it from.
func readUploadURLs(b []byte) (put, get string, err error) {
	var p struct {
		Put provider.Text `json:"upload_url"`
		Get provider.Text `json:"file_url"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return "", "", fmt.Errorf("read upload: %w", err)
	}

	if !isHTTP(string(p.Put)) || !isHTTP(string(p.Get)) {
		return "", "", errors.New("read upload: a URL is missing")
	}

	return string(p.Put), string(p.Get), nil
}
