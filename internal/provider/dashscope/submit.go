package dashscope

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Submit creates a task at the supplier ("create task"). The API has no
// idempotency key: when the outcome is not known, the failure's acceptance is
// unknown.
func (d *dashscope) Submit(ctx context.Context, sub provider.Submission) (provider.RemoteID, error) {
	ctx, cancel := context.WithTimeout(ctx, d.submitTimeout)
	defer cancel()

	request, f := newCreateRequest(sub)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(request)
	if err != nil {
		return "", notAccepted(d.transientFailure(provider.Response{}, err))
	}

	r, err := d.request(ctx, http.MethodPost, d.createPath, body)
	if err != nil {
		return "", notAccepted(d.transientFailure(provider.Response{}, err))
	}

	r.Header.Set("X-DashScope-Async", "enable")

	if usesOSS(request.Input) {
		r.Header.Set("X-DashScope-OssResourceResolve", "enable")
	}

	response, f := d.client.DoOnce(r)
	if f != nil {
		f.Fault.Param = failedReferenceParam(sub, f)
		return "", f
	}

	taskResp, err := readTaskResponse(response.Body)
	if err != nil {
		return "", d.transientFailure(response, err)
	}

	return provider.RemoteID(taskResp.Output.TaskID), nil
}

func notAccepted(f *provider.Failure) *provider.Failure {
	f.Acceptance = provider.NotAccepted
	return f
}

// newCreateRequest writes a submission as the supplier's request.
func newCreateRequest(sub provider.Submission) (createRequest, *provider.Failure) {
	if f := checkComplete(sub); f != nil {
		return createRequest{}, f
	}

	c := createRequest{
		Model:      sub.Model,
		Input:      input{Prompt: sub.Prompt, NegativePrompt: sub.NegativePrompt},
		Parameters: parameters{Duration: sub.Seconds, PromptExtend: sub.PromptExpansion, Watermark: sub.Watermark},
	}
	if sub.Seed >= 0 {
		c.Parameters.Seed = &sub.Seed
	}

	if s := requestFormatOf(sub.Model); s.mediaList {
		s.fillMediaList(&c, sub)
	} else {
		fillWan26(&c, sub)
	}

	return c, nil
}

// checkComplete rejects a submission for which no body can be made.
func checkComplete(sub provider.Submission) *provider.Failure {
	for _, ref := range sub.References {
		if ref.URL == "" {
			return referenceWithoutURL(ref)
		}
	}

	if sub.Audio != nil && sub.Audio.URL == "" {
		return referenceWithoutURL(*sub.Audio)
	}

	if sub.Mode == provider.I2V && len(sub.References) != 1 {
		return &provider.Failure{
			Acceptance: provider.NotAccepted,
			Class:      provider.InvalidRequest,
			Err:        errors.New("an I2V submission without exactly one picture"),
			Fault:      fault.New(fault.CodeSupplierRejected, "image", "A video from a picture needs exactly one picture. Send one."),
		}
	}

	return nil
}

// fillWan26 writes a submission in the format of the Wan 2.6 models.
func fillWan26(c *createRequest, sub provider.Submission) {
	c.Parameters.ShotType = sub.ShotType
	if strings.Contains(sub.Model, "-flash") {
		c.Parameters.Audio = &sub.Sound
	}

	if sub.Audio != nil {
		c.Input.AudioURL = sub.Audio.URL
	}

	if sub.Mode == provider.I2V {
		c.Input.ImageURL = sub.References[0].URL
		c.Parameters.Resolution = resolutionTier(sub.Width, sub.Height)

		return
	}

	c.Parameters.Size = sub.Size
	for _, ref := range sub.References {
		c.Input.ReferenceURLs = append(c.Input.ReferenceURLs, ref.URL)
	}
}

// referenceWithoutURL rejects a reference that is neither public nor uploaded.
func referenceWithoutURL(ref provider.Reference) *provider.Failure {
	return &provider.Failure{
		Acceptance: provider.NotAccepted,
		Class:      provider.InvalidRequest,
		Err:        errors.New("a reference without a URL"),
		Fault:      fault.New(fault.CodeReferenceUnreachable, ref.Param, "This reference could not be passed to the supplier. Upload it with POST /v1/files, or use a public URL."),
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
		if strings.Contains(f.Err.Error(), ref.URL) {
			return ref.Param
		}
	}

	if len(references) == 1 {
		return references[0].Param
	}

	return ""
}
