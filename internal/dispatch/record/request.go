package record

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/unireel/unireel/internal/catalog"
)

// Request is what a task was created from: the customer's request, and the references as
// they were prepared (none before that).
type Request struct {
	catalog.Request
	Prepared Prepared
}

// Prepared holds the prepared references of a request; it is stored as JSON beside the
// request.
type Prepared struct {
	References []Reference `json:"references,omitempty"`
	Audio      *Reference  `json:"audio,omitempty"`
}

// Reference is a reference that was fetched, stored and measured; with references_check
// "trust" it may be none of these.
type Reference struct {
	Kind   string `json:"kind"`
	Param  string `json:"param"`
	URL    string `json:"url,omitempty"` // where the supplier itself can read it
	Name   string `json:"name"`
	Blob   string `json:"blob,omitempty"`
	Type   string `json:"type,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Millis int64  `json:"millis,omitempty"`
	Width  int64  `json:"width,omitempty"`
	Height int64  `json:"height,omitempty"`
	Sound  bool   `json:"sound,omitempty"`
}

// All returns every prepared reference, the audio last.
func (p Prepared) All() []Reference {
	if p.Audio == nil {
		return p.References
	}

	return append(p.References[:len(p.References):len(p.References)], *p.Audio)
}

// VideoMillis lists the durations of the reference videos, which are billed, in milliseconds.
func (p Prepared) VideoMillis() []int64 {
	var list []int64

	for _, r := range p.References {
		if r.Kind == string(catalog.Video) {
			list = append(list, r.Millis)
		}
	}

	return list
}

// Request reads a task's request.
func (t *Tasks) Request(ctx context.Context, id string) (Request, error) {
	var r Request

	body, preparedJSON, err := t.Store.Request(ctx, id)
	if err != nil {
		return r, fmt.Errorf("read the request of %s: %w", id, err)
	}

	if err := json.Unmarshal(body, &r.Request); err != nil {
		return r, fmt.Errorf("request of %s: %w", id, err)
	}

	if len(preparedJSON) > 0 {
		if err := json.Unmarshal(preparedJSON, &r.Prepared); err != nil {
			return r, fmt.Errorf("references of %s: %w", id, err)
		}
	}

	return r, nil
}
