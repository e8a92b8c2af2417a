package openai

import (
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// settings are the keys of Options.Settings. Durations are written like "30s".
type settings struct {
	jsonBody     bool   // "body": json, or multipart (the default), which every server accepts
	referenceURL bool   // "reference": reference_url (SGLang's field, a URL), or input_reference (the default)
	videosPath   string // "videos_path"
	// extraFields are sent with every submission: the setting "field.fps: 16" is
	// the field fps. They are for fields that a server needs and no request
	// contains.
	extraFields   map[string]string
	submitTimeout time.Duration // "submit_timeout": one Submit with its files, 80s
	queryTimeout  time.Duration // "query_timeout": one Poll or one request of a Cancel, 15s
	idleTimeout   time.Duration // "idle_timeout": how long Open waits for the next bytes, 60s
}

func parseSettings(values map[string]string) (settings, error) {
	s := settings{
		videosPath:    "/v1/videos",
		extraFields:   map[string]string{},
		submitTimeout: 80 * time.Second,
		queryTimeout:  15 * time.Second,
		idleTimeout:   60 * time.Second,
	}
	body := ""
	reference := ""
	rest := map[string]string{}

	for name, value := range values {
		field, isField := strings.CutPrefix(name, "field.")
		switch {
		case !isField:
			rest[name] = value
		case !isFieldName(field) || isReservedField(field):
			return s, fmt.Errorf("setting %s: want field.<name> with the name of a field that requests do not set", name)
		default:
			s.extraFields[field] = value
		}
	}

	err := provider.Settings{
		Driver: "openai",
		Parsers: map[string]func(string) error{
			"body":         provider.OneOfVar(&body, "multipart", "json"),
			"reference":    provider.OneOfVar(&reference, "input_reference", "reference_url"),
			"videos_path":  provider.PathVar(&s.videosPath),
			"field.<name>": nil,
		},
		Durations: map[string]*time.Duration{
			"submit_timeout": &s.submitTimeout,
			"query_timeout":  &s.queryTimeout,
			"idle_timeout":   &s.idleTimeout,
		},
	}.Parse(rest)
	s.jsonBody = body == "json"
	s.referenceURL = reference == "reference_url"

	return s, err
}

func isFieldName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	return name != "" && strings.Trim(name, letters) == ""
}

// isReservedField reports whether submissions set a field.
func isReservedField(name string) bool {
	switch name {
	case "model", "prompt", "seconds", "size", "input_reference", "reference_url", "audio_reference",
		"seed", "negative_prompt", "shot_type", "enable_prompt_expansion", "watermark":
		return true
	}

	return false
}
