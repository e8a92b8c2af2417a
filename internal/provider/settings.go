package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Settings is what a provider understands of Options.Settings: words, each with
// what reads it, and times that are written like "30s".
type Settings struct {
	Kind  string // the provider's name
	Words map[string]func(value string) error
	Times map[string]*time.Duration
}

// Read reads what is given. The error names the setting; of one that does not exist
// it lists those that do.
func (s Settings) Read(given map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		word := s.Words[name]

		span := s.Times[name]
		switch {
		case word != nil:
			if err := word(value); err != nil {
				return fmt.Errorf("setting %s %q: %w", name, value, err)
			}
		case span != nil:
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return fmt.Errorf("setting %s %q: want a duration like 30s", name, value)
			}

			*span = d
		default:
			known := slices.Sorted(maps.Keys(s.Words))
			return fmt.Errorf("setting %q is not one of %s's: %s", name, s.Kind, strings.Join(append(known, slices.Sorted(maps.Keys(s.Times))...), ", "))
		}
	}

	return nil
}

// Word reads any text.
func Word(into *string) func(string) error {
	return func(value string) error { *into = value; return nil }
}

// Path reads the path of an API.
func Path(into *string) func(string) error {
	return func(value string) error {
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("want a path that begins with /")
		}

		*into = strings.TrimSuffix(value, "/")

		return nil
	}
}

// OneOf reads one of some words.
func OneOf(into *string, words ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}

		*into = value

		return nil
	}
}
