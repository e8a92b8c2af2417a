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

// Submit creates a task ("create video task"). What cannot be known to have
// failed is Unsure.
func (u *uniall) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, u.submitTimeout)
	defer cancel()

	c, f := creationOf(o)
	if f != nil {
		return "", f
	}

	body, err := provider.EncodeJSON(c)
	if err != nil {
		return "", u.unsent(err)
	}

	r, err := u.talk.Request(ctx, http.MethodPost, u.createPath, bytes.NewReader(body))
	if err != nil {
		return "", u.unsent(err)
	}

	r.Header.Set("Content-Type", "application/json")

	a, f := u.talk.Order(r)
	if f != nil {
		f.Fault.Param = paramOf(o, f.Fault.Param)
		return "", f
	}

	v, err := readVideo(a.Body)
	if err != nil {
		return "", u.talk.Broken(a, err)
	}

	return provider.Ticket(v.ticket()), nil
}

func (u *uniall) unsent(err error) *provider.Failure {
	f := u.talk.Broken(provider.Answer{}, err)
	f.Taken = provider.NotTaken

	return f
}

// creationOf says an order in the gateway's words.
func creationOf(o provider.Order) (creation, *provider.Failure) {
	c := creation{
		Model: o.Model, Prompt: o.Prompt, Size: o.Size, Duration: o.Seconds,
		Extra: extra{
			NegativePrompt: o.NegativePrompt, ShotType: o.ShotType, PromptExpansion: o.PromptExpansion, Watermark: o.Watermark, Seed: o.Seed,
		},
	}
	for _, ref := range o.References {
		if ref.URL == "" {
			return c, provider.Unsent(fault.CodeUnreachable, ref.Param, errNowhere)
		}
	}

	if o.Audio != nil {
		if o.Audio.URL == "" {
			return c, provider.Unsent(fault.CodeUnreachable, o.Audio.Param, errNowhere)
		}

		c.Extra.Audio = o.Audio.URL
	}

	if o.Mode == provider.I2V {
		if len(o.References) != 1 {
			f := provider.Unsent(fault.CodeRefused, "image", errors.New("an I2V order without exactly one picture"))
			f.Fault.Detail = "A video from a picture wants exactly one picture. Send one."

			return c, f
		}

		c.Image = o.References[0].URL
		c.Size = "" // the picture's shape decides it

		return c, nil
	}

	order := charactersOf(o.References)
	for _, at := range order {
		ref := o.References[at]
		if ref.Kind == "video" {
			c.Videos = append(c.Videos, ref.URL)
		} else {
			c.Images = append(c.Images, ref.URL)
		}
	}

	c.Prompt = renumber(o.Prompt, order)

	return c, nil
}

var errNowhere = errors.New("a reference without an address")

// charactersOf is the order in which the gateway numbers references: videos
// first, then pictures.
func charactersOf(refs []provider.Reference) []int {
	order := make([]int, len(refs))
	for i := range refs {
		order[i] = i
	}

	slices.SortStableFunc(order, func(a, b int) int { return rank(refs[a]) - rank(refs[b]) })

	return order
}

func rank(ref provider.Reference) int {
	if ref.Kind == "video" {
		return 0
	}

	return 1
}

var character = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// renumber has every characterN name the same reference in the gateway's order.
func renumber(prompt string, order []int) string {
	return character.ReplaceAllStringFunc(prompt, func(found string) string {
		word := strings.TrimRight(found, "0123456789")
		n, err := strconv.Atoi(found[len(word):])

		at := slices.Index(order, n-1)
		if err != nil || at < 0 {
			return found
		}

		return word + strconv.Itoa(at+1)
	})
}

// paramOf is the customer's field for one of the gateway's; "" where there is no
// telling.
func paramOf(o provider.Order, theirs string) string {
	theirs = strings.TrimPrefix(theirs, "extra_body.")
	switch theirs {
	case "prompt", "size", "duration", "seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return theirs
	case "audio":
		if o.Audio != nil {
			return o.Audio.Param
		}
	case "image":
		if len(o.References) == 1 {
			return o.References[0].Param
		}
	}

	return referenceOf(o, theirs)
}

// referenceOf finds the reference behind the gateway's "videos[0]" or "images[1]".
func referenceOf(o provider.Order, theirs string) string {
	list, rest, ok := strings.Cut(theirs, "[")

	n, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if !ok || err != nil || list != "videos" && list != "images" {
		return ""
	}

	for _, ref := range o.References {
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
