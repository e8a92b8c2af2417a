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

// fields are the names that the supplier has given the references: flash takes
// pictures and videos as reference_files (reference_urls before), the other model
// videos alone, as videos.
var fields = []string{"reference_files", "reference_urls", "videos"}

// creation is the body of an order (the models' own pages, "input schema").
type creation struct {
	ReferenceFiles  []string `json:"reference_files,omitempty"` // character1, character2, ... in this order
	ReferenceURLs   []string `json:"reference_urls,omitempty"`
	Videos          []string `json:"videos,omitempty"`
	Prompt          string   `json:"prompt"`
	Audio           string   `json:"audio,omitempty"`
	NegativePrompt  string   `json:"negative_prompt,omitempty"`
	Size            string   `json:"size"`                // "1280*720"
	Duration        int      `json:"duration"`            // seconds: 5 or 10
	ShotType        string   `json:"shot_type,omitempty"` // its own default is multi
	EnableAudio     *bool    `json:"enable_audio,omitempty"`
	PromptExpansion *bool    `json:"enable_prompt_expansion,omitempty"`
	Seed            *int64   `json:"seed,omitempty"`
}

// prediction is an order as the supplier tells of it ("get-result").
type prediction struct {
	ID      provider.Text `json:"id"`
	Status  provider.Text `json:"status"`
	Outputs texts         `json:"outputs"`
	Code    provider.Text `json:"code"` // of a failed one ("error-codes")
	Error   provider.Text `json:"error"`
	Created provider.Text `json:"created_at"`
}

// texts reads a list of texts; what is no list reads as none.
type texts []provider.Text

// UnmarshalJSON never errs on valid JSON.
func (t *texts) UnmarshalJSON(b []byte) error {
	var list []provider.Text
	if json.Unmarshal(b, &list) == nil {
		*t = list
	}

	return nil
}

// first is the first that says something.
func (t texts) first() string {
	for _, one := range t {
		if one != "" {
			return string(one)
		}
	}

	return ""
}

// readComplaint reads the supplier's own no, {code, message}: the envelope of
// every answer with a code that is not 200. Only a code that is a number from 300
// up counts: a page of something between us has none.
func readComplaint(b []byte) (provider.Complaint, bool) {
	var e struct {
		Code    provider.Text `json:"code"`
		Message provider.Text `json:"message"`
	}
	if err := json.Unmarshal(b, &e); err != nil || !isError(e.Code) {
		return provider.Complaint{}, false
	}

	return provider.Complaint{Code: string(e.Code), Message: string(e.Message)}, true
}

func isError(code provider.Text) bool {
	n, err := strconv.Atoi(string(code))
	return err == nil && n >= 300
}

// readPrediction reads what create and query answer; it wants an id and a status.
func readPrediction(b []byte) (prediction, error) {
	var a struct {
		Data *prediction `json:"data"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return prediction{}, fmt.Errorf("read answer: %w", err)
	}

	if a.Data == nil || a.Data.ID == "" || a.Data.Status == "" {
		return prediction{}, errors.New("read answer: no id or no status")
	}

	return *a.Data, nil
}

// readUpload reads where an upload can be read ("upload-files-api").
func readUpload(b []byte) (string, error) {
	var a struct {
		Data struct {
			URL provider.Text `json:"download_url"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return "", fmt.Errorf("read upload: %w", err)
	}

	if u := string(a.Data.URL); strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://") {
		return u, nil
	}

	return "", errors.New("read upload: no download_url")
}

// keep is how long the supplier keeps a prediction and its outputs
// ("what-are-predictions").
const keep = 7 * 24 * time.Hour

// until is when a prediction and its outputs are gone, in unix milliseconds.
func (p prediction) until(now time.Time) int64 {
	if made, err := time.Parse(time.RFC3339, string(p.Created)); err == nil && made.After(now.Add(-keep)) && made.Before(now) {
		now = made
	}

	return now.Add(keep).UnixMilli()
}
