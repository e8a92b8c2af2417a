package fal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Submit puts an order into the supplier's queue. There is no idempotency key:
// what cannot be known to have failed is Unsure.
func (f *fal) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, f.submitTimeout)
	defer cancel()

	order, no := creationOf(o)
	if no != nil {
		return "", no
	}

	body, err := provider.EncodeJSON(order)
	if err != nil {
		return "", f.unsent(err)
	}

	r, err := f.talk.Request(ctx, http.MethodPost, "/"+o.Model, bytes.NewReader(body))
	if err != nil {
		return "", f.unsent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	a, no := f.talk.Order(r)
	if no != nil {
		c, _ := readComplaint(a.Body)
		no.Fault.Param = blame(o, no, c.Param)

		return "", no
	}

	q, err := readQueued(a.Body)
	if err != nil {
		return "", f.talk.Broken(a, err)
	}

	if a.RequestID == "" {
		a.RequestID = f.talk.Clean(string(q.ID))
	}

	t, err := f.ticketOf(q)
	if err != nil {
		return "", f.talk.Broken(a, err)
	}

	return t, nil
}

func (f *fal) unsent(err error) *provider.Failure {
	no := f.talk.Broken(provider.Answer{}, err)
	no.Taken = provider.NotTaken

	return no
}

// impossible refuses an order before it is sent, for something that the supplier
// has no word for: nothing is left out in silence.
func impossible(param, sentence string) *provider.Failure {
	no := provider.Unsent(fault.CodeRefused, param, errors.New("the supplier has no word for a part of the order"))
	no.Fault.Detail = sentence

	return no
}

var errNowhere = errors.New("a reference without an address")

// blame is the field of the reference that a failure is about: the one in the
// supplier's "body.image_urls.1", or the only one.
func blame(o provider.Order, no *provider.Failure, where string) string {
	if no.Fault.Code != fault.CodeUnreachable && no.Fault.Code != fault.CodeBadReference {
		return ""
	}

	seen := map[string]int{}

	for _, ref := range o.References {
		kind := kindOf(ref)
		if where == fmt.Sprintf("body.%s_urls.%d", kind, seen[kind]) || len(o.References) == 1 {
			return ref.Param
		}

		seen[kind]++
	}

	return ""
}

// shapes are the sizes that the supplier knows by shape and resolution.
var shapes = map[string][2]string{
	"1280*720": {"16:9", "720p"}, "720*1280": {"9:16", "720p"}, "960*960": {"1:1", "720p"}, "1088*832": {"4:3", "720p"}, "832*1088": {"3:4", "720p"},
	"1920*1080": {"16:9", "1080p"}, "1080*1920": {"9:16", "1080p"}, "1440*1440": {"1:1", "1080p"}, "1632*1248": {"4:3", "1080p"}, "1248*1632": {"3:4", "1080p"},
}

// creationOf says an order in the supplier's words.
func creationOf(o provider.Order) (creation, *provider.Failure) {
	flash := strings.HasSuffix(o.Model, "/flash")

	shape, known := shapes[o.Size]
	switch {
	case o.Mode != provider.R2V:
		return creation{}, impossible("model", "This supplier makes videos from references only. Ask for another model.")
	case !known:
		return creation{}, impossible("size", "This supplier does not make videos of this size. Choose another of the model's sizes.")
	case o.Audio != nil:
		return creation{}, impossible(o.Audio.Param, "This supplier takes no guide audio. Leave it out.")
	case o.Watermark != nil:
		return creation{}, impossible("watermark", "This supplier does not let the watermark be chosen. Leave it out.")
	case !flash && !o.Sound:
		return creation{}, impossible("model", "This supplier's model always makes sound. Ask for a flash model to get a silent video.")
	}

	refs, no := sortReferences(o, flash)
	if no != nil {
		return creation{}, no
	}

	c := creation{
		Prompt: refs.prompt(o.Prompt), VideoURLs: refs.videos, ImageURLs: refs.images,
		Shape: shape[0], Resolution: shape[1], Duration: strconv.Itoa(o.Seconds),
		NegativePrompt: o.NegativePrompt, PromptExpansion: o.PromptExpansion, MultiShots: o.ShotType == "multi",
	}
	if flash {
		c.EnableAudio = &o.Sound
	}

	if o.Seed >= 0 {
		c.Seed = &o.Seed
	}

	return c, nil
}
