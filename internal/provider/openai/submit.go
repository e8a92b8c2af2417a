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
	errPictures = errors.New("an I2V order without exactly one picture")
	errNowhere  = errors.New("a reference without an address and without bytes")
	errLarge    = errors.New("a reference too large for a JSON body")
)

// maxInline bounds what goes into a JSON body as a data URI, in bytes: OpenAI
// takes 20 MiB of text for each.
const maxInline = 15 << 20

// Submit creates a video ("create video"). There is no key for repeating it: what
// cannot be known to have failed is Unsure.
func (p *openai) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, p.submitTimeout)
	defer cancel()

	if o.Mode == provider.I2V && len(o.References) != 1 {
		return "", noPicture()
	}

	r, f := p.creation(ctx, o)
	if f != nil {
		f.Taken = provider.NotTaken
		return "", f
	}

	a, f := p.talk.Order(r)
	if f != nil {
		f.Fault.Param = paramOf(o, f.Fault.Param)
		return "", f
	}

	v, err := readVideo(a.Body)
	if err != nil {
		return "", p.talk.Broken(a, err)
	}

	return provider.Ticket(v.ID), nil
}

// creation says an order in the server's words.
func (p *openai) creation(ctx context.Context, o provider.Order) (*http.Request, *provider.Failure) {
	say := p.form
	if p.json {
		say = p.object
	}

	body, length, kind, f := say(ctx, o)
	if f != nil {
		return nil, f
	}

	r, err := p.talk.Request(ctx, http.MethodPost, p.videosPath, body)
	if err != nil {
		_ = body.Close() // files that were only read
		return nil, p.talk.Broken(provider.Answer{}, err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", kind)

	return r, nil
}

// field is one field of an order that is no file.
type field struct {
	name  string
	value any // string, int64 or bool
}

// fieldsOf are the fields of an order, in their order: OpenAI's own, then those
// that other servers have beside them and the operator's.
func (p *openai) fieldsOf(o provider.Order) []field {
	list := []field{
		{"model", o.Model},
		{"prompt", o.Prompt},
		{"seconds", strconv.Itoa(o.Seconds)}, // a string in OpenAI's API
		{"size", strings.ReplaceAll(o.Size, "*", "x")},
	}
	if o.Seed >= 0 {
		list = append(list, field{"seed", o.Seed})
	}

	if o.NegativePrompt != "" {
		list = append(list, field{"negative_prompt", o.NegativePrompt})
	}

	if o.ShotType == "multi" { // one shot is what every server makes
		list = append(list, field{"shot_type", o.ShotType})
	}

	if o.PromptExpansion != nil {
		list = append(list, field{"enable_prompt_expansion", *o.PromptExpansion})
	}

	if o.Watermark != nil {
		list = append(list, field{"watermark", *o.Watermark})
	}

	for _, name := range slices.Sorted(maps.Keys(p.fields)) {
		list = append(list, field{name, p.fields[name]})
	}

	return list
}

// literal is what an operator's field is in a JSON body: 16 is a number there,
// true a boolean.
func literal(value string) any {
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}

	return value
}

// form is the order as multipart/form-data: references are files, read as they
// go out. Every file is open before the first byte goes.
func (p *openai) form(ctx context.Context, o provider.Order) (io.ReadCloser, int64, string, *provider.Failure) {
	form := &provider.Form{}
	for _, f := range p.fieldsOf(o) {
		form.Field(f.name, fmt.Sprint(f.value))
	}

	for _, ref := range o.References {
		if f := p.attach(ctx, form, ref); f != nil {
			_ = form.Close() // files that were only read
			return nil, 0, "", f
		}
	}

	if o.Audio != nil {
		address, f := p.inline(ctx, *o.Audio)
		if f != nil {
			_ = form.Close()
			return nil, 0, "", f
		}

		form.Field("audio_reference", audioReference(address))
	}

	body, length, kind, err := form.Body()
	if err != nil {
		_ = form.Close()
		return nil, 0, "", p.talk.Broken(provider.Answer{}, err)
	}

	return body, length, kind, nil
}

// attach puts a reference into the form: our own bytes, else its address.
func (p *openai) attach(ctx context.Context, form *provider.Form, ref provider.Reference) *provider.Failure {
	if ref.URL != "" && (ref.Open == nil || p.asURL) {
		form.Field("reference_url", ref.URL)
		return nil
	}

	if ref.Open == nil {
		return provider.Unsent(fault.CodeUnreachable, ref.Param, errNowhere)
	}

	file, err := ref.Open(ctx)
	if err != nil {
		return p.talk.Broken(provider.Answer{}, fmt.Errorf("open %s: %w", ref.Param, err))
	}

	size := ref.Bytes
	if size <= 0 {
		size = -1
	}

	form.File("input_reference", ref.Name, ref.Type, size, file)

	return nil
}

// audioReference is the guide audio as vLLM-Omni's speech-to-video takes it.
func audioReference(address string) string {
	b, err := provider.EncodeJSON(map[string]string{"audio_url": address})
	if err != nil {
		return "" // a map of strings encodes
	}

	return string(b)
}

// object is the order as a JSON object.
func (p *openai) object(ctx context.Context, o provider.Order) (io.ReadCloser, int64, string, *provider.Failure) {
	body := map[string]any{}
	for _, f := range p.fieldsOf(o) {
		body[f.name] = f.value
	}

	for name, value := range p.fields {
		body[name] = literal(value)
	}

	var list []any

	for _, ref := range o.References {
		address, f := p.inline(ctx, ref)
		if f != nil {
			return nil, 0, "", f
		}

		if p.asURL {
			list = append(list, address)
		} else {
			list = append(list, map[string]string{"image_url": address})
		}
	}

	field := "input_reference"
	if p.asURL {
		field = "reference_url"
	}

	switch len(list) {
	case 0:
	case 1:
		body[field] = list[0]
	default:
		body[field] = list
	}

	if o.Audio != nil {
		address, f := p.inline(ctx, *o.Audio)
		if f != nil {
			return nil, 0, "", f
		}

		body["audio_reference"] = map[string]string{"audio_url": address}
	}

	b, err := provider.EncodeJSON(body)
	if err != nil {
		return nil, 0, "", p.talk.Broken(provider.Answer{}, err)
	}

	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), "application/json", nil
}

