package wavespeed

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Submit creates a prediction. There is no idempotency key: what cannot be known
// to have failed is Unsure.
func (w *wavespeed) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, w.submitTimeout)
	defer cancel()

	order, f := w.creationOf(o)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(order)
	if err != nil {
		return "", w.unsent(err)
	}

	r, err := w.talk.Request(ctx, http.MethodPost, "/api/v3/"+o.Model, bytes.NewReader(body))
	if err != nil {
		return "", w.unsent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	a, f := w.talk.Order(r)
	if f == nil {
		f = w.within(a)
	}

	if f != nil {
		f.Fault.Param = blame(o, f)
		return "", f
	}

	p, err := readPrediction(a.Body)
	if err != nil {
		return "", w.talk.Broken(a, err)
	}

	return provider.Ticket(p.ID), nil
}

// within is the failure that an answer of status 200 tells inside, or nil: the
// envelope's code is the status also where HTTP says another.
func (w *wavespeed) within(a provider.Answer) *provider.Failure {
	c, own := readComplaint(a.Body)
	if !own {
		return nil
	}

	if n, err := strconv.Atoi(c.Code); err == nil && n >= 400 && n < 600 {
		a.Status = n
	}

	return w.talk.Refusal(a)
}

func (w *wavespeed) unsent(err error) *provider.Failure {
	f := w.talk.Broken(provider.Answer{}, err)
	f.Taken = provider.NotTaken

	return f
}

// impossible refuses an order before it is sent, for something that the supplier
// has no word for: nothing is left out in silence.
func impossible(param, sentence string) *provider.Failure {
	f := provider.Unsent(fault.CodeRefused, param, errors.New("the supplier has no word for a part of the order"))
	f.Fault.Detail = sentence

	return f
}

var errNowhere = errors.New("a reference without an address")

// blame is the field of the reference that a failure is about: the one whose
// address the supplier repeats, or the only one.
func blame(o provider.Order, f *provider.Failure) string {
	if f.Fault.Code != fault.CodeUnreachable && f.Fault.Code != fault.CodeBadReference {
		return ""
	}

	all := o.References
	if o.Audio != nil {
		all = append(all[:len(all):len(all)], *o.Audio)
	}

	for _, ref := range all {
		if len(all) == 1 || strings.Contains(f.Err.Error(), ref.URL) {
			return ref.Param
		}
	}

	return ""
}

// creationOf says an order in the supplier's words. It names characters as we
// do: character1 is the first of the list.
func (w *wavespeed) creationOf(o provider.Order) (creation, *provider.Failure) {
	flash := strings.HasSuffix(o.Model, "-flash")
	switch {
	case o.Mode != provider.R2V:
		return creation{}, impossible("model", "This supplier makes videos from references only. Ask for another model.")
	case o.Watermark != nil:
		return creation{}, impossible("watermark", "This supplier does not let the watermark be chosen. Leave it out.")
	case !flash && !o.Sound:
		return creation{}, impossible("model", "This supplier's model always makes sound. Ask for a flash model to get a silent video.")
	}

	c := creation{
		Prompt: o.Prompt, NegativePrompt: o.NegativePrompt, Size: o.Size, Duration: o.Seconds,
		ShotType: o.ShotType, PromptExpansion: o.PromptExpansion,
	}
	if flash {
		c.EnableAudio = &o.Sound
	}

	if o.Seed >= 0 {
		c.Seed = &o.Seed
	}

	if o.Audio != nil {
		if o.Audio.URL == "" {
			return c, provider.Unsent(fault.CodeUnreachable, o.Audio.Param, errNowhere)
		}

		c.Audio = o.Audio.URL
	}

	field := w.field
	if field == "" {
		field = map[bool]string{true: "reference_files", false: "videos"}[flash]
	}

	list := map[string]*[]string{"reference_files": &c.ReferenceFiles, "reference_urls": &c.ReferenceURLs, "videos": &c.Videos}[field]

	for _, ref := range o.References {
		switch {
		case ref.URL == "":
			return c, provider.Unsent(fault.CodeUnreachable, ref.Param, errNowhere)
		case field == "videos" && ref.Kind == "image":
			return c, impossible(ref.Param, "This supplier's model takes videos as references only. Ask for a flash model to use pictures.")
		}

		*list = append(*list, ref.URL)
	}

	return c, nil
}
