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

// Submit creates a prediction. The API has no idempotency key: when the outcome is
// not known, the failure's acceptance is unknown.
func (w *wavespeed) Submit(ctx context.Context, sub provider.Submission) (provider.RemoteID, error) {
	ctx, cancel := context.WithTimeout(ctx, w.submitTimeout)
	defer cancel()

	request, f := w.newCreateRequest(sub)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(request)
	if err != nil {
		return "", w.notSent(err)
	}

	r, err := w.client.NewRequest(ctx, http.MethodPost, "/api/v3/"+sub.Model, bytes.NewReader(body))
	if err != nil {
		return "", w.notSent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	resp, f := w.client.DoOnce(r)
	if f == nil {
		f = w.embeddedFailure(resp)
	}

	if f != nil {
		f.Fault.Param = failedReferenceParam(sub, f)
		return "", f
	}

	p, err := readPrediction(resp.Body)
	if err != nil {
		return "", w.client.TransientFailure(resp, err)
	}

	return provider.RemoteID(p.ID), nil
}

// embeddedFailure is the failure inside a response of status 200, or nil. The
// envelope's code takes precedence over the HTTP status.
func (w *wavespeed) embeddedFailure(resp provider.Response) *provider.Failure {
	errBody, own := readError(resp.Body)
	if !own {
		return nil
	}

	if n, err := strconv.Atoi(errBody.Code); err == nil && n >= 400 && n < 600 {
		resp.Status = n
	}

	return w.client.StatusFailure(resp)
}

func (w *wavespeed) notSent(err error) *provider.Failure {
	f := w.client.TransientFailure(provider.Response{}, err)
	f.Acceptance = provider.NotAccepted

	return f
}

// unsupported rejects a submission before it is sent, because the supplier's API
// has no parameter for a part of it: nothing is left out silently.
func unsupported(param, message string) *provider.Failure {
	f := provider.NewInvalidRequest(fault.CodeSupplierRejected, param, errors.New("the supplier's API has no parameter for a part of the submission"))
	f.Fault.Detail = message

	return f
}

var errNoURL = errors.New("a reference without a URL")

// failedReferenceParam returns the field of the reference that a failure is about:
// the one whose URL the supplier's message repeats, or the only one.
func failedReferenceParam(sub provider.Submission, f *provider.Failure) string {
	if f.Fault.Code != fault.CodeReferenceUnreachable && f.Fault.Code != fault.CodeReferenceInvalid {
		return ""
	}

	references := sub.References
	if sub.Audio != nil {
		references = append(references[:len(references):len(references)], *sub.Audio)
	}

	for _, ref := range references {
		if len(references) == 1 || strings.Contains(f.Err.Error(), ref.URL) {
			return ref.Param
		}
	}

	return ""
}

// newCreateRequest writes a submission as the supplier's request. The supplier
// names characters as we do: character1 is the first of the list.
func (w *wavespeed) newCreateRequest(sub provider.Submission) (createRequest, *provider.Failure) {
	flash := strings.HasSuffix(sub.Model, "-flash")
	switch {
	case sub.Mode != provider.R2V:
		return createRequest{}, unsupported("model", "This supplier makes videos from references only. Ask for another model.")
	case sub.Watermark != nil:
		return createRequest{}, unsupported("watermark", "This supplier has no watermark setting. Leave it out.")
	case !flash && !sub.Sound:
		return createRequest{}, unsupported("model", "This supplier's model always makes sound. Ask for a flash model to get a silent video.")
	}

	c := createRequest{
		Prompt:          sub.Prompt,
		NegativePrompt:  sub.NegativePrompt,
		Size:            sub.Size,
		Duration:        sub.Seconds,
		ShotType:        sub.ShotType,
		PromptExpansion: sub.PromptExpansion,
	}
	if flash {
		c.EnableAudio = &sub.Sound
	}

	if sub.Seed >= 0 {
		c.Seed = &sub.Seed
	}

	if sub.Audio != nil {
		if sub.Audio.URL == "" {
			return c, provider.NewInvalidRequest(fault.CodeReferenceUnreachable, sub.Audio.Param, errNoURL)
		}

		c.Audio = sub.Audio.URL
	}

	field := w.referencesField
	if field == "" {
		field = map[bool]string{true: "reference_files", false: "videos"}[flash]
	}

	list := map[string]*[]string{
		"reference_files": &c.ReferenceFiles,
		"reference_urls":  &c.ReferenceURLs,
		"videos":          &c.Videos,
	}[field]

	for _, ref := range sub.References {
		switch {
		case ref.URL == "":
			return c, provider.NewInvalidRequest(fault.CodeReferenceUnreachable, ref.Param, errNoURL)
		case field == "videos" && ref.Kind == "image":
			return c, unsupported(ref.Param, "This supplier's model accepts only videos as references. Ask for a flash model to use pictures.")
		}

		*list = append(*list, ref.URL)
	}

	return c, nil
}