// inline is a reference as text: its address where the public reads it, else our
// own bytes as a data URI.
func (p *openai) inline(ctx context.Context, ref provider.Reference) (string, *provider.Failure) {
	if ref.URL != "" {
		return ref.URL, nil
	}

	if ref.Open == nil {
		return "", provider.Unsent(fault.CodeUnreachable, ref.Param, errNowhere)
	}

	file, err := ref.Open(ctx)
	if err != nil {
		return "", p.talk.Broken(provider.Answer{}, fmt.Errorf("open %s: %w", ref.Param, err))
	}
	defer file.Close()

	b, err := io.ReadAll(io.LimitReader(file, maxInline+1))
	if err != nil {
		return "", p.talk.Broken(provider.Answer{}, fmt.Errorf("read %s: %w", ref.Param, err))
	}

	if len(b) > maxInline {
		return "", provider.Unsent(fault.CodeBadReference, ref.Param, errLarge)
	}

	kind := ref.Type
	if kind == "" {
		kind = "application/octet-stream"
	}

	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b), nil
}

// paramOf is the customer's field for one of the server's; "" where there is no
// telling.
func paramOf(o provider.Order, theirs string) string {
	switch theirs {
	case "prompt", "size", "seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return theirs
	case "seconds":
		return "duration"
	case "audio_reference":
		if o.Audio != nil {
			return o.Audio.Param
		}
	case "input_reference", "reference_url", "image_reference", "video_reference":
		if len(o.References) == 1 {
			return o.References[0].Param
		}
	}

	return ""
}
