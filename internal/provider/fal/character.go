package fal

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// character is how our prompts name a reference: character1 is the first.
var character = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// sorted are an order's references as the supplier wants them, in two lists, and
// what each becomes in the prompt: names[0] is what character1 becomes.
type sorted struct {
	videos, images []string
	names          []string
}

// sortReferences sorts an order's references. Flash counts videos first, then
// pictures, and calls them Character1, Character2, ...; the other model takes
// videos alone and calls them @Video1, @Video2, ... (the models' own pages).
func sortReferences(o provider.Order, flash bool) (sorted, *provider.Failure) {
	var s sorted

	videos := 0

	kinds := make([]string, len(o.References))
	for i, ref := range o.References {
		if kinds[i] = kindOf(ref); kinds[i] == "video" {
			videos++
		}
	}

	for i, ref := range o.References {
		switch {
		case ref.URL == "":
			return s, provider.Unsent(fault.CodeUnreachable, ref.Param, errNowhere)
		case kinds[i] == "":
			return s, impossible(ref.Param, "This supplier has to be told whether this reference is a picture or a video. Say its type.")
		case kinds[i] == "video":
			s.videos = append(s.videos, ref.URL)

			form := "@Video%d"
			if flash {
				form = "Character%d"
			}

			s.names = append(s.names, fmt.Sprintf(form, len(s.videos)))
		case !flash:
			return s, impossible(ref.Param, "This supplier's model takes videos as references only. Ask for a flash model to use pictures.")
		default:
			s.images = append(s.images, ref.URL)
			s.names = append(s.names, fmt.Sprintf("Character%d", videos+len(s.images)))
		}
	}

	return s, nil
}

// kindOf is whether a reference is a picture or a video; one that was not looked
// into (references_check: trust) tells by its ending, or not at all: "".
func kindOf(ref provider.Reference) string {
	if ref.Kind != "" {
		return ref.Kind
	}

	if u, err := url.Parse(ref.URL); err == nil {
		if kind, _, _ := strings.Cut(provider.TypeOf(u.Path), "/"); kind == "image" || kind == "video" {
			return kind
		}
	}

	return ""
}

// prompt writes a prompt's characters as the supplier calls them. A character
// that there is no reference for stays as it is.
func (s sorted) prompt(ours string) string {
	return character.ReplaceAllStringFunc(ours, func(name string) string {
		n, err := strconv.Atoi(character.FindStringSubmatch(name)[1])
		if err != nil || n < 1 || n > len(s.names) {
			return name
		}

		return s.names[n-1]
	})
}
