package provider

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsErrorsNameTheSetting(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]string
		want   string
	}{
		"all valid":            {map[string]string{"path": "/a/", "word": "x", "shape": "round", "wait": "5s"}, ""},
		"none given":           {nil, ""},
		"unknown":              {map[string]string{"pth": "/a"}, `example has no setting "pth"; it has path, shape, word, wait`},
		"not a path":           {map[string]string{"path": "a"}, `path "a": want a path that begins with /`},
		"not one of the words": {map[string]string{"shape": "flat"}, `shape "flat": want one of round, square`},
		"not a duration":       {map[string]string{"wait": "5"}, `wait "5": want a duration`},
		"negative duration":    {map[string]string{"wait": "-5s"}, `wait "-5s": want a duration`},
		"two wrong, the first by name is reported": {map[string]string{"wait": "5", "path": "a"}, "path"},
	} {
		var (
			path, word, shape string
			wait              time.Duration
		)

		err := Settings{
			Driver:    "example",
			Parsers:   map[string]func(string) error{"path": PathVar(&path), "word": StringVar(&word), "shape": OneOfVar(&shape, "round", "square")},
			Durations: map[string]*time.Duration{"wait": &wait},
		}.Parse(c.values)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}

		if name == "all valid" && (path != "/a" || word != "x" || shape != "round" || wait != 5*time.Second) {
			t.Errorf("%q %q %q %s", path, word, shape, wait)
		}
	}
}
