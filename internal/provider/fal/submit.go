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

// Submit puts a request into the supplier's queue. The API has no idempotency key:
// when the outcome is not known, the failure's acceptance is unknown.
func (f *fal) Submit(ctx context.Context, sub provider.Submission) (provider.RemoteID, error) {
	ctx, cancel := context.WithTimeout(ctx, f.submitTimeout)
	defer cancel()

	request, failure := newCreateRequest(sub)
	if failure != nil {
		return "", failure
	}

	body, err := provider.EncodeJSON(request)
	if err != nil {
		return "", f.notSent(err)
	}

	r, err := f.client.NewRequest(ctx, http.MethodPost, "/"+sub.Model, bytes.NewReader(body))
	if err != nil {
		return "", f.notSent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	resp, failure := f.client.DoOnce(r)
	if failure != nil {
		errBody, _ := readError(resp.Body)
		failure.Fault.Param = failedReferenceParam(sub, failure, errBody.Param)

		return "", failure
	}

	q, err := readCreateResponse(resp.Body)
	if err != nil {
		return "", f.client.TransientFailure(resp, err)
	}

	if resp.RequestID == "" {
		resp.RequestID = f.client.Sanitize(string(q.ID))
	}

	remoteID, err := f.remoteIDOf(q)
	if err != nil {
		return "", f.client.TransientFailure(resp, err)
	}

	return remoteID, nil
}

func (f *fal) notSent(err error) *provider.Failure {
	failure := f.client.TransientFailure(provider.Response{}, err)
	failure.Acceptance = provider.NotAccepted

	return failure
}

// unsupported rejects a submission before it is sent, because the supplier's API
// has no parameter for a part of it: nothing is left out silently.
func unsupported(param, message string) *provider.Failure {
	failure := provider.NewInvalidRequest(fault.CodeSupplierRejected, param, errors.New("the supplier's API has no parameter for a part of the submission"))
	failure.Fault.Detail = message

	return failure
}

var errNoURL = errors.New("a reference without a URL")

// failedReferenceParam returns the field of the reference that a failure is about:
// the one in the supplier's "body.image_urls.1", or the only one.
func failedReferenceParam(sub provider.Submission, failure *provider.Failure, location string) string {
	if failure.Fault.Code != fault.CodeReferenceUnreachable && failure.Fault.Code != fault.CodeReferenceInvalid {
		return ""
	}

	seen := map[string]int{}

	for _, ref := range sub.References {
		kind := referenceKind(ref)
		if location == fmt.Sprintf("body.%s_urls.%d", kind, seen[kind]) || len(sub.References) == 1 {
			return ref.Param
		}

		seen[kind]++
	}

	return ""
}

// sizeParameters are the supplier's sizes by aspect ratio and resolution.
var sizeParameters = map[string][2]string{
	"1280*720": {"16:9", "720p"}, "720*1280": {"9:16", "720p"}, "960*960": {"1:1", "720p"}, "1088*832": {"4:3", "720p"}, "832*1088": {"3:4", "720p"},
	"1920*1080": {"16:9", "1080p"}, "1080*1920": {"9:16", "1080p"}, "1440*1440": {"1:1", "1080p"}, "1632*1248": {"4:3", "1080p"}, "1248*1632": {"3:4", "1080p"},
}

// newCreateRequest writes a submission as the supplier's request.
func newCreateRequest(sub provider.Submission) (createRequest, *provider.Failure) {
	flash := strings.HasSuffix(sub.Model, "/flash")

	parameters, known := sizeParameters[sub.Size]
	switch {
	case sub.Mode != provider.R2V:
		return createRequest{}, unsupported("model", "This supplier makes videos from references only. Ask for another model.")
	case !known:
		return createRequest{}, unsupported("size", "This supplier does not make videos of this size. Choose another of the model's sizes.")
	case sub.Audio != nil:
		return createRequest{}, unsupported(sub.Audio.Param, "This supplier does not support guide audio. Leave it out.")
	case sub.Watermark != nil:
		return createRequest{}, unsupported("watermark", "This supplier has no watermark setting. Leave it out.")
	case !flash && !sub.Sound:
		return createRequest{}, unsupported("model", "This supplier's model always makes sound. Ask for a flash model to get a silent video.")
	}

	refs, failure := sortReferences(sub, flash)
	if failure != nil {
		return createRequest{}, failure
	}

	c := createRequest{
		Prompt:          refs.renameCharacters(sub.Prompt),
		VideoURLs:       refs.videos,
		ImageURLs:       refs.images,
		AspectRatio:     parameters[0],
		Resolution:      parameters[1],
		Duration:        strconv.Itoa(sub.Seconds),
		NegativePrompt:  sub.NegativePrompt,
		PromptExpansion: sub.PromptExpansion,
		MultiShots:      sub.ShotType == "multi",
	}
	if flash {
		c.EnableAudio = &sub.Sound
	}

	if sub.Seed >= 0 {
		c.Seed = &sub.Seed
	}

	return c, nil
}
