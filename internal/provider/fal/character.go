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

// characterPattern matches a reference's name in our prompts: character1 is the
// first.
var characterPattern = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// sortedReferences holds a submission's references as the supplier wants them, in
// two lists, and their names in the prompt: names[0] replaces character1.
type sortedReferences struct {
	videos, images []string
	names          []string
}

// sortReferences sorts a submission's references. Flash counts videos first, then
// pictures, and calls them Character1, Character2, ...; the other model takes
// videos only and calls them @Video1, @Video2, ... (the models' own pages).
func sortReferences(sub provider.Submission, flash bool) (sortedReferences, *provider.Failure) {
	var s sortedReferences

	videos := 0
	kinds := make([]string, len(sub.References))

	for i, ref := range sub.References {
		if kinds[i] = referenceKind(ref); kinds[i] == "video" {
			videos++
		}
	}

	for i, ref := range sub.References {
		switch {
		case ref.URL == "":
			return s, provider.NewInvalidRequest(fault.CodeReferenceUnreachable, ref.Param, errNoURL)
		case kinds[i] == "":
			return s, unsupported(ref.Param, "This supplier needs to know whether this reference is a picture or a video. State its type.")
		case kinds[i] == "video":
			s.videos = append(s.videos, ref.URL)

			format := "@Video%d"
			if flash {
				format = "Character%d"
			}

			s.names = append(s.names, fmt.Sprintf(format, len(s.videos)))
		case !flash:
			return s, unsupported(ref.Param, "This supplier's model accepts only videos as references. Ask for a flash model to use pictures.")
		default:
			s.images = append(s.images, ref.URL)
			s.names = append(s.names, fmt.Sprintf("Character%d", videos+len(s.images)))
		}
	}

	return s, nil
}

// referenceKind is "image" or "video". A reference that was not inspected
// (references_check: trust) is judged by the extension of its URL; "" when that
// says nothing.
func referenceKind(ref provider.Reference) string {
	if ref.Kind != "" {
		return ref.Kind
	}

	if u, err := url.Parse(ref.URL); err == nil {
		if kind, _, _ := strings.Cut(provider.MediaTypeByName(u.Path), "/"); kind == "image" || kind == "video" {
			return kind
		}
	}

	return ""
}

// renameCharacters renames a prompt's characters to the supplier's names. A number
// without a reference stays as it is.
func (s sortedReferences) renameCharacters(prompt string) string {
	return characterPattern.ReplaceAllStringFunc(prompt, func(name string) string {
		n, err := strconv.Atoi(characterPattern.FindStringSubmatch(name)[1])
		if err != nil || n < 1 || n > len(s.names) {
			return name
		}

		return s.names[n-1]
	})
}
