package openai

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

var (
	errPictureCount = errors.New("an I2V submission without exactly one picture")
	errNoSource     = errors.New("a reference without a URL and without bytes")
	errTooLarge     = errors.New("a reference too large for a JSON body")
)

// maxInline is the largest reference that goes into a JSON body as a data URI, in
// bytes: OpenAI accepts 20 MiB of text for each.
const maxInline = 15 << 20

// Submit creates a video ("create video"). The API has no idempotency key: when
// the outcome is not known, the failure's acceptance is unknown.
func (p *openai) Submit(ctx context.Context, sub provider.Submission) (provider.RemoteID, error) {
	ctx, cancel := context.WithTimeout(ctx, p.submitTimeout)
	defer cancel()

	if sub.Mode == provider.I2V && len(sub.References) != 1 {
		return "", pictureRequired()
	}

	r, f := p.newCreateRequest(ctx, sub)
	if f != nil {
		f.Acceptance = provider.NotAccepted
		return "", f
	}

	resp, f := p.client.DoOnce(r)
	if f != nil {
		f.Fault.Param = customerParam(sub, f.Fault.Param)
		return "", f
	}

	v, err := readVideo(resp.Body)
	if err != nil {
		return "", p.client.TransientFailure(resp, err)
	}

	return provider.RemoteID(v.ID), nil
}

// newCreateRequest writes a submission as the server's request.
func (p *openai) newCreateRequest(ctx context.Context, sub provider.Submission) (*http.Request, *provider.Failure) {
	encode := p.encodeForm
	if p.jsonBody {
		encode = p.encodeJSON
	}

	body, length, contentType, f := encode(ctx, sub)
	if f != nil {
		return nil, f
	}

	r, err := p.client.NewRequest(ctx, http.MethodPost, p.videosPath, body)
	if err != nil {
		_ = body.Close() // nothing was written, so the error does not matter
		return nil, p.client.TransientFailure(provider.Response{}, err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)

	return r, nil
}

// field is one field of a submission that is not a file.
type field struct {
	name  string
	value any // string, int64 or bool
}

// fieldsOf returns the fields of a submission in order: OpenAI's own, then those
// that other servers add, then the operator's.
func (p *openai) fieldsOf(sub provider.Submission) []field {
	list := []field{
		{"model", sub.Model},
		{"prompt", sub.Prompt},
		{"seconds", strconv.Itoa(sub.Seconds)}, // a string in OpenAI's API
		{"size", strings.ReplaceAll(sub.Size, "*", "x")},
	}
	if sub.Seed >= 0 {
		list = append(list, field{"seed", sub.Seed})
	}

	if sub.NegativePrompt != "" {
		list = append(list, field{"negative_prompt", sub.NegativePrompt})
	}

	if sub.ShotType == "multi" { // every server makes a single shot by default
		list = append(list, field{"shot_type", sub.ShotType})
	}

	if sub.PromptExpansion != nil {
		list = append(list, field{"enable_prompt_expansion", *sub.PromptExpansion})
	}

	if sub.Watermark != nil {
		list = append(list, field{"watermark", *sub.Watermark})
	}

	for _, name := range slices.Sorted(maps.Keys(p.extraFields)) {
		list = append(list, field{name, p.extraFields[name]})
	}

	return list
}

// jsonLiteral is the value of an operator's field in a JSON body: 16 is a number
// there, true a boolean.
func jsonLiteral(value string) any {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}

	return value
}

// encodeForm writes the submission as multipart/form-data. References are files
// that are read while the form is sent. Every file is opened before the first byte
// is sent.
func (p *openai) encodeForm(ctx context.Context, sub provider.Submission) (io.ReadCloser, int64, string, *provider.Failure) {
	form := &provider.Form{}
	for _, f := range p.fieldsOf(sub) {
		form.AddField(f.name, fmt.Sprint(f.value))
	}

	for _, ref := range sub.References {
		if f := p.attachReference(ctx, form, ref); f != nil {
			_ = form.Close() // nothing was written, so the error does not matter
			return nil, 0, "", f
		}
	}

	if sub.Audio != nil {
		address, f := p.inlineReference(ctx, *sub.Audio)
		if f != nil {
			_ = form.Close()
			return nil, 0, "", f
		}

		form.AddField("audio_reference", audioReference(address))
	}

	body, length, contentType, err := form.Body()
	if err != nil {
		_ = form.Close()
		return nil, 0, "", p.client.TransientFailure(provider.Response{}, err)
	}

	return body, length, contentType, nil
}

