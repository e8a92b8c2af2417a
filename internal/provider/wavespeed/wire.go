package wavespeed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// referenceFields are the supplier's names for the field with the references:
// flash takes pictures and videos as reference_files (formerly reference_urls),
// the other model takes videos only, as videos.
var referenceFields = []string{"reference_files", "reference_urls", "videos"}

// createRequest is the body of a submission (the models' own pages, "input
// schema").
type createRequest struct {
	ReferenceFiles  []string `json:"reference_files,omitempty"` // character1, character2, ... in this order
	ReferenceURLs   []string `json:"reference_urls,omitempty"`
	Videos          []string `json:"videos,omitempty"`
	Prompt          string   `json:"prompt"`
	Audio           string   `json:"audio,omitempty"`
	NegativePrompt  string   `json:"negative_prompt,omitempty"`
	Size            string   `json:"size"`                // "1280*720"
	Duration        int      `json:"duration"`            // seconds: 5 or 10
	ShotType        string   `json:"shot_type,omitempty"` // the supplier's default is multi
	EnableAudio     *bool    `json:"enable_audio,omitempty"`
	PromptExpansion *bool    `json:"enable_prompt_expansion,omitempty"`
	Seed            *int64   `json:"seed,omitempty"`
}

// prediction is the supplier's object for a request ("get-result").
type prediction struct {
	ID        provider.Text `json:"id"`
	Status    provider.Text `json:"status"`
	Outputs   textList      `json:"outputs"`
	Code      provider.Text `json:"code"` // of a failed prediction ("error-codes")
	Error     provider.Text `json:"error"`
	CreatedAt provider.Text `json:"created_at"`
}

// textList reads a list of texts; anything but a list reads as empty.
type textList []provider.Text

// UnmarshalJSON never fails on valid JSON.
func (t *textList) UnmarshalJSON(b []byte) error {
	var list []provider.Text
	if json.Unmarshal(b, &list) == nil {
		*t = list
	}

	return nil
}

// firstNonEmpty returns the first text that is not empty.
func (t textList) firstNonEmpty() string {
	for _, one := range t {
		if one != "" {
			return string(one)
		}
	}

	return ""
}

// readError reads an error of the supplier's own, {code, message}: the envelope of
// every response whose code is not 200. Only a number from 300 up counts as a
// code; the page of a proxy has none.
func readError(b []byte) (provider.ErrorBody, bool) {
	var e struct {
		Code    provider.Text `json:"code"`
		Message provider.Text `json:"message"`
	}
	if err := json.Unmarshal(b, &e); err != nil || !isError(e.Code) {
		return provider.ErrorBody{}, false
	}

	return provider.ErrorBody{Code: string(e.Code), Message: string(e.Message)}, true
}

func isError(code provider.Text) bool {
	n, err := strconv.Atoi(string(code))
	return err == nil && n >= 300
}

// readPrediction reads the response to create and query. It requires an ID and a
// status.
func readPrediction(b []byte) (prediction, error) {
	var envelope struct {
		Data *prediction `json:"data"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return prediction{}, fmt.Errorf("read response: %w", err)
	}

	if envelope.Data == nil || envelope.Data.ID == "" || envelope.Data.Status == "" {
		return prediction{}, errors.New("read response: no id or no status")
	}

	return *envelope.Data, nil
}

// readUpload reads the URL of an upload ("upload-files-api").
func readUpload(b []byte) (string, error) {
	var envelope struct {
		Data struct {
			URL provider.Text `json:"download_url"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return "", fmt.Errorf("read upload: %w", err)
	}

	if u := string(envelope.Data.URL); strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://") {
		return u, nil
	}

	return "", errors.New("read upload: no download_url")
}

// retention is how long the supplier keeps a prediction and its outputs
// ("what-are-predictions").
const retention = 7 * 24 * time.Hour

// expiresAt is when the supplier deletes a prediction and its outputs, in unix
// milliseconds.
func (p prediction) expiresAt(now time.Time) int64 {
	if createdAt, err := time.Parse(time.RFC3339, string(p.CreatedAt)); err == nil && createdAt.After(now.Add(-retention)) && createdAt.Before(now) {
		now = createdAt
	}

	return now.Add(retention).UnixMilli()
}
