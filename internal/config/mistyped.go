package config

import (
	"fmt"
	"slices"
	"strings"
)

// maxTypoDistance is the largest number of letters in which a mistyped name differs from
// the name that was meant. A name that differs more belongs to another program.
const maxTypoDistance = 2

// MistypedEnv looks through an environment ("NAME=value") for variables that resemble
// those of an option but are none. It returns a warning for each, with the name that was
// probably meant. others are names that have a meaning elsewhere.
func MistypedEnv(environ []string, others ...string) ([]string, error) {
	list, err := allOptions()
	if err != nil {
		return nil, err
	}

	var names []string
	for _, option := range list {
		names = append(names, option.Envs...)
	}

	var warnings []string

	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "UNIREEL_") || slices.Contains(names, name) || slices.Contains(others, name) {
			continue
		}

		if suggestion := closestName(name, names); editDistance(name, suggestion) <= maxTypoDistance {
			warnings = append(warnings, fmt.Sprintf("%s is set, but is not an option; did you mean %s?", name, suggestion))
		}
	}

	slices.Sort(warnings)

	return warnings, nil
}
