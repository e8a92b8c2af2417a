package uniall

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Submit creates a task ("create video task"). When the outcome is not known, the
// failure's acceptance is unknown.
func (u *uniall) Submit(ctx context.Context, sub provider.Submission) (provider.RemoteID, error) {
	ctx, cancel := context.WithTimeout(ctx, u.submitTimeout)
	defer cancel()

	c, f := newCreateRequest(sub)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(c)
	if err != nil {
		return "", u.notSent(err)
	}

	r, err := u.client.NewRequest(ctx, http.MethodPost, u.createPath, bytes.NewReader(body))
	if err != nil {
		return "", u.notSent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	resp, f := u.client.DoOnce(r)
	if f != nil {
		f.Fault.Param = customerParam(sub, f.Fault.Param)
		return "", f
	}

	v, err := readVideo(resp.Body)
	if err != nil {
		return "", u.client.TransientFailure(resp, err)
	}

	return provider.RemoteID(v.remoteID()), nil
}

func (u *uniall) notSent(err error) *provider.Failure {
	f := u.client.TransientFailure(provider.Response{}, err)
	f.Acceptance = provider.NotAccepted

	return f
}

// newCreateRequest writes a submission as the gateway's request.
func newCreateRequest(sub provider.Submission) (createRequest, *provider.Failure) {
	c := createRequest{
		Model:    sub.Model,
		Prompt:   sub.Prompt,
		Size:     sub.Size,
		Duration: sub.Seconds,
		ExtraBody: extraBody{
			NegativePrompt:  sub.NegativePrompt,
			ShotType:        sub.ShotType,
			PromptExpansion: sub.PromptExpansion,
			Watermark:       sub.Watermark,
			Seed:            sub.Seed,
		},
	}
	for _, ref := range sub.References {
		if ref.URL == "" {
			return c, provider.NewInvalidRequest(fault.CodeReferenceUnreachable, ref.Param, errNoURL)
		}
	}

	if sub.Audio != nil {
		if sub.Audio.URL == "" {
			return c, provider.NewInvalidRequest(fault.CodeReferenceUnreachable, sub.Audio.Param, errNoURL)
		}

		c.ExtraBody.Audio = sub.Audio.URL
	}

	if sub.Mode == provider.I2V {
		if len(sub.References) != 1 {
			f := provider.NewInvalidRequest(fault.CodeSupplierRejected, "image", errors.New("an I2V submission without exactly one picture"))
			f.Fault.Detail = "A video from a picture needs exactly one picture. Send one."

			return c, f
		}

		c.Image = sub.References[0].URL
		c.Size = "" // the picture's aspect ratio decides it

		return c, nil
	}

	order := characterOrder(sub.References)
	for _, index := range order {
		ref := sub.References[index]
		if ref.Kind == "video" {
			c.Videos = append(c.Videos, ref.URL)
		} else {
			c.Images = append(c.Images, ref.URL)
		}
	}

	c.Prompt = renumberCharacters(sub.Prompt, order)

	return c, nil
}

var errNoURL = errors.New("a reference without a URL")

// characterOrder returns the order in which the gateway numbers references: videos
// first, then pictures.
func characterOrder(refs []provider.Reference) []int {
	order := make([]int, len(refs))
	for i := range refs {
		order[i] = i
	}

	slices.SortStableFunc(order, func(a, b int) int { return kindOrder(refs[a]) - kindOrder(refs[b]) })

	return order
}

func kindOrder(ref provider.Reference) int {
	if ref.Kind == "video" {
		return 0
	}

	return 1
}

var characterPattern = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// renumberCharacters makes every characterN name the same reference in the
// gateway's order.
func renumberCharacters(prompt string, order []int) string {
	return characterPattern.ReplaceAllStringFunc(prompt, func(match string) string {
		word := strings.TrimRight(match, "0123456789")
		n, err := strconv.Atoi(match[len(word):])

		at := slices.Index(order, n-1)
		if err != nil || at < 0 {
			return match
		}

		return word + strconv.Itoa(at+1)
	})
}

// customerParam returns the customer's field for one of the gateway's; "" when it
// is not known.
func customerParam(sub provider.Submission, gatewayParam string) string {
	gatewayParam = strings.TrimPrefix(gatewayParam, "extra_body.")
	switch gatewayParam {
	case "prompt", "size", "duration", "seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return gatewayParam
	case "audio":
		if sub.Audio != nil {
			return sub.Audio.Param
		}
	case "image":
		if len(sub.References) == 1 {
			return sub.References[0].Param
		}
	}

	return referenceParam(sub, gatewayParam)
}

// referenceParam finds the reference for the gateway's "videos[0]" or "images[1]".
func referenceParam(sub provider.Submission, gatewayParam string) string {
	list, rest, ok := strings.Cut(gatewayParam, "[")

	n, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if !ok || err != nil || list != "videos" && list != "images" {
		return ""
	}

	for _, ref := range sub.References {
		if (list == "videos") != (ref.Kind == "video") {
			continue
		}

		if n == 0 {
			return ref.Param
		}

		n--
	}

	return ""
}
