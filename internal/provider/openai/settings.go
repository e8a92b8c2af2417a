package openai

import (
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
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

func readSettings(given map[string]string) (settings, error) {
	s := settings{
		videosPath: "/v1/videos", fields: map[string]string{},
		submitTimeout: 80 * time.Second, queryTimeout: 15 * time.Second, silenceTimeout: 60 * time.Second,
	}
	body := ""
	reference := ""
	rest := map[string]string{}

	for name, value := range given {
		field, fixed := strings.CutPrefix(name, "field.")
		switch {
		case !fixed:
			rest[name] = value
		case !plainName(field) || ours(field):
			return s, fmt.Errorf("setting %s: want field.<name> with the name of a field that no request decides", name)
		default:
			s.fields[field] = value
		}
	}

	err := provider.Settings{
		Kind: "openai",
		Words: map[string]func(string) error{
			"body": provider.OneOf(&body, "multipart", "json"), "reference": provider.OneOf(&reference, "input_reference", "reference_url"),
			"videos_path": provider.Path(&s.videosPath), "field.<name>": nil,
		},
		Times: map[string]*time.Duration{"submit_timeout": &s.submitTimeout, "query_timeout": &s.queryTimeout, "silence_timeout": &s.silenceTimeout},
	}.Read(rest)
	s.json = body == "json"
	s.asURL = reference == "reference_url"

	return s, err
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
