package config

import (
	"fmt"
	"slices"
	"strings"
)

// nearEnough is how many letters a mistyped name may differ in: what differs in more
// is somebody's own.
const nearEnough = 2

// Mistyped looks through an environment ("NAME=value") for variables that read like
// a knob's and are none, and says of each what it may have been meant to be. others
// are names that have a meaning elsewhere.
func Mistyped(environ []string, others ...string) ([]string, error) {
	list, err := knobs()
	if err != nil {
		return nil, err
	}

	var names []string
	for _, knob := range list {
		names = append(names, knob.Envs...)
	}

	var said []string

	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "UNIREEL_") || slices.Contains(names, name) || slices.Contains(others, name) {
			continue
		}

		if near := nearest(name, names); distance(name, near) <= nearEnough {
			said = append(said, fmt.Sprintf("%s is set, but is no setting; did you mean %s?", name, near))
		}
	}

	slices.Sort(said)

	return said, nil
}
