package provider

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsNameWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		given map[string]string
		says  string
	}{
		"all of it":         {map[string]string{"path": "/a/", "word": "x", "shape": "round", "wait": "5s"}, ""},
		"nothing":           {nil, ""},
		"unknown":           {map[string]string{"pth": "/a"}, `"pth" is not one of us's: path, shape, word, wait`},
		"no path":           {map[string]string{"path": "a"}, `path "a": want a path that begins with /`},
		"no such shape":     {map[string]string{"shape": "flat"}, `shape "flat": want one of round, square`},
		"no duration":       {map[string]string{"wait": "5"}, `wait "5": want a duration`},
		"below a moment":    {map[string]string{"wait": "-5s"}, `wait "-5s": want a duration`},
		"the first by name": {map[string]string{"wait": "5", "path": "a"}, "path"},
	} {
		var (
			path, word, shape string
			wait              time.Duration
		)

		err := Settings{
			Kind:  "us",
			Words: map[string]func(string) error{"path": Path(&path), "word": Word(&word), "shape": OneOf(&shape, "round", "square")},
			Times: map[string]*time.Duration{"wait": &wait},
		}.Read(c.given)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}

		if name == "all of it" && (path != "/a" || word != "x" || shape != "round" || wait != 5*time.Second) {
			t.Errorf("%q %q %q %s", path, word, shape, wait)
		}
	}
}
