package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Settings describes the keys that a provider accepts in Options.Settings: words
// with a parser each, and durations, which are written like "30s".
type Settings struct {
	Driver    string // the provider's name
	Parsers   map[string]func(value string) error
	Durations map[string]*time.Duration
}

// Parse reads the given settings. The error names the setting; for an unknown one
// it lists those that exist.
func (s Settings) Parse(values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		parse := s.Parsers[name]

		target := s.Durations[name]
		switch {
		case parse != nil:
			if err := parse(value); err != nil {
				return fmt.Errorf("setting %s %q: %w", name, value, err)
			}
		case target != nil:
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return fmt.Errorf("setting %s %q: want a duration like 30s", name, value)
			}

			*target = d
		default:
			known := slices.Sorted(maps.Keys(s.Parsers))
			return fmt.Errorf("%s has no setting %q; it has %s", s.Driver, name, strings.Join(append(known, slices.Sorted(maps.Keys(s.Durations))...), ", "))
		}
	}

	return nil
}

// StringVar returns a parser that accepts any text.
func StringVar(target *string) func(string) error {
	return func(value string) error { *target = value; return nil }
}

// PathVar returns a parser for the path of an API.
func PathVar(target *string) func(string) error {
	return func(value string) error {
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("want a path that begins with /")
		}

		*target = strings.TrimSuffix(value, "/")

		return nil
	}
}

// OneOfVar returns a parser that accepts one of the allowed words.
func OneOfVar(target *string, allowed ...string) func(string) error {
	return func(value string) error {
		if !slices.Contains(allowed, value) {
			return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
		}

		*target = value

		return nil
	}
}