// attachReference puts a reference into the form: our own copy, else its URL.
func (p *openai) attachReference(ctx context.Context, form *provider.Form, ref provider.Reference) *provider.Failure {
	if ref.URL != "" && (ref.Open == nil || p.referenceURL) {
		form.AddField("reference_url", ref.URL)
		return nil
	}

	if ref.Open == nil {
		return provider.NewInvalidRequest(fault.CodeReferenceUnreachable, ref.Param, errNoSource)
	}

	file, err := ref.Open(ctx)
	if err != nil {
		return p.client.TransientFailure(provider.Response{}, fmt.Errorf("open %s: %w", ref.Param, err))
	}

	size := ref.SizeBytes
	if size <= 0 {
		size = -1
	}

	form.AddFile("input_reference", ref.Name, ref.MediaType, size, file)

	return nil
}

// audioReference is the guide audio in the format of vLLM-Omni's speech-to-video.
func audioReference(address string) string {
	b, err := provider.EncodeJSON(map[string]string{"audio_url": address})
	if err != nil {
		return "" // encoding a map of strings cannot fail
	}

	return string(b)
}

// encodeJSON writes the submission as a JSON object.
func (p *openai) encodeJSON(ctx context.Context, sub provider.Submission) (io.ReadCloser, int64, string, *provider.Failure) {
	body := map[string]any{}
	for _, f := range p.fieldsOf(sub) {
		body[f.name] = f.value
	}

	for name, value := range p.extraFields {
		body[name] = jsonLiteral(value)
	}

	var list []any

	for _, ref := range sub.References {
		address, f := p.inlineReference(ctx, ref)
		if f != nil {
			return nil, 0, "", f
		}

		if p.referenceURL {
			list = append(list, address)
		} else {
			list = append(list, map[string]string{"image_url": address})
		}
	}

	field := "input_reference"
	if p.referenceURL {
		field = "reference_url"
	}

	switch len(list) {
	case 0:
	case 1:
		body[field] = list[0]
	default:
		body[field] = list
	}

	if sub.Audio != nil {
		address, f := p.inlineReference(ctx, *sub.Audio)
		if f != nil {
			return nil, 0, "", f
		}

		body["audio_reference"] = map[string]string{"audio_url": address}
	}

	b, err := provider.EncodeJSON(body)
	if err != nil {
		return nil, 0, "", p.client.TransientFailure(provider.Response{}, err)
	}

	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), "application/json", nil
}

// inlineReference returns a reference as text: its URL when it is public, else our
// own copy as a data URI.
func (p *openai) inlineReference(ctx context.Context, ref provider.Reference) (string, *provider.Failure) {
	if ref.URL != "" {
		return ref.URL, nil
	}

	if ref.Open == nil {
		return "", provider.NewInvalidRequest(fault.CodeReferenceUnreachable, ref.Param, errNoSource)
	}

	file, err := ref.Open(ctx)
	if err != nil {
		return "", p.client.TransientFailure(provider.Response{}, fmt.Errorf("open %s: %w", ref.Param, err))
	}
	defer file.Close()

	b, err := io.ReadAll(io.LimitReader(file, maxInline+1))
	if err != nil {
		return "", p.client.TransientFailure(provider.Response{}, fmt.Errorf("read %s: %w", ref.Param, err))
	}

	if len(b) > maxInline {
		return "", provider.NewInvalidRequest(fault.CodeReferenceInvalid, ref.Param, errTooLarge)
	}

	mediaType := ref.MediaType
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}

	return "data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString(b), nil
}

// customerParam returns the customer's field for one of the server's; "" when it
// is not known.
func customerParam(sub provider.Submission, serverParam string) string {
	switch serverParam {
	case "prompt", "size", "seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return serverParam
	case "seconds":
		return "duration"
	case "audio_reference":
		if sub.Audio != nil {
			return sub.Audio.Param
		}
	case "input_reference", "reference_url", "image_reference", "video_reference":
		if len(sub.References) == 1 {
			return sub.References[0].Param
		}
	}

	return ""
}
