package openai

import (
	"fmt"
	"strings"
	"time"
)

// settings are what Options.Settings may hold. Durations are written like "30s".
type settings struct {
	json       bool   // "body": json, or multipart (the default), which every server takes
	asURL      bool   // "reference": reference_url (SGLang's field, an address), or input_reference (the default)
	videosPath string // "videos_path"
	// fields go with every order: "field.fps: 16" is the field fps. They are for
	// what a server wants and no request says.
	fields         map[string]string
	submitTimeout  time.Duration // "submit_timeout": one Submit with its files, 80s
	queryTimeout   time.Duration // "query_timeout": one Poll or one call of a Cancel, 15s
	silenceTimeout time.Duration // "silence_timeout": how long Open waits for the next bytes, 60s
}

const known = "body, reference, videos_path, field.<name>, submit_timeout, query_timeout, silence_timeout"

func readSettings(given map[string]string) (settings, error) {
	s := settings{
		videosPath: "/v1/videos", fields: map[string]string{},
		submitTimeout: 80 * time.Second, queryTimeout: 15 * time.Second, silenceTimeout: 60 * time.Second,
	}
	for name, value := range given {
		if err := s.read(name, value); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *settings) read(name, value string) error {
	field, fixed := strings.CutPrefix(name, "field.")
	switch {
	case fixed:
		if !plainName(field) || ours(field) {
			return fmt.Errorf("setting %s: want field.<name> with the name of a field that no request decides", name)
		}
		s.fields[field] = value
	case name == "body":
		return choose(&s.json, name, value, "multipart", "json")
	case name == "reference":
		return choose(&s.asURL, name, value, "input_reference", "reference_url")
	case name == "videos_path":
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("setting %s %q: want a path that begins with /", name, value)
		}
		s.videosPath = strings.TrimSuffix(value, "/")
	default:
		return s.readTime(name, value)
	}
	return nil
}

func (s *settings) readTime(name, value string) error {
	span := map[string]*time.Duration{
		"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout, "silence_timeout": &s.silenceTimeout,
	}[name]
	if span == nil {
		return fmt.Errorf("setting %q is not one of openai's: %s", name, known)
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return fmt.Errorf("setting %s %q: want a duration like 30s", name, value)
	}
	*span = d
	return nil
}

// choose reads one of two words.
func choose(into *bool, name, value, no, yes string) error {
	if value != no && value != yes {
		return fmt.Errorf("setting %s %q: want %s or %s", name, value, no, yes)
	}
	*into = value == yes
	return nil
}

func plainName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	return name != "" && strings.Trim(name, letters) == ""
}

// ours says whether an order decides a field.
func ours(name string) bool {
	switch name {
	case "model", "prompt", "seconds", "size", "input_reference", "reference_url", "audio_reference",
		"seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return true
	}
	return false
}
