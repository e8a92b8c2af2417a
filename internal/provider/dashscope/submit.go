package dashscope

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Submit creates a task at the supplier ("create task"). There is no idempotency
// key: what cannot be known to have failed is Unsure.
func (d *dashscope) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, d.submitTimeout)
	defer cancel()

	order, f := creationOf(o)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(order)
	if err != nil {
		return "", untaken(d.broken(provider.Answer{}, err))
	}

	r, err := d.request(ctx, http.MethodPost, d.createPath, body)
	if err != nil {
		return "", untaken(d.broken(provider.Answer{}, err))
	}

	r.Header.Set("X-DashScope-Async", "enable")

	if usesOSS(order.Input) {
		r.Header.Set("X-DashScope-OssResourceResolve", "enable")
	}

	x, f := d.talk.Order(r)
	if f != nil {
		f.Fault.Param = blame(o, f)
		return "", f
	}

	a, err := readAnswer(x.Body)
	if err != nil {
		return "", d.broken(x, err)
	}

	return provider.Ticket(a.Output.TaskID), nil
}

func untaken(f *provider.Failure) *provider.Failure {
	f.Taken = provider.NotTaken
	return f
}

// creationOf says an order in the supplier's words.
func creationOf(o provider.Order) (creation, *provider.Failure) {
	if f := incomplete(o); f != nil {
		return creation{}, f
	}

	c := creation{
		Model:      o.Model,
		Input:      input{Prompt: o.Prompt, NegativePrompt: o.NegativePrompt},
		Parameters: parameters{Duration: o.Seconds, PromptExtend: o.PromptExpansion, Watermark: o.Watermark},
	}
	if o.Seed >= 0 {
		c.Parameters.Seed = &o.Seed
	}

	if s := shapeOf(o.Model); s.media {
		s.fill(&c, o)
	} else {
		fill(&c, o)
	}

	return c, nil
}

// incomplete refuses an order that no body could be made of.
func incomplete(o provider.Order) *provider.Failure {
	for _, ref := range o.References {
		if ref.URL == "" {
			return unreadable(ref)
		}
	}

	if o.Audio != nil && o.Audio.URL == "" {
		return unreadable(*o.Audio)
	}

	if o.Mode == provider.I2V && len(o.References) != 1 {
		return &provider.Failure{
			Taken: provider.NotTaken, Class: provider.Refused, Err: errors.New("an I2V order without exactly one picture"),
			Fault: fault.New(fault.CodeRefused, "image", "A video from a picture wants exactly one picture. Send one."),
		}
	}

	return nil
}

// fill says an order as the Wan 2.6 models take it.
func fill(c *creation, o provider.Order) {
	c.Parameters.ShotType = o.ShotType
	if strings.Contains(o.Model, "-flash") {
		c.Parameters.Audio = &o.Sound
	}

	if o.Audio != nil {
		c.Input.AudioURL = o.Audio.URL
	}

	if o.Mode == provider.I2V {
		c.Input.ImageURL = o.References[0].URL
		c.Parameters.Resolution = resolution(o.Width, o.Height)

		return
	}

	c.Parameters.Size = o.Size
	for _, ref := range o.References {
		c.Input.ReferenceURLs = append(c.Input.ReferenceURLs, ref.URL)
	}
}

// unreadable refuses a reference that was neither public nor uploaded.
func unreadable(ref provider.Reference) *provider.Failure {
	return &provider.Failure{
		Taken: provider.NotTaken, Class: provider.Refused, Err: errors.New("a reference without an address"),
		Fault: fault.New(fault.CodeUnreachable, ref.Param, "This reference could not be handed to the supplier. Upload it by POST /v1/files, or give a public address."),
	}
}

func usesOSS(in input) bool {
	all := append([]string{in.ImageURL, in.AudioURL}, in.ReferenceURLs...)
	for _, m := range in.Media {
		all = append(all, m.URL)
	}

	for _, u := range all {
		if strings.HasPrefix(u, "oss://") {
			return true
		}
	}

	return false
}

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
		if strings.Contains(f.Err.Error(), ref.URL) {
			return ref.Param
		}
	}

	if len(all) == 1 {
		return all[0].Param
	}

	return ""
}
